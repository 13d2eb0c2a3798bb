//! A database that no application has open: its file alone is the database, so that it may be copied, moved and replaced
//! beside a running sidecar as it may be without one (ordinary days, O1, O5, O33, O34).

use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_catalog::Target;
use ebbtide_replica::{Entry, EntryKind};
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::s3_server::{Fault, S3Server};
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{PATIENCE, Replica, Sidecar, command, wait_until};

/// A database, its replica, and a directory for the socket of its sidecar.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Place {
        Place { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn follow(&self) -> Sidecar {
        self.follow_into(&self.text("backup"), &[])
    }

    fn follow_into(&self, replica: &str, variables: &[(&str, &str)]) -> Sidecar {
        let args = ["replicate", "--log-format", "json", &self.text("app.db"), replica];
        let mut command = command(&args);
        command.env("EBBTIDE_RUNTIME_DIR", self.path("run")).envs(variables.iter().copied());
        Sidecar::start_command(&mut command)
    }

    fn status(&self) -> Value {
        let mut status = command(&["status", "--json"]);
        let ended = status.env("EBBTIDE_RUNTIME_DIR", self.path("run")).output().unwrap();
        serde_json::from_slice(&ended.stdout).unwrap_or_default()
    }

    fn sync(&self) {
        let mut sync = command(&["sync", "--wait", &self.text("app.db")]);
        let ended = sync.env("EBBTIDE_RUNTIME_DIR", self.path("run")).output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }

    /// Waits until nothing has the database open.
    fn wait_for_rest(&self) {
        let log = self.path("app.db-wal");
        let is_empty = || fs::metadata(&log).unwrap().len() == 0;
        wait_until("the database to be at rest", || is_empty() && self.status()["resting"] == true);
    }

    /// The replica ends with what the database is.
    #[track_caller]
    fn assert_followed(&self, replica: &Replica) {
        let expected = Image::of(&oracle::committed(&self.path("app.db")).unwrap());
        assert_eq!(replica.restore(Target::Latest, self.directory.path()).1, expected);
    }
}

/// Opens a database as an application would, inserts rows in transactions of their own, and closes it.
fn come_and_go(database: &Path, rows: u32) {
    let application = Connection::open(database).unwrap();
    let setup =
        "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, b)";
    application.execute_batch(setup).unwrap();
    for _ in 0..rows {
        application.execute("INSERT INTO t (b) VALUES (randomblob(900))", []).unwrap();
    }
}

/// How many rows a sound database has.
#[track_caller]
fn sound_rows(database: &Path) -> u32 {
    let application = Connection::open(database).unwrap();
    let check = |row: &rusqlite::Row<'_>| row.get::<_, String>(0);
    assert_eq!(application.query_row("PRAGMA integrity_check", [], check).unwrap(), "ok");
    application.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

/// SQLite must not play the log of the old file over the new one, nor take the new one for as long as the old one.
#[test]
fn o01_a_file_that_takes_the_place_of_one_that_nobody_has_open_is_the_whole_database() {
    for (old_rows, new_rows, is_copied) in
        [(20, 500, false), (500, 20, false), (20, 500, true), (500, 20, true)]
    {
        let place = Place::new();
        let (database, other) = (place.path("app.db"), place.path("new.db"));
        come_and_go(&database, old_rows);
        come_and_go(&other, new_rows);
        let sidecar = place.follow();
        come_and_go(&database, 5);
        place.wait_for_rest();
        if is_copied {
            fs::copy(&other, &database).unwrap();
        } else {
            fs::rename(&other, &database).unwrap();
        }
        assert_eq!(sound_rows(&database), new_rows, "{old_rows} rows before");
        come_and_go(&database, 3);
        place.sync();
        assert_eq!(sound_rows(&database), new_rows + 3);
        let replica = Replica::open(&place.text("backup"));
        place.assert_followed(&replica);
        // The first commit after the replacement is no successor of what was there before.
        let is_other = |entry: &Entry| ebbtide_catalog::missed_since(entry).is_some();
        assert!(replica.entries().iter().any(is_other), "the replacement is told");
        assert_eq!(sidecar.stop(), 0);
        replica.states(place.directory.path());
    }
}

#[test]
fn o01_a_copy_of_a_file_that_nobody_has_open_has_every_row() {
    let place = Place::new();
    let database = place.path("app.db");
    come_and_go(&database, 3);
    let sidecar = place.follow();
    come_and_go(&database, 20);
    place.sync();
    place.wait_for_rest();
    fs::copy(&database, place.path("copy.db")).unwrap();
    assert_eq!(sound_rows(&place.path("copy.db")), 23);
    assert_eq!(sidecar.stop(), 0);
    assert!(!place.path("app.db-wal").exists(), "it leaves nothing behind");
}

/// Each commit of commands that come and go is an entry of its own.
#[test]
fn o01_what_applications_commit_that_come_and_go_is_followed_commit_by_commit() {
    let place = Place::new();
    let database = place.path("app.db");
    come_and_go(&database, 1);
    let sidecar = place.follow();
    let replica = Replica::open(&place.text("backup"));
    let mut rests = 0;
    for round in 0..40 {
        come_and_go(&database, 2);
        if round % 4 == 0 {
            place.wait_for_rest();
            rests += 1;
        }
    }
    place.sync();
    assert_eq!(rests, 10);
    let entries = replica.entries();
    let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    let gaps =
        entries.iter().filter(|entry| ebbtide_catalog::missed_since(entry).is_some()).count();
    assert_eq!((commits, gaps), (80, 0));
    place.assert_followed(&replica);
    assert_eq!(sidecar.stop(), 0);
}

/// What is not durable goes through the spool, so that the log can be emptied all the same.
#[test]
fn o01_the_log_is_emptied_while_the_store_is_away_and_nothing_is_lost() {
    let place = Place::new();
    let database = place.path("app.db");
    let server = S3Server::start();
    come_and_go(&database, 1);
    let sidecar = place.follow_into(&server.address("app"), &server.environment());
    server.script(|asked| {
        (asked.operation() == "PutObject").then_some(Fault::Refused(503, "SlowDown"))
    });
    come_and_go(&database, 10);
    place.wait_for_rest();
    come_and_go(&database, 10);
    place.wait_for_rest();
    server.heal();
    place.sync();
    let replica = Replica::on(&server, "app");
    let entries = replica.entries();
    let commits = entries.iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    assert_eq!(commits, 20);
    place.assert_followed(&replica);
    assert_eq!(sidecar.stop(), 0);
}

/// Not until the file that has the name now is followed.
#[test]
fn o33_a_sync_answers_for_the_file_that_has_the_name_now() {
    let place = Place::new();
    let (database, other) = (place.path("app.db"), place.path("new.db"));
    come_and_go(&database, 2);
    come_and_go(&other, 1);
    let sidecar = place.follow();
    come_and_go(&database, 1);
    place.sync();
    fs::rename(&database, place.path("app.db.old")).unwrap();
    fs::rename(&other, &database).unwrap();
    for _ in 0..3 {
        come_and_go(&database, 1);
    }
    place.sync();
    assert_eq!(sound_rows(&database), 4);
    place.assert_followed(&Replica::open(&place.text("backup")));
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn o34_a_file_that_takes_the_place_of_one_whose_sidecar_was_killed_is_the_whole_database() {
    let place = Place::new();
    let (database, other) = (place.path("app.db"), place.path("new.db"));
    come_and_go(&database, 30);
    come_and_go(&other, 500);
    let sidecar = place.follow();
    come_and_go(&database, 5);
    place.wait_for_rest();
    sidecar.kill();
    fs::rename(&other, &database).unwrap();
    assert_eq!(sound_rows(&database), 500);
    let sidecar = place.follow();
    come_and_go(&database, 1);
    place.sync();
    place.assert_followed(&Replica::open(&place.text("backup")));
    assert_eq!(sidecar.stop(), 0);
}

/// SQLite works beside the file that a link names, so the sidecar does.
#[test]
fn o05_a_database_is_followed_through_a_symbolic_link() {
    let place = Place::new();
    fs::create_dir(place.path("data")).unwrap();
    let real = place.path("data/real.db");
    come_and_go(&real, 2);
    std::os::unix::fs::symlink(&real, place.path("app.db")).unwrap();
    let sidecar = place.follow();
    let application = Connection::open(place.path("app.db")).unwrap();
    application.execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    come_and_go(&real, 4);
    place.sync();
    let replica = Replica::open(&place.text("backup"));
    place.assert_followed(&replica);
    let commits = replica.entries().iter().filter(|entry| entry.kind == EntryKind::Commit).count();
    assert_eq!(commits, 5);
    assert_eq!(sidecar.stop(), 0);
}

/// Whoever opens it by the other name writes another log, and nothing of that can be followed.
#[test]
fn o05_o39_another_name_of_the_file_needs_attention() {
    let place = Place::new();
    come_and_go(&place.path("app.db"), 2);
    let sidecar = place.follow();
    assert_eq!(place.status()["attention"], serde_json::json!([]));
    fs::hard_link(place.path("app.db"), place.path("second.db")).unwrap();
    let status = place.status();
    assert_eq!(status["attention"], serde_json::json!(["other-name"]));
    assert!(status["other_names"].as_str().unwrap().contains("2 hard links"), "{status}");
    fs::remove_file(place.path("second.db")).unwrap();
    assert_eq!(place.status()["attention"], serde_json::json!([]));
    assert_eq!(sidecar.stop(), 0);
}

/// At its next change, and not half a minute later.
#[test]
fn o07_a_database_that_comes_later_is_followed_as_soon_as_it_can_be() {
    let place = Place::new();
    let args = ["replicate", "--wait", "--log-format", "json"];
    let mut command =
        command(&[&args[..], &[&place.text("app.db"), &place.text("backup")]].concat());
    let sidecar = Sidecar::spawn_command(command.env("EBBTIDE_RUNTIME_DIR", place.path("run")));
    sidecar.process().line_with("there is no such file", PATIENCE);
    fs::write(place.path("app.db"), "").unwrap();
    sidecar.process().line_with("empty", PATIENCE);
    let application = Connection::open(place.path("app.db")).unwrap();
    application.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, b)").unwrap();
    sidecar.process().line_with("rollback-journal mode", PATIENCE);
    application.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    sidecar.wait_until_it_follows();
    application.execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    place.sync();
    place.assert_followed(&Replica::open(&place.text("backup")));
    assert_eq!(sidecar.stop(), 0);
}
