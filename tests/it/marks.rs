//! Marks as people make them: beside a running database, of a time and of an entry, and back again. Would catch a mark
//! that lacks what was committed before it, one that cannot be restored, and one that somebody else's hides.

use std::fs;

use ebbtide_fault::DIED;
use ebbtide_testkit::s3_server::S3Server;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Ended, Setup};

fn mark(setup: &Setup, more: &[&str]) -> Ended {
    setup.run(&[&["mark", "--json"], more].concat())
}

fn rows(setup: &Setup, mark: &str) -> i64 {
    let out = setup.text("out.db");
    if fs::exists(&out).unwrap() {
        fs::remove_file(&out).unwrap();
    }
    setup.run(&["restore", "-o", &out, "--mark", mark, &setup.replica]).exits(0);
    let restored = Connection::open(&out).unwrap();
    restored.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

fn marks(setup: &Setup) -> Vec<Value> {
    setup.run(&["marks", "--json", &setup.replica]).exits(0).json_lines()
}

#[test]
fn a_mark_of_a_running_database_has_all_that_was_committed_before_it() {
    Setup::in_each_form().into_iter().for_each(assert_marked);
}

fn assert_marked(setup: Setup) {
    let app = setup.app();
    let sidecar = setup.follow();
    let database = setup.database.to_str().unwrap();
    app.insert(3, 900);
    let first = mark(&setup, &["before-migration", database]).exits(0).json();
    app.insert(4, 900);
    let second = mark(&setup, &["--for", "90d", "after it", &setup.replica]).exits(0).json();
    assert_eq!(sidecar.stop(), 0);
    assert_eq!((rows(&setup, "before-migration"), rows(&setup, "after it")), (3, 7));
    assert_eq!(rows(&setup, first["id"].as_str().unwrap()), 3);
    let listed = marks(&setup);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!((&listed[0]["name"], &listed[0]["txid"]), (&first["name"], &first["txid"]));
    assert_eq!((&listed[1]["for"], &listed[1]["kept"]), (&"90d".into(), &true.into()));
    assert!(listed[1]["until"].as_str() > listed[1]["marked"].as_str(), "{listed:?}");
    assert_eq!(listed[1]["id"], second["id"]);
    let log = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let shown: Vec<_> = log.iter().filter(|line| line["what"] == "mark").collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    let text = setup.run(&["log", &setup.replica]).exits(0).out;
    assert!(text.contains("mark      before-migration  (until it is removed)"), "{text}");
}

#[test]
fn an_entry_and_a_time_are_marked_where_nobody_follows() {
    let setup = Setup::new();
    let app = setup.app();
    for rows in 1..=2 {
        app.insert(rows, 900);
        setup.once().exits(0);
    }
    let entries = setup.run(&["log", "--json", &setup.replica]).exits(0).json_lines();
    let commit = entries.iter().rfind(|entry| entry["what"] == "commit").unwrap();
    let (txid, time) = (commit["txid"].as_str().unwrap(), commit["time"].as_str().unwrap());
    app.insert(3, 900);
    setup.once().exits(0);
    let by_txid = mark(&setup, &["--txid", txid, "one", &setup.replica]).exits(0).json();
    mark(&setup, &["--timestamp", time, "two", &setup.replica]).exits(0);
    assert_eq!(by_txid["txid"], commit["txid"]);
    let newest = mark(&setup, &["three", setup.database.to_str().unwrap()]).exits(0);
    newest.says("what its replica has is marked");
    assert_eq!(["one", "two", "three"].map(|mark| rows(&setup, mark)), [3, 3, 6]);
}

/// Would catch a local state that keeps the address of its replica without the endpoint.
#[test]
fn a_database_with_its_replica_in_a_bucket_is_marked_by_its_path_alone() {
    let server = S3Server::start();
    let (setup, _app) = Setup::with_rows(3);
    let setup = setup.in_bucket(&server);
    setup.once().exits(0);
    mark(&setup, &["here", setup.database.to_str().unwrap()]).exits(0);
    assert_eq!(rows(&setup, "here"), 3);
}

#[test]
fn two_marks_of_one_name_are_told_apart_and_removed_one_by_one() {
    let (setup, app) = Setup::with_rows(1);
    setup.once().exits(0);
    let first = mark(&setup, &["release", &setup.replica]).exits(0).json();
    app.insert(1, 900);
    setup.once().exits(0);
    let second = mark(&setup, &["release", &setup.replica]).exits(0).json();
    let (first, second) = (first["id"].as_str().unwrap(), second["id"].as_str().unwrap());
    let out = setup.text("out.db");
    for args in [
        &["restore", "-o", &out, "--mark", "release", &setup.replica][..],
        &["unmark", "release", &setup.replica][..],
    ] {
        let refused = setup.run(args).exits(2);
        refused.says("2 marks are called release").says(first).says(second);
    }
    assert_eq!((rows(&setup, first), rows(&setup, second)), (1, 2));
    setup.run(&["unmark", second, &setup.replica]).exits(0);
    assert_eq!(rows(&setup, "release"), 1);
    setup.run(&["unmark", "release", &setup.replica]).exits(0);
    assert!(marks(&setup).is_empty());
    let refused = setup.run(&["restore", "-o", &out, "--mark", "release", &setup.replica]).exits(3);
    refused.says("nothing is marked in this replica");
    mark(&setup, &["another", &setup.replica]).exits(0);
    let refused = setup.run(&["unmark", "release", &setup.replica]).exits(3);
    refused.says("there are another");
}

#[test]
fn a_damaged_mark_is_named_and_can_be_removed() {
    let (setup, _app) = Setup::with_rows(1);
    setup.once().exits(0);
    let id = mark(&setup, &["torn", &setup.replica]).exits(0).json()["id"].clone();
    mark(&setup, &["whole", &setup.replica]).exits(0);
    let id = id.as_str().unwrap();
    let file = setup.path(&format!("backup/mark/{id}.seg"));
    let mut body = fs::read(&file).unwrap();
    body[200] ^= 1;
    fs::remove_file(&file).unwrap();
    fs::write(&file, body).unwrap();
    let listed = setup.run(&["marks", "--json", &setup.replica]).exits(0);
    listed.says(id);
    assert_eq!(listed.json_lines().len(), 1);
    setup.run(&["unmark", id, &setup.replica]).exits(0);
    assert!(!file.exists());
}

#[test]
fn what_cannot_be_marked_is_refused() {
    let (setup, _app) = Setup::with_rows(1);
    mark(&setup, &["early", &setup.replica]).exits(3).says("there is no replica");
    setup.once().exits(0);
    mark(&setup, &["", &setup.replica]).exits(2);
    mark(&setup, &["a\nb", &setup.replica]).exits(2).says("control characters");
    mark(&setup, &["--for", "90m", "x", &setup.replica]).exits(2).says("did you mean");
    mark(&setup, &["--txid", "ff", "x", &setup.replica]).exits(3).says("the newest is");
    assert!(marks(&setup).is_empty());
}

/// A marker that is killed leaves a mark that can be restored, or none.
#[test]
fn h08_a_marker_that_is_killed_leaves_a_sound_mark_or_none() {
    let (setup, _app) = Setup::with_rows(2);
    setup.once().exits(0);
    for (place, left) in [("mark.put.begin", 0), ("mark.put.done", 1)] {
        let mut command = setup.command(&["mark", "killed", &setup.replica]);
        command.env("FAILPOINTS", format!("{place}=1"));
        assert!(Ended::of(&mut command).said.contains(DIED), "{place}");
        assert_eq!(marks(&setup).len(), left, "{place}");
    }
    assert_eq!(rows(&setup, "killed"), 2);
    mark(&setup, &["again", &setup.replica]).exits(0);
    assert_eq!(rows(&setup, "again"), 2);
}
