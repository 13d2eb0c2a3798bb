//! What applications do with SQLite that tools beside them did not expect.

use std::process::{Command, Stdio};

use rusqlite::Connection;

use super::{Site, has, succeeds};
use crate::support::Sidecar;

/// The online backup writes every page of the target in one transaction, whatever was there.
#[test]
fn r01_a_backup_that_is_restored_onto_the_live_database_is_followed() {
    if !has("sqlite3", "r01") {
        return;
    }
    let site = Site::new();
    site.application.execute_batch(&format!("VACUUM INTO '{}'", site.text("old.db"))).unwrap();
    let sidecar = site.follow();
    site.insert(60);
    let mut restore = Command::new("sqlite3");
    restore.arg(&site.database).arg(format!(".restore '{}'", site.text("old.db")));
    succeeds(&restore.output().unwrap());
    let rows = "SELECT count(*) FROM t";
    let rows: i64 = site.application.query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 20, "it was restored");
    site.insert(2);
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (63, 0));
}

#[test]
fn r02_a_vacuum_and_a_copy_by_vacuum_into_are_followed() {
    let site = Site::new();
    site.insert(200);
    let sidecar = site.follow();
    site.application.execute_batch(&format!("VACUUM INTO '{}'", site.text("copy.db"))).unwrap();
    site.application.execute_batch("DELETE FROM t WHERE id % 3; VACUUM").unwrap();
    site.insert(1);
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (3, 0));
}

/// A web server that forks its workers: a connection from before the fork is closed in each of them, which drops this
/// process's locks only, and then used on.
#[test]
fn r05_connections_that_forked_workers_close_lose_nothing() {
    if !has("python3", "r05") {
        return;
    }
    let site = Site::new();
    let sidecar = site.follow();
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
    server.args(["-c", script]).arg(&site.database);
    succeeds(&server.output().unwrap());
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (16, 0));
}

/// Each request is a process that opens, writes and closes.
#[test]
fn r06_an_application_that_opens_and_closes_for_each_commit_has_each_of_them() {
    if !has("sqlite3", "r06") {
        return;
    }
    let Site { folder, database, replica, application } = Site::new();
    let sidecar = Sidecar::start(&database, &replica);
    drop(application);
    for _ in 0..25 {
        let mut request = Command::new("sqlite3");
        request.arg(&database).arg("INSERT INTO t (b) VALUES (randomblob(100))");
        succeeds(&request.output().unwrap());
    }
    let application = Connection::open(&database).unwrap();
    let site = Site { folder, database, replica, application };
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (25, 0));
}

/// Maintenance by cron that asks for every kind of checkpoint, vacuums, and never waits for a lock.
#[test]
fn r07_checkpoints_and_vacuums_by_cron_are_harmless() {
    let site = Site::new();
    let sql = "PRAGMA journal_size_limit = 0; PRAGMA wal_autocheckpoint = 1";
    site.application.execute_batch(sql).unwrap();
    let sidecar = site.follow();
    for mode in ["TRUNCATE", "RESTART", "FULL", "PASSIVE"].iter().cycle().take(12) {
        site.insert(5);
        let checkpoint = format!("PRAGMA wal_checkpoint({mode})");
        site.application.query_row(&checkpoint, [], |_| Ok(())).unwrap();
        site.application.execute_batch("VACUUM").unwrap();
    }
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (72, 0));
}

/// Migration tools and images begin by asking for the journal mode they know. SQLite refuses while another connection is
/// open, and the application goes on with the log.
#[test]
fn r08_an_application_that_asks_for_another_journal_mode_keeps_its_log() {
    let site = Site::new();
    let sidecar = site.follow();
    let impatient = Connection::open(&site.database).unwrap();
    impatient.busy_timeout(std::time::Duration::ZERO).unwrap();
    for mode in ["DELETE", "TRUNCATE", "PERSIST", "MEMORY", "OFF"] {
        let asked = format!("PRAGMA journal_mode = {mode}");
        let answer = impatient.query_row(&asked, [], |row| row.get::<_, String>(0));
        assert!(answer.is_err_and(|error| error.to_string().contains("locked")), "{mode}");
        site.insert(1);
    }
    let mode: String =
        impatient.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps(), (5, 0));
}

/// Go's and Java's drivers can keep the log at the last close. What is in it then is found at the next start.
#[test]
fn r09_a_log_that_the_last_close_leaves_behind_is_read_at_the_next_start() {
    if !has("sqlite3", "r09") {
        return;
    }
    let Site { folder, database, replica, application } = Site::new();
    assert_eq!(Sidecar::start(&database, &replica).stop(), 0);
    drop(application);
    let mut shell = Command::new("sqlite3");
    shell.arg(&database).stdin(Stdio::null());
    shell.args([".dbconfig no_ckpt_on_close on", "INSERT INTO t (b) VALUES (randomblob(3000))"]);
    succeeds(&shell.output().unwrap());
    assert!(folder.path().join("app.db-wal").metadata().unwrap().len() > 3000, "it was kept");
    let sidecar = Sidecar::start(&database, &replica);
    let application = Connection::open(&database).unwrap();
    let site = Site { folder, database, replica, application };
    site.insert(1);
    site.assert_exact_after(sidecar);
    assert_eq!(site.rows_restored(), 22);
}
