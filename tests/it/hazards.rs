//! What applications, their files and operators do to a sidecar that follows: a few of the hazards, one test each.

use std::path::Path;
use std::time::Duration;

use ebbtide_catalog::Target;
use ebbtide_replica::KeyPrefix;
use ebbtide_testkit::faulty::{Call, Outcome};
use ebbtide_testkit::oracle::{self, Image};
use ebbtide_testkit::process::{Output, Process};
use ebbtide_testkit::zeroed_frame::ZeroedFrame;
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};

use crate::support::{App, PATIENCE, Setup, Sidecar, command, wait_until};

/// What the replica has is what the database is, and no commit is left out.
#[track_caller]
fn assert_exact(setup: &Setup, commits: usize) {
    setup.assert_exact();
    assert_eq!(setup.history().counts().commits, commits, "each commit is an entry of its own");
}

/// `-wal`, `-shm` or the database itself is taken away: what the application writes then goes where nobody can follow,
/// and that must not stay unsaid.
fn is_told(setup: &Setup, sidecar: &Sidecar, name: &str) {
    let file = setup.path(name);
    let line = sidecar.process().line_with("following again", PATIENCE);
    assert!(line.contains(file.to_str().unwrap()), "{line}");
}

#[test]
fn a08_a_log_that_is_deleted_is_told() {
    let (setup, _app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    std::fs::remove_file(setup.path("app.db-wal")).unwrap();
    is_told(&setup, &sidecar, "app.db-wal");
}

#[test]
fn a09_a_wal_index_that_is_deleted_is_told() {
    let (setup, _app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    std::fs::remove_file(setup.path("app.db-shm")).unwrap();
    is_told(&setup, &sidecar, "app.db-shm");
}

/// Another database takes this one's name: what the replica has of the first stays as it is.
#[test]
fn a11_a_database_that_is_replaced_is_told_and_its_history_stays() {
    let (setup, app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    app.insert(5, 900);
    let replica = setup.history();
    wait_until("everything to be durable", || replica.entries().len() >= 7);
    let before = replica.entries();
    let other = setup.path("other.db");
    App::open(&other).insert(50, 900);
    std::fs::rename(&other, &setup.database).unwrap();
    is_told(&setup, &sidecar, "app.db");
    sidecar.kill();
    assert_eq!(replica.entries()[..before.len()], before);
}

/// A database that is deleted is waited for, and never made by us.
#[test]
fn a13_a_database_that_is_deleted_is_told_and_not_made_anew() {
    let (setup, _app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        std::fs::remove_file(setup.path(name)).unwrap();
    }
    is_told(&setup, &sidecar, "app.db");
    sidecar.process().line_with("no such file", PATIENCE);
    assert!(!setup.database.exists());
    sidecar.kill();
}

/// SQLite 3.11.0 to 3.49.2 can commit frames without salts and checksum. Whoever follows an application with one of
/// those finds them in the log, and SQLite itself reads them.
#[test]
fn a23_a_log_with_a_frame_that_was_never_sealed_is_followed() {
    let setup = Setup::new();
    let live = ZeroedFrame::place(setup.directory.path()).unwrap();
    let name = live.path().file_name().unwrap().to_str().unwrap();
    let sidecar = setup.follow_other(name, "backup");
    App::prepared(live.path(), "").insert(3, 900);
    let (code, said) = sidecar.stop_and_tell();
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("following again"), "{said}");
    setup.history().assert_ends_with(live.path(), setup.directory.path());
}

/// Two databases, each followed by itself, and transactions over both: each history is whole, and nothing is promised of
/// the two together.
#[test]
fn a25_transactions_over_attached_databases_are_exact_in_each() {
    let ((one, app), (two, _two_app)) = (Setup::with_rows(5), Setup::with_rows(5));
    let sidecars = [one.follow(), two.follow()];
    app.execute("ATTACH ?1 AS two", [two.database.to_str().unwrap()]).unwrap();
    for _ in 0..30 {
        let both = "BEGIN; INSERT INTO main.t (b) VALUES (randomblob(900));
                    INSERT INTO two.t (b) VALUES (randomblob(900)); COMMIT";
        app.execute_batch(both).unwrap();
    }
    for sidecar in sidecars {
        assert_eq!(sidecar.stop(), 0);
    }
    assert_exact(&one, 30);
    assert_exact(&two, 30);
}

/// The restored file is the application's, so its header says WAL: it is read also where no log can be made beside it.
#[test]
fn d15_a_restored_file_is_read_with_and_without_a_log_beside_it() {
    let (setup, _app) = Setup::with_rows(5);
    assert_eq!(setup.follow().stop(), 0);
    let output = setup.path("copy.db");
    setup.history().restore_into(Target::Latest, &output);
    let header = std::fs::read(&output).unwrap();
    assert_eq!(header[18..20], [2, 2], "WAL mode, as the application set it");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    for options in ["?immutable=1", ""] {
        let address = format!("file:{}{options}", output.to_str().unwrap());
        let copy = Connection::open_with_flags(address, flags).unwrap();
        let rows: u32 = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 5, "{options}");
    }
}

/// A listing that lags shows an older end of the history; what it does not show is found by its name.
#[test]
fn s11_a_listing_that_lags_hides_nothing() {
    let (setup, app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    let replica = setup.history();
    for commits in 1..=6 {
        app.insert(1, 900);
        wait_until("a segment for each", || replica.entries().len() == 2 + commits);
    }
    assert_eq!(sidecar.stop(), 0);
    let head = replica.head();
    let expected = Image::of(&oracle::committed(&setup.database).unwrap());
    let (replica, faulty) = replica.through_faults();
    for missing in 1..=3 {
        faulty.script(move |call| match call {
            Call::List(KeyPrefix::Log) => Some(Outcome::Lag(missing)),
            _ => None,
        });
        assert_eq!(replica.head(), head, "without the last {missing}");
        let restored = replica.restore(Target::Latest, setup.directory.path()).1;
        assert_eq!(restored, expected, "without the last {missing}");
    }
}

#[test]
fn a27_a_database_in_exclusive_mode_is_refused_by_that_name() {
    let (setup, app) = Setup::with_rows(5);
    app.execute_batch("PRAGMA locking_mode = EXCLUSIVE; INSERT INTO t (b) VALUES (1)").unwrap();
    let said = refusal(&setup.database, &setup.replica);
    assert!(said.to_lowercase().contains("exclusive"), "{said}");
}

/// What a sidecar says that ends by itself with exit code 1.
fn refusal(database: &Path, replica: &str) -> String {
    let mut command = command(&["replicate", database.to_str().unwrap(), replica]);
    let mut process = Process::start(&mut command, Output::Stderr).unwrap();
    let status = process.wait(PATIENCE).unwrap();
    let said = std::iter::from_fn(|| process.line(PATIENCE)).collect::<Vec<_>>().join("\n");
    assert_eq!(status.code(), Some(1), "{said}");
    said
}

/// The application keeps the write lock: nobody waits for it but other writers.
#[test]
fn a32_an_application_that_keeps_the_write_lock_is_followed() {
    let (setup, app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    app.insert(20, 900);
    app.execute_batch("BEGIN IMMEDIATE").unwrap();
    let replica = setup.history();
    wait_until("what came before to be durable", || replica.entries().len() >= 22);
    app.execute_batch("INSERT INTO t (b) VALUES (1); COMMIT").unwrap();
    assert_eq!(sidecar.stop(), 0);
    assert_exact(&setup, 21);
}

#[test]
fn a34_the_second_of_two_replicators_of_a_database_is_refused() {
    let (setup, app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    let elsewhere = setup.path("elsewhere");
    let said = refusal(&setup.database, elsewhere.to_str().unwrap());
    assert!(said.contains(&sidecar.process().id().to_string()), "{said}");
    app.insert(3, 900);
    assert_eq!(sidecar.stop(), 0);
    assert_exact(&setup, 3);
}

/// An application that never waits for a lock, at leisure: nothing of ours is in its way.
#[test]
fn a40_an_application_that_does_not_wait_for_locks_meets_none_of_ours() {
    let (setup, app) = Setup::with_rows(5);
    app.busy_timeout(Duration::ZERO).unwrap();
    let sidecar = setup.follow();
    app.insert(500, 900);
    assert_eq!(sidecar.stop(), 0);
    assert_exact(&setup, 500);
}

/// Stopped for a while and continued, as with a machine that sleeps: the log keeps everything.
#[test]
fn b03_a_sidecar_that_is_stopped_and_continued_misses_nothing() {
    let (setup, app) = Setup::with_rows(5);
    let sidecar = setup.follow();
    for _ in 0..5 {
        sidecar.process().signal(Signal::SIGSTOP).unwrap();
        app.insert(60, 900);
        app.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        app.insert(60, 900);
        sidecar.process().signal(Signal::SIGCONT).unwrap();
        app.insert(5, 900);
    }
    assert_eq!(sidecar.stop(), 0);
    assert_exact(&setup, 625);
}
