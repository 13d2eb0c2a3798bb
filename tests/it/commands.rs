//! What a person sees: exit codes, messages, JSON.

use std::path::Path;
use std::process::Output;

use rusqlite::Connection;

use crate::support::{Sidecar, ebbtide};

fn stderr(ended: &Output) -> String {
    String::from_utf8(ended.stderr.clone()).unwrap()
}

fn code(ended: &Output) -> i32 {
    ended.status.code().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn database(path: &Path) -> Connection {
    let database = Connection::open(path).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (a)").unwrap();
    database.execute("INSERT INTO t VALUES (1)", []).unwrap();
    database
}

#[test]
fn one_run_brings_a_replica_up_to_date_and_it_can_be_listed_proved_and_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (app, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    drop(database(&app));
    for _ in 0..2 {
        drop(database(&app));
        let ended = ebbtide(&["replicate", "--once", text(&app), text(&replica)]);
        assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    }
    let ended = ebbtide(&["log", "--json", text(&replica)]);
    let lines = String::from_utf8(ended.stdout).unwrap();
    let what: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|line| line["what"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(what, ["claim", "resync", "claim", "resync", "snapshot", "summary"]);
    let summary: serde_json::Value =
        serde_json::from_str(lines.lines().next_back().unwrap()).unwrap();
    let counts = ["entries", "claims", "resyncs", "gaps", "forks"].map(|key| &summary[key]);
    assert_eq!(counts, [4, 2, 2, 1, 0], "{summary}");
    assert!(summary["longest_gap_seconds"].as_f64().unwrap() > 0.0, "{summary}");
    assert_eq!(summary["last_txid"], "0000000000000004");
    let table = String::from_utf8(ebbtide(&["log", text(&replica)]).stdout).unwrap();
    assert!(table.contains("\n1 gap, the longest of "), "{table}");
    assert!(table.contains("; no forks\n"), "{table}");
    let ended = ebbtide(&["verify", "--restore", "--json", text(&replica)]);
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    let proof: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(proof["sound"], true);
    let output = folder.path().join("copy.db");
    let restore = ["restore", "--verify", "full", "-o", text(&output), text(&replica)];
    assert_eq!(code(&ebbtide(&restore)), 0);
    assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&app).unwrap());
    let refused = ebbtide(&restore);
    assert_eq!(code(&refused), 1);
    assert!(stderr(&refused).contains("--force"), "{}", stderr(&refused));
}

#[test]
fn a_database_that_was_followed_can_be_given_another_replica() {
    let folder = tempfile::tempdir().unwrap();
    let (app, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    for replica in ["one", "two", "one"] {
        drop(database(&app));
        let replica = folder.path().join(replica);
        let ended = ebbtide(&["replicate", "--once", text(&app), text(&replica)]);
        assert_eq!(code(&ended), 0, "{}", stderr(&ended));
        let ended = ebbtide(&["restore", "--force", "-o", text(&copy), text(&replica)]);
        assert_eq!(code(&ended), 0, "{}", stderr(&ended));
        assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(&app).unwrap());
    }
}

#[test]
fn exit_codes_mean_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let (app, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    let output = folder.path().join("copy.db");
    assert_eq!(code(&ebbtide(&["restore"])), 2);
    assert_eq!(code(&ebbtide(&["restore", text(&replica)])), 2, "no output is named");
    assert_eq!(code(&ebbtide(&["restore", "-o", text(&output), text(&replica)])), 3);
    let lenient = ["restore", "--if-replica-exists", "-o", text(&output), text(&replica)];
    assert_eq!(code(&ebbtide(&lenient)), 0);
    assert_eq!(code(&ebbtide(&["log", text(&replica)])), 3);
    let missing = ebbtide(&["replicate", "--once", text(&app), text(&replica)]);
    assert_eq!(code(&missing), 1);
    assert!(stderr(&missing).contains("no such file"), "{}", stderr(&missing));
    drop(database(&app));
    assert_eq!(code(&ebbtide(&["replicate", "--once", text(&app), text(&replica)])), 0);
    let early =
        ["restore", "--timestamp", "2001-01-01T00:00:00Z", "-o", text(&output), text(&replica)];
    assert_eq!(code(&ebbtide(&early)), 3);
    let beyond = ["restore", "--txid", "ffff", "-o", text(&output), text(&replica)];
    assert_eq!(code(&ebbtide(&beyond)), 3);
    let snapshot = replica.join("snap/0000000000000002.seg");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    // Within the first block of pages.
    bytes[140] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let damaged = ebbtide(&["restore", "-o", text(&output), text(&replica)]);
    assert_eq!(code(&damaged), 4);
    assert!(stderr(&damaged).contains("snap/0000000000000002.seg"), "{}", stderr(&damaged));
    assert_eq!(code(&ebbtide(&["verify", text(&replica)])), 4);
    assert!(!output.exists(), "nothing is left of a restore that failed");
}

#[test]
fn the_second_of_two_writers_owns_the_replica_and_the_first_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let (app, copy) = (folder.path().join("app.db"), folder.path().join("copy.db"));
    let replica = folder.path().join("backup");
    let application = database(&app);
    let first = Sidecar::start(&app, text(&replica));
    // The state of another host: the same database, restored.
    let restored = ebbtide(&["restore", "-o", text(&copy), text(&replica)]);
    assert_eq!(code(&restored), 0, "{}", stderr(&restored));
    let second = Sidecar::start(&copy, text(&replica));
    application.execute("INSERT INTO t VALUES (2)", []).unwrap();
    let (ended, said) = first.end();
    assert_eq!(ended, 5, "{said}");
    assert!(said.contains(&format!("process {}", second.process().id())), "{said}");
    assert_eq!(second.stop(), 0);
}

#[test]
fn the_applications_exit_code_is_ours() {
    let folder = tempfile::tempdir().unwrap();
    let (app, replica) = (folder.path().join("app.db"), folder.path().join("backup"));
    drop(database(&app));
    let ended = ebbtide(&["replicate", "--exec", "exit 7", text(&app), text(&replica)]);
    assert_eq!(code(&ended), 7, "{}", stderr(&ended));
    let ended = ebbtide(&["replicate", "--exec", "sleep 0.3", text(&app), text(&replica)]);
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    assert_eq!(code(&ebbtide(&["verify", text(&replica)])), 0);
}

#[test]
fn a_misspelt_key_in_the_configuration_is_refused_with_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ebbtide.toml");
    std::fs::write(&file, "[[database]]\npath = \"app.db\"\nreplcia = \"backup\"\n").unwrap();
    let ended = ebbtide(&["replicate", "--config", text(&file)]);
    assert_eq!(code(&ended), 2);
    assert!(stderr(&ended).contains("did you mean `replica`?"), "{}", stderr(&ended));
}

#[test]
fn many_databases_of_a_configuration_are_followed_by_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = String::new();
    for number in 0..5 {
        let app = folder.path().join(format!("{number}.db"));
        drop(database(&app));
        let replica = folder.path().join(format!("backup-{number}"));
        config += &format!("[[database]]\npath = {app:?}\nreplica = {:?}\n", text(&replica));
    }
    let file = folder.path().join("ebbtide.toml");
    std::fs::write(&file, config).unwrap();
    let ended = ebbtide(&["replicate", "--once", "--config", text(&file)]);
    assert_eq!(code(&ended), 0, "{}", stderr(&ended));
    for number in 0..5 {
        let app = folder.path().join(format!("{number}.db"));
        let output = folder.path().join("copy.db");
        // By the name of the database, from the configuration.
        let args = ["restore", "--config", text(&file), "-o", text(&output), text(&app)];
        let ended = ebbtide(&args);
        assert_eq!(code(&ended), 0, "{}", stderr(&ended));
        assert_eq!(std::fs::read(&output).unwrap(), std::fs::read(&app).unwrap());
        std::fs::remove_file(&output).unwrap();
    }
}
