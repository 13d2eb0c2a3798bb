//! What applications do with SQLite that tools beside them did not expect.

use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{has, rows_restored};
use crate::support::{Counts, Ended, Setup};

/// The online backup writes every page of the target in one transaction, whatever was there.
#[test]
fn r01_a_backup_that_is_restored_onto_the_live_database_is_followed() {
    if !has("sqlite3", "r01") {
        return;
    }
    let (setup, app) = Setup::with_rows(20);
    app.execute_batch(&format!("VACUUM INTO '{}'", setup.text("old.db"))).unwrap();
    let sidecar = setup.follow();
    app.insert(60, 700);
    let mut restore = Command::new("sqlite3");
    restore.arg(&setup.database).arg(format!(".restore '{}'", setup.text("old.db")));
    Ended::of(&mut restore).exits(0);
    let rows = "SELECT count(*) FROM t";
    let rows: i64 = app.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 20, "it was restored");
    app.insert(2, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(63));
}

#[test]
fn r02_a_vacuum_and_a_copy_by_vacuum_into_are_followed() {
    let (setup, app) = Setup::with_rows(20);
    app.insert(200, 700);
    let sidecar = setup.follow();
    app.execute_batch(&format!("VACUUM INTO '{}'", setup.text("copy.db"))).unwrap();
    app.execute_batch("DELETE FROM t WHERE id % 3; VACUUM").unwrap();
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(3));
}

/// A web server that forks its workers: a connection from before the fork is closed in each of them, which drops this
/// process's locks only, and then used on.
#[test]
fn r05_connections_that_forked_workers_close_lose_nothing() {
    if !has("python3", "r05") {
        return;
    }
    let (setup, _app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    let script = "
import os, sqlite3, sys
before = sqlite3.connect(sys.argv[1], isolation_level=None)
for _ in range(8):
    if os.fork() == 0:
        before.close()
        os._exit(0)
    os.wait()
    worker = sqlite3.connect(sys.argv[1], isolation_level=None)
    worker.execute('INSERT INTO t (b) VALUES (1)')
    before.execute('INSERT INTO t (b) VALUES (2)')
    worker.close()
";
    let mut server = Command::new("python3");
    server.args(["-c", script]).arg(&setup.database);
    Ended::of(&mut server).exits(0);
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(16));
}

/// Each request is a process that opens, writes and closes.
#[test]
fn r06_an_application_that_opens_and_closes_for_each_commit_has_each_of_them() {
    if !has("sqlite3", "r06") {
        return;
    }
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    drop(app);
    for _ in 0..25 {
        let mut request = Command::new("sqlite3");
        // Who opens a database while another closes it meets a lock for a moment.
        request.args(["-cmd", ".timeout 5000"]).arg(&setup.database);
        request.arg("INSERT INTO t (b) VALUES (randomblob(100))");
        Ended::of(&mut request).exits(0);
    }
    let _app = setup.app();
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(25));
}

/// Maintenance by cron that asks for every kind of checkpoint, vacuums, and never waits for a lock.
#[test]
fn r07_checkpoints_and_vacuums_by_cron_are_harmless() {
    let (setup, app) = Setup::with_rows(20);
    let sql = "PRAGMA journal_size_limit = 0; PRAGMA wal_autocheckpoint = 1";
    app.execute_batch(sql).unwrap();
    let sidecar = setup.follow();
    for mode in ["TRUNCATE", "RESTART", "FULL", "PASSIVE"].iter().cycle().take(12) {
        app.insert(5, 700);
        app.checkpoint(mode);
        app.execute_batch("VACUUM").unwrap();
    }
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(72));
}

/// Migration tools and images begin by asking for the journal mode they know. SQLite refuses while another connection is
/// open, and the application goes on with the log.
#[test]
fn r08_an_application_that_asks_for_another_journal_mode_keeps_its_log() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    let impatient = Connection::open(&setup.database).unwrap();
    impatient.busy_timeout(std::time::Duration::ZERO).unwrap();
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"] {
        let asked = format!("PRAGMA journal_mode = {mode}");
        let answer = impatient.query_row(&asked, [], |row| row.get::<_, String>(0));
        assert!(answer.is_err_and(|error| error.to_string().contains("locked")), "{mode}");
        app.insert(1, 700);
    }
    let mode: String =
        impatient.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts(), Counts::commits(5));
}

/// Go's and Java's drivers can keep the log at the last close. What is in it then is found at the next start.
#[test]
fn r09_a_log_that_the_last_close_leaves_behind_is_read_at_the_next_start() {
    if !has("sqlite3", "r09") {
        return;
    }
    let (setup, app) = Setup::with_rows(20);
    assert_eq!(setup.follow().stop(), 0);
    drop(app);
    let mut shell = Command::new("sqlite3");
    shell.arg(&setup.database).stdin(Stdio::null());
    shell.args([".dbconfig no_ckpt_on_close on", "INSERT INTO t (b) VALUES (randomblob(3000))"]);
    Ended::of(&mut shell).exits(0);
    assert!(setup.path("app.db-wal").metadata().unwrap().len() > 3000, "it was kept");
    let sidecar = setup.follow();
    let app = setup.app();
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(rows_restored(&setup), 22);
}
