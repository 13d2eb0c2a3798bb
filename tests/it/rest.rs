//! A database that no application has open: its file alone is the database, so that it may be copied, moved and replaced
//! beside a running sidecar as it may be without one (ordinary days, O1, O5, O33, O34).

use std::fs;
use std::path::Path;

use ebbtide_replica::{Entry, EntryKind};
use ebbtide_testkit::s3_server::{Fault, S3Server};
use rusqlite::Connection;

use crate::support::{App, Counts, PATIENCE, Setup, Sidecar, command, wait_until};

/// Opens a database as an application would, inserts rows in transactions of their own, and closes it.
fn come_and_go(database: &Path, rows: u32) {
    App::open(database).insert(rows, 900);
}

/// Waits until nothing has the database open.
fn wait_for_rest(setup: &Setup) {
    let log = setup.path("app.db-wal");
    let is_empty = || fs::metadata(&log).unwrap().len() == 0;
    wait_until("the database to be at rest", || is_empty() && setup.report()["resting"] == true);
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
        let setup = Setup::new();
        let (database, other) = (setup.path("app.db"), setup.path("new.db"));
        come_and_go(&database, old_rows);
        come_and_go(&other, new_rows);
        let sidecar = setup.follow();
        come_and_go(&database, 5);
        wait_for_rest(&setup);
        if is_copied {
            fs::copy(&other, &database).unwrap();
        } else {
            fs::rename(&other, &database).unwrap();
        }
        assert_eq!(sound_rows(&database), new_rows, "{old_rows} rows before");
        come_and_go(&database, 3);
        setup.sync();
        assert_eq!(sound_rows(&database), new_rows + 3);
        let replica = setup.history();
        setup.assert_exact();
        // The first commit after the replacement is no successor of what was there before.
        let is_other = |entry: &Entry| ebbtide_catalog::missed_since(entry).is_some();
        assert!(replica.entries().iter().any(is_other), "the replacement is told");
        assert_eq!(sidecar.stop(), 0);
        replica.states(setup.directory.path());
    }
}

#[test]
fn o01_a_copy_of_a_file_that_nobody_has_open_has_every_row() {
    let setup = Setup::new();
    let database = setup.path("app.db");
    come_and_go(&database, 3);
    let sidecar = setup.follow();
    come_and_go(&database, 20);
    setup.sync();
    wait_for_rest(&setup);
    fs::copy(&database, setup.path("copy.db")).unwrap();
    assert_eq!(sound_rows(&setup.path("copy.db")), 23);
    assert_eq!(sidecar.stop(), 0);
    assert!(!setup.path("app.db-wal").exists(), "it leaves nothing behind");
}

/// Each commit of commands that come and go is an entry of its own.
#[test]
fn o01_what_applications_commit_that_come_and_go_is_followed_commit_by_commit() {
    let setup = Setup::new();
    let database = setup.path("app.db");
    come_and_go(&database, 1);
    let sidecar = setup.follow();
    let replica = setup.history();
    let mut rests = 0;
    for round in 0..40 {
        come_and_go(&database, 2);
        if round % 4 == 0 {
            wait_for_rest(&setup);
            rests += 1;
        }
    }
    setup.sync();
    assert_eq!(rests, 10);
    assert_eq!(replica.counts(), Counts::commits(80));
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}

/// What is not durable goes through the spool, so that the log can be emptied all the same.
#[test]
fn o01_the_log_is_emptied_while_the_store_is_away_and_nothing_is_lost() {
    let server = S3Server::start();
    let setup = Setup::new().in_bucket(&server);
    let database = setup.path("app.db");
    come_and_go(&database, 1);
    let sidecar = setup.follow();
    server.script(|asked| {
        (asked.operation() == "PutObject").then_some(Fault::Refused(503, "SlowDown"))
    });
    come_and_go(&database, 10);
    wait_for_rest(&setup);
    come_and_go(&database, 10);
    wait_for_rest(&setup);
    server.heal();
    setup.sync();
    let replica = setup.history();
    assert_eq!(replica.counts().commits, 20);
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}

/// Not until the file that has the name now is followed.
#[test]
fn o33_a_sync_answers_for_the_file_that_has_the_name_now() {
    let setup = Setup::new();
    let (database, other) = (setup.path("app.db"), setup.path("new.db"));
    come_and_go(&database, 2);
    come_and_go(&other, 1);
    let sidecar = setup.follow();
    come_and_go(&database, 1);
    setup.sync();
    fs::rename(&database, setup.path("app.db.old")).unwrap();
    fs::rename(&other, &database).unwrap();
    for _ in 0..3 {
        come_and_go(&database, 1);
    }
    setup.sync();
    assert_eq!(sound_rows(&database), 4);
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}

/// The log and the wal-index belong to the name: an application that opens the new file shares them with us, and with one that
/// still has the old file open. Would catch its commit captured as one of the old file, and a start that goes on with the
/// log and never looks at the new one.
#[test]
fn o33_a_file_that_takes_the_place_of_one_in_use_is_compared() {
    let setup = Setup::new();
    let (database, other) = (setup.path("app.db"), setup.path("new.db"));
    come_and_go(&database, 20);
    App::open(&other).insert(20, 899);
    let size = |path: &Path| fs::metadata(path).unwrap().len();
    assert_eq!(size(&database), size(&other), "or SQLite would find the new file damaged");
    let stays = App::open(&database);
    let sidecar = setup.follow();
    stays.insert(3, 900);
    setup.sync();
    App::open(&other).insert(3, 899);
    wait_until("both to have as many pages", || {
        stays.checkpoint("TRUNCATE");
        size(&database) == size(&other)
    });
    fs::rename(&other, &database).unwrap();
    App::open(&database).insert(1, 100);
    setup.sync();
    setup.assert_exact();
    assert_eq!(sound_rows(&database), 24);
    let replica = setup.history();
    let commits = replica.entries().into_iter().filter(|entry| entry.kind == EntryKind::Commit);
    assert_eq!(commits.count(), 3, "no commit is one that the old file never had");
    assert_eq!(sidecar.stop(), 0);
    drop(stays);
}

#[test]
fn o34_a_file_that_takes_the_place_of_one_whose_sidecar_was_killed_is_the_whole_database() {
    let setup = Setup::new();
    let (database, other) = (setup.path("app.db"), setup.path("new.db"));
    come_and_go(&database, 30);
    come_and_go(&other, 500);
    let sidecar = setup.follow();
    come_and_go(&database, 5);
    wait_for_rest(&setup);
    sidecar.kill();
    fs::rename(&other, &database).unwrap();
    assert_eq!(sound_rows(&database), 500);
    let sidecar = setup.follow();
    come_and_go(&database, 1);
    setup.sync();
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}

/// SQLite works beside the file that a link names, so the sidecar does.
#[test]
fn o05_a_database_is_followed_through_a_symbolic_link() {
    let setup = Setup::new();
    fs::create_dir(setup.path("data")).unwrap();
    let real = setup.path("data/real.db");
    come_and_go(&real, 2);
    std::os::unix::fs::symlink(&real, setup.path("app.db")).unwrap();
    let sidecar = setup.follow();
    let application = Connection::open(setup.path("app.db")).unwrap();
    application.execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    come_and_go(&real, 4);
    setup.sync();
    let replica = setup.history();
    setup.assert_exact();
    assert_eq!(replica.counts().commits, 5);
    assert_eq!(sidecar.stop(), 0);
}

/// Whoever opens it by the other name writes another log, and nothing of that can be followed.
#[test]
fn o05_o39_another_name_of_the_file_needs_attention() {
    let setup = Setup::new();
    come_and_go(&setup.path("app.db"), 2);
    let sidecar = setup.follow();
    assert_eq!(setup.report()["attention"], serde_json::json!([]));
    fs::hard_link(setup.path("app.db"), setup.path("second.db")).unwrap();
    let status = setup.report();
    assert_eq!(status["attention"], serde_json::json!(["other-name"]));
    assert!(status["other_names"].as_str().unwrap().contains("2 hard links"), "{status}");
    fs::remove_file(setup.path("second.db")).unwrap();
    assert_eq!(setup.report()["attention"], serde_json::json!([]));
    assert_eq!(sidecar.stop(), 0);
}

/// At its next change, and not half a minute later.
#[test]
fn o07_a_database_that_comes_later_is_followed_as_soon_as_it_can_be() {
    let setup = Setup::new();
    let args = ["replicate", "--wait", "--log-format", "json"];
    let mut command =
        command(&[&args[..], &[&setup.text("app.db"), &setup.text("backup")]].concat());
    let sidecar = Sidecar::spawn_command(command.env("EBBTIDE_RUNTIME_DIR", setup.path("run")));
    sidecar.process().line_with("there is no such file", PATIENCE);
    fs::write(setup.path("app.db"), "").unwrap();
    sidecar.process().line_with("empty", PATIENCE);
    let application = Connection::open(setup.path("app.db")).unwrap();
    application.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, b)").unwrap();
    sidecar.process().line_with("rollback-journal mode", PATIENCE);
    application.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    sidecar.wait_until_it_follows();
    application.execute("INSERT INTO t (b) VALUES (1)", []).unwrap();
    setup.sync();
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}
