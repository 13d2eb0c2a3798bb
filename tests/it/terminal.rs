//! What reaches a terminal: nothing that it would act on, wherever it came from.

use std::path::Path;

use crate::support::{App, Setup};

/// Whether a terminal acts on it, or shows what stands around it in another order.
fn is_active(c: char) -> bool {
    c != '\n' && c.is_control()
        || matches!(c, '\u{200e}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[track_caller]
fn assert_harmless(setup: &Setup, args: &[&str], code: i32) -> String {
    let ended = setup.command(args).output().unwrap();
    let all = [ended.stdout.as_slice(), &ended.stderr].concat();
    let said = String::from_utf8(all).unwrap();
    assert_eq!(ended.status.code(), Some(code), "{args:?}: {said}");
    assert!(!said.contains(is_active), "{args:?}: {said:?}");
    assert!(!said.contains("\nforged"), "{args:?}: {said:?}");
    if args.contains(&"--json") && code == 0 {
        for line in String::from_utf8(ended.stdout).unwrap().lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
    }
    said
}

#[test]
fn z08_names_with_control_sequences_and_bidirectional_marks_are_spelled_out() {
    let setup = Setup::new();
    let hostile = setup.path("a\u{1b}]0;title\u{7}\u{9b}2J\u{202e}b\nforged");
    std::fs::create_dir(&hostile).unwrap();
    let database = hostile.join("app.db");
    let _app = App::open(&database);
    let (path, replica) = (database.to_str().unwrap(), setup.path("back\u{202e}up"));
    let replica = replica.to_str().unwrap();
    for format in ["text", "json"] {
        let level = ["--log", "debug", "--log-format", format];
        let said = assert_harmless(
            &setup,
            &[&["replicate", "--once", path, replica], &level[..]].concat(),
            0,
        );
        assert!(said.contains("\\u{202e}") || said.contains("\\u202e"), "{said}");
    }
    let copy = hostile.join("copy.db");
    let copy = copy.to_str().unwrap();
    assert_harmless(&setup, &["restore", "-o", copy, replica], 0);
    assert_harmless(&setup, &["restore", "-o", copy, replica], 1);
    assert_harmless(&setup, &["restore", "--json", "--force", "-o", copy, replica], 0);
    assert_harmless(&setup, &["restore", "-o", &format!("{copy}2"), &format!("{replica}-none")], 3);
    for command in ["log", "verify"] {
        assert_harmless(&setup, &[command, replica], 0);
        assert_harmless(&setup, &[command, "--json", replica], 0);
    }
    assert_harmless(&setup, &["sync", path], 1);
    let config = write_configuration(&hostile, &database, replica);
    assert_harmless(&setup, &["status", "--config", &config], 1);
    assert_harmless(&setup, &["status", "--json", "--config", &config], 1);
    std::fs::write(&config, "[[database]]\npath = 1\nforged\n").unwrap();
    assert_harmless(&setup, &["status", "--config", &config], 2);
}

fn write_configuration(directory: &Path, database: &Path, replica: &str) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap().replace('\u{9b}', "\\u009b");
    let (path, replica) = (text(database.to_str().unwrap()), text(replica));
    let config = directory.join("ebbtide.toml");
    std::fs::write(&config, format!("[[database]]\npath = {path}\nreplica = {replica}\n")).unwrap();
    config.to_str().unwrap().to_owned()
}
