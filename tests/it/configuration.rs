//! A configuration that was mistyped, cut off or made of other bytes is read or refused, and never worse.

use std::path::Path;

use ebbtide_cli::exit::{Code, Failure};
use ebbtide_config::Config;
use ebbtide_testkit::{Random, for_each_seed};
use serde_json::Value;

use crate::support::Setup;

const WHOLE: &str = "\
shutdown-timeout = \"10s\"

[[database]]
path = \"app.db\"
replica = \"backup\"
puts-per-second = 0.5
puts-burst = 100.0
snapshot-interval = \"24h\"
enable-wal = true
state = \"state\"
checkpoint-frames = 1000
log-max = \"1GiB\"
spool-max = \"64MiB\"

[[database]]
path = \"other.db\"
replica = \"s3://bucket/other?endpoint=http://127.0.0.1:9000&region=eu-1\"
";

/// One change: bytes that go, come, are others, or lines that are there twice.
fn change(text: &mut Vec<u8>, random: &mut Random) {
    let length = u32::try_from(text.len()).unwrap().max(1);
    let at = random.below(length) as usize;
    let end = (at + 1 + random.below(12) as usize).min(text.len());
    match random.below(6) {
        0 => drop(text.drain(at..end)),
        1 => text.truncate(at),
        2 => {
            let again = text[at..end].to_vec();
            let to = random.below(length) as usize;
            text.splice(to..to, again);
        }
        3 => {
            let quirk = *random.choose(&["[", "\"", "=", "99999999999999999999", "-1", "\n", "é"]);
            text.splice(at..at, quirk.bytes());
        }
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
    }
}

#[test]
fn any_configuration_is_read_or_refused_with_a_reason() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ebbtide.toml");
    let (mut read, mut refused) = (0, 0);
    for_each_seed(3000, |seed| {
        let mut random = Random::new(seed);
        let mut text = WHOLE.as_bytes().to_vec();
        for _ in 0..random.between(1, 4) {
            change(&mut text, &mut random);
        }
        std::fs::write(&path, &text).unwrap();
        match Config::read(&path) {
            Ok(_) => read += 1,
            Err(error) => {
                let failure = Failure::from(error);
                assert_eq!(failure.code(), Code::Usage, "{failure}");
                assert!(!failure.to_string().is_empty());
                refused += 1;
            }
        }
    });
    let whole = directory.path().join("whole.toml");
    std::fs::write(&whole, WHOLE).unwrap();
    assert!(Config::read(&whole).is_ok(), "what is changed is right before");
    println!("{read} were read, {refused} refused");
    assert!(read + refused < 100 || (read > 0 && refused > 0), "{read} read, {refused} refused");
}

#[test]
fn a_configuration_is_checked_and_shown_and_nothing_is_done() {
    let setup = Setup::new();
    let file = setup.configure("[defaults]\nlog-max = \"32 MiB\"", "keep = { last = 3 }");
    setup.run(&["config", "check", &file]).exits(0).prints("in order, 1 database");
    let shown = setup.run(&["config", "show", &file]).exits(0);
    shown.prints("  log-max             32 MiB").prints("[defaults], line 2");
    shown.prints("last=3").prints("line 6").prints("built in");
    let shown = setup.run(&["config", "show", "--json", &file]).exits(0).json();
    assert_eq!(shown["database"], setup.text("app.db"));
    assert_eq!(shown["values"]["keep"]["value"], "last=3");
    assert_eq!(shown["values"]["keep"]["line"], 6);
    assert_eq!(shown["values"]["log-max"]["from"], "defaults");
    assert_eq!(shown["values"]["drill"]["value"], Value::Null);
    assert!(!setup.database.exists() && !Path::new(&setup.replica).exists());

    let file = setup.configure("", "state = \"${EBBTIDE_NOWHERE}\"");
    let failed = setup.run(&["config", "check", &file]).exits(2);
    failed.says("line 5: state = ${EBBTIDE_NOWHERE}: the variable EBBTIDE_NOWHERE is not set");
    setup.run(&["config", "show", &setup.text("absent.toml")]).exits(2);
}
