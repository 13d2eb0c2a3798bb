//! Databases that are not like those of the other tests.

use std::process::Command;

use rusqlite::Connection;

use super::{Site, code, has, said, succeeds};
use crate::support::{Sidecar, ebbtide, wait_until};

/// What SQLite can hold, at once: another encoding, virtual tables, generated columns, many tables, a large blob.
#[test]
fn r03_full_text_trees_many_tables_and_a_large_blob_come_back() {
    let site = Site::prepared(
        "PRAGMA encoding = 'UTF-16be'; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
         CREATE TABLE t (id INTEGER PRIMARY KEY, b)",
    );
    let sidecar = site.follow();
    let run = |sql: &str| site.application.execute_batch(sql).unwrap();
    run("CREATE VIRTUAL TABLE f USING fts5(x, y);
         CREATE VIRTUAL TABLE r USING rtree(id, a, b);
         CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
         CREATE TABLE s (a INT, b TEXT) STRICT;
         CREATE TABLE g (a, b AS (a * 2) STORED, c AS (a + 1));
         CREATE INDEX gi ON g (c) WHERE a > 3");
    for row in 0..60 {
        run(&format!(
            "INSERT INTO f VALUES ('word{row} word{}', 'größer'); INSERT INTO g (a) VALUES ({row});
             INSERT INTO w VALUES ('{row}', {row}); INSERT INTO r VALUES ({row}, {row}, {row} + 1)",
            row % 7
        ));
    }
    run("INSERT INTO f(f) VALUES ('optimize'); INSERT INTO f(f) VALUES ('rebuild')");
    let tables = |sql: &dyn Fn(u32) -> String| (0..400).map(sql).collect::<Vec<_>>().join(";");
    run(&format!("BEGIN; {}; COMMIT", tables(&|n| format!("CREATE TABLE t{n} (a, b, c)"))));
    run("INSERT INTO t (b) VALUES (zeroblob(20000000))");
    run("INSERT INTO t (b) VALUES (randomblob(4000000))");
    run("DELETE FROM t WHERE length(b) > 19000000; PRAGMA incremental_vacuum(100)");
    run(&format!("BEGIN; {}; COMMIT", tables(&|n| format!("DROP TABLE t{n}"))));
    run("REINDEX; ANALYZE; VACUUM");
    site.assert_exact_after(sidecar);
    assert_eq!(site.commits_and_gaps().1, 0);
    succeeds(&ebbtide(&["verify", "--restore", &site.replica]));
}

/// Checksums of SQLite's own extension, and encryption, keep bytes at the end of each page to themselves.
#[test]
fn r04_pages_with_reserved_bytes_come_back() {
    if !has("sqlite3", "r04") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("app.db");
    let mut shell = Command::new("sqlite3");
    shell.arg(&database).arg(".filectrl reserve_bytes 32");
    shell.arg("CREATE TABLE t (id INTEGER PRIMARY KEY, b); VACUUM; PRAGMA journal_mode = WAL");
    succeeds(&shell.output().unwrap());
    assert_eq!(std::fs::read(&database).unwrap()[20], 32, "they are reserved");
    let replica = folder.path().join("backup").to_str().unwrap().to_owned();
    let application = Connection::open(&database).unwrap();
    let site = Site { folder, database, replica, application };
    let sidecar = site.follow();
    site.insert(100);
    site.application.execute_batch("VACUUM").unwrap();
    site.assert_exact_after(sidecar);
    assert_eq!(site.rows_restored(), 100);
}

/// Away from the log and back to it, which is the way out that is advised for shared folders, while nobody follows.
#[test]
fn r10_a_database_that_left_its_log_and_came_back_is_brought_up_to_date() {
    let site = Site::new();
    assert_eq!(site.follow().stop(), 0);
    site.application.pragma_update(None, "journal_mode", "DELETE").unwrap();
    site.insert(7);
    site.application.pragma_update(None, "journal_mode", "WAL").unwrap();
    site.insert(1);
    let sidecar = site.follow();
    site.insert(1);
    site.assert_exact_after(sidecar);
    assert_eq!(site.rows_restored(), 29);
}

/// A journal that is still hot is played back by SQLite before the log is switched on; without that it is left alone.
#[test]
fn r11_a_hot_journal_is_played_back_before_anything_is_sent() {
    let site = Site::prepared("CREATE TABLE t (id INTEGER PRIMARY KEY, b)");
    let (journal, database) = (site.path("app.db-journal"), site.database.clone());
    site.application.execute_batch("PRAGMA cache_size = 5; BEGIN").unwrap();
    site.application.execute("UPDATE t SET b = zeroblob(60000)", []).unwrap();
    // As a kill leaves it: the files, without the process.
    let (hot, half) = (std::fs::read(&journal).unwrap(), std::fs::read(&database).unwrap());
    site.application.execute_batch("ROLLBACK").unwrap();
    let Site { folder, database, replica, application } = site;
    drop(application);
    std::fs::write(&database, half).unwrap();
    std::fs::write(&journal, hot).unwrap();
    let once = ["replicate", "--once", database.to_str().unwrap(), &replica];
    let refused = ebbtide(&once);
    assert_eq!(code(&refused), 1);
    assert!(said(&refused).contains("rollback-journal mode"), "{}", said(&refused));
    assert!(journal.exists(), "nothing was touched");
    succeeds(&ebbtide(&[&once[..], &["--enable-wal"]].concat()));
    let application = Connection::open(&database).unwrap();
    let site = Site { folder, database, replica, application };
    let sizes = "SELECT max(length(b)) FROM t";
    let longest: i64 = site.application.query_row(sizes, [], |row| row.get(0)).unwrap();
    assert_eq!(longest, 700, "the transaction that was killed is rolled back");
    site.assert_exact();
}

/// A copy that failed leaves an empty file, and the application begins anew in it. What was there before stays.
#[test]
fn r12_a_database_that_was_emptied_and_begun_anew_is_followed_and_its_past_stays() {
    let Site { folder, database, replica, application } = Site::new();
    assert_eq!(Sidecar::start(&database, &replica).stop(), 0);
    drop(application);
    std::fs::write(&database, "").unwrap();
    let sidecar = Sidecar::spawn(&database, &replica);
    let told = || sidecar.process().lines_so_far().iter().any(|line| line.contains("empty"));
    wait_until("the empty file to be told of", told);
    let application = Connection::open(&database).unwrap();
    let sql = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, b)";
    application.execute_batch(sql).unwrap();
    let site = Site { folder, database, replica, application };
    site.insert(3);
    sidecar.wait_until_it_follows();
    site.assert_exact_after(sidecar);
    let copy = site.text("before.db");
    succeeds(&ebbtide(&["restore", "-o", &copy, "--txid", "2", &site.replica]));
    let rows = "SELECT count(*) FROM t";
    let before: i64 =
        Connection::open(copy).unwrap().query_row(rows, [], |row| row.get(0)).unwrap();
    assert_eq!(before, 20);
}
