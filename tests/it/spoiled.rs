//! Replicas that are damaged, hostile or of a later version, under every command that reads the past: an error that names
//! the object, the same exit code from all of them, and never a wrong row.

use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_testkit::Random;
use ebbtide_testkit::forger::Forged;

use crate::support::{App, Ended, Setup};

/// A snapshot, segments and a state that has pages of each.
fn history() -> Setup {
    let setup = Setup::new();
    let app = App::prepared(
        &setup.database,
        "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
         INSERT INTO t SELECT i, hex(randomblob(100)) FROM n;",
    );
    setup.once().exits(0);
    for statement in ["UPDATE t SET body = 'changed' WHERE id = 300", "DELETE FROM t WHERE id = 17"]
    {
        app.execute_batch(statement).unwrap();
        setup.once().exits(0);
    }
    setup
}

/// Each command with where its result is, if that is a file.
fn commands<'a>(replica: &'a str, out: &'a str) -> Vec<(Vec<&'a str>, bool)> {
    let prints = |args: &[&'a str]| (args.to_vec(), false);
    let all = "SELECT * FROM t ORDER BY id";
    vec![
        prints(&["sql", "--csv", replica, all]),
        prints(&["sql", "--csv", "--prove", replica, all]),
        prints(&["dump", replica]),
        prints(&["export", "--format", "csv", "--table", "t", replica]),
        prints(&["export", "--format", "postgres", replica]),
        prints(&["diff", "--format", "rows", "--from", "txid:2", replica]),
        prints(&["when", replica, "SELECT count(*), sum(length(body)) FROM t"]),
        (vec!["fixture", "--force", "-o", out, replica], true),
    ]
}

/// Without a cache, which would have what was there before the damage.
fn run(setup: &Setup, args: &[&str]) -> Ended {
    Ended::of(setup.command(args).env("XDG_CACHE_HOME", "").env("HOME", ""))
}

fn objects(replica: &Path) -> Vec<PathBuf> {
    let directories = ["log", "snap", "pack"].map(|name| replica.join(name));
    let mut objects: Vec<PathBuf> = directories
        .iter()
        .filter_map(|directory| fs::read_dir(directory).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "seg"))
        .collect();
    objects.sort();
    objects
}

/// Objects are read-only, and never changed by us.
fn replace(path: &Path, body: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, body).unwrap();
}

#[test]
fn t03_a_flipped_bit_anywhere_is_an_error_with_a_name_and_never_a_wrong_row() {
    let setup = history();
    let (replica, out) = (PathBuf::from(&setup.replica), setup.text("fixture.db"));
    let commands = commands(&setup.replica, &out);
    let result = |ended: &Ended, is_file: bool| match is_file {
        true => fs::read(&out).unwrap_or_default(),
        false => ended.out.clone().into_bytes(),
    };
    let sound: Vec<Vec<u8>> = commands
        .iter()
        .map(|(args, is_file)| result(&run(&setup, args).exits(0), *is_file))
        .collect();
    let mut random = Random::new(20_261_128);
    let mut refused = 0;
    for object in objects(&replica) {
        let body = fs::read(&object).unwrap();
        for _ in 0..4 {
            let mut spoiled = body.clone();
            let at = random.below(u32::try_from(body.len()).unwrap()) as usize;
            spoiled[at] ^= 1 << random.below(8);
            replace(&object, &spoiled);
            for ((args, is_file), sound) in commands.iter().zip(&sound) {
                fs::remove_file(&out).ok();
                let ended = run(&setup, args);
                let found = result(&ended, *is_file);
                let place = format!("{args:?}, byte {at} of {}: {}", object.display(), ended.said);
                match ended.code() {
                    // It was planned around, or not needed.
                    0 => assert!(found == *sound, "{place}"),
                    4 => {
                        refused += 1;
                        assert!(ended.said.contains(".seg"), "{place}");
                        assert!(!ended.said.contains("disk I/O error"), "{place}");
                        assert!(sound.starts_with(&found), "{place}");
                    }
                    code => panic!("exit code {code}: {place}"),
                }
            }
        }
        replace(&object, &body);
    }
    assert!(refused > 20, "{refused}");
}

/// Blocks, checksums and the root agree: who reads blocks alone cannot see it, and who takes data elsewhere does.
#[test]
fn t04_a_forged_page_goes_nowhere() {
    let setup = history();
    let snapshot = objects(Path::new(&setup.replica)).into_iter().find(|path| {
        path.parent().and_then(Path::file_name).is_some_and(|directory| directory == "snap")
    });
    let snapshot = snapshot.unwrap();
    let mut forged = Forged::take_apart(&fs::read(&snapshot).unwrap()).unwrap();
    // A row, in a page that no later commit has.
    let last = forged.images.len() - 1;
    let image = &mut forged.images[last];
    let length = image.len();
    image[length - 40..length - 30].copy_from_slice(b"FORGED ROW");
    replace(&snapshot, &forged.put_together());
    let (name, out) = (snapshot.file_name().unwrap().to_str().unwrap(), setup.text("fixture.db"));
    let all = "SELECT * FROM t ORDER BY id";
    let proved: [&[&str]; 6] = [
        &["sql", "--csv", "--prove", &setup.replica, all],
        &["dump", &setup.replica],
        &["export", "--format", "csv", "--table", "t", &setup.replica],
        &["export", "--format", "postgres", &setup.replica],
        &["when", "--prove", &setup.replica, "SELECT sum(length(body)) FROM t"],
        &["fixture", "-o", &out, &setup.replica],
    ];
    for args in proved {
        let ended = run(&setup, args).exits(4);
        ended.says(name);
        assert!(!ended.out.contains("FORGED"), "{args:?}");
    }
    assert!(!Path::new(&out).exists());
}

/// A manifest and an object of a later version: every command says so, and ends with the same code.
#[test]
fn a_replica_of_a_newer_ebbtide_is_refused_alike_by_all() {
    let setup = history();
    let (replica, out) = (PathBuf::from(&setup.replica), setup.text("fixture.db"));
    let mut commands: Vec<Vec<&str>> =
        commands(&setup.replica, &out).into_iter().map(|(args, _)| args).collect();
    let target = setup.text("restored.db");
    commands.push(vec!["restore", "-o", &target, &setup.replica]);
    commands.push(vec!["blame", &setup.replica, "t", "1"]);
    commands.push(vec!["undo", "--txid", "4", &setup.replica]);
    let refused = || {
        for args in &commands {
            run(&setup, args).exits(4).says("newer ebbtide");
        }
    };
    let manifest = replica.join("ebbtide.json");
    let json = fs::read_to_string(&manifest).unwrap();
    let mut document: serde_json::Value = serde_json::from_str(&json).unwrap();
    document["format"] = 99.into();
    replace(&manifest, document.to_string().as_bytes());
    refused();
    replace(&manifest, json.as_bytes());
    run(&setup, &commands[0]).exits(0);
    // The version is behind the eight bytes of the magic number, and at 124 is the CRC32 of the header.
    for object in objects(&replica) {
        let mut body = fs::read(&object).unwrap();
        body[8] = 99;
        let crc = crc32(&body[..124]);
        body[124..128].copy_from_slice(&crc.to_le_bytes());
        replace(&object, &body);
    }
    refused();
}

fn crc32(bytes: &[u8]) -> u32 {
    let next = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| next(crc)))
}
