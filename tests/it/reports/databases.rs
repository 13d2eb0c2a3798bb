//! Databases that are not like those of the other tests.

use std::process::Command;

use super::{has, rows_restored};
use crate::support::{App, Ended, Setup, rows, wait_until};

/// What SQLite can hold, at once: another encoding, virtual tables, generated columns, many tables, a large blob.
#[test]
fn r03_full_text_trees_many_tables_and_a_large_blob_come_back() {
    let setup = Setup::new();
    let app = App::prepared(
        &setup.database,
        "PRAGMA encoding = 'UTF-16be'; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
         CREATE TABLE t (id INTEGER PRIMARY KEY, b)",
    );
    let sidecar = setup.follow();
    let run = |sql: &str| app.execute_batch(sql).unwrap();
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
    setup.assert_exact_after(sidecar);
    assert_eq!(setup.history().counts().gaps, 0);
    setup.run(&["verify", "--restore", &setup.replica]).exits(0);
}

/// Checksums of SQLite's own extension, and encryption, keep bytes at the end of each page to themselves.
#[test]
fn r04_pages_with_reserved_bytes_come_back() {
    if !has("sqlite3", "r04") {
        return;
    }
    let setup = Setup::new();
    let mut shell = Command::new("sqlite3");
    shell.arg(&setup.database).arg(".filectrl reserve_bytes 32");
    shell.arg("CREATE TABLE t (id INTEGER PRIMARY KEY, b); VACUUM; PRAGMA journal_mode = WAL");
    Ended::of(&mut shell).exits(0);
    assert_eq!(std::fs::read(&setup.database).unwrap()[20], 32, "they are reserved");
    let app = setup.app();
    let sidecar = setup.follow();
    app.insert(100, 700);
    app.execute_batch("VACUUM").unwrap();
    setup.assert_exact_after(sidecar);
    assert_eq!(rows_restored(&setup), 100);
}

/// Away from the log and back to it, which is the way out that is advised for shared directories, while nobody follows.
#[test]
fn r10_a_database_that_left_its_log_and_came_back_is_brought_up_to_date() {
    let (setup, app) = Setup::with_rows(20);
    assert_eq!(setup.follow().stop(), 0);
    app.pragma_update(None, "journal_mode", "DELETE").unwrap();
    app.insert(7, 700);
    app.pragma_update(None, "journal_mode", "WAL").unwrap();
    app.insert(1, 700);
    let sidecar = setup.follow();
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
    assert_eq!(rows_restored(&setup), 29);
}

/// A journal that is still hot is played back by SQLite before the log is switched on; without that it is left alone.
#[test]
fn r11_a_hot_journal_is_played_back_before_anything_is_sent() {
    let setup = Setup::new();
    let app = App::prepared(&setup.database, "CREATE TABLE t (id INTEGER PRIMARY KEY, b)");
    app.insert(20, 700);
    let journal = setup.path("app.db-journal");
    app.execute_batch("PRAGMA cache_size = 5; BEGIN").unwrap();
    app.execute("UPDATE t SET b = zeroblob(60000)", []).unwrap();
    // As a kill leaves it: the files, without the process.
    let (hot, half) = (std::fs::read(&journal).unwrap(), std::fs::read(&setup.database).unwrap());
    app.execute_batch("ROLLBACK").unwrap();
    drop(app);
    std::fs::write(&setup.database, half).unwrap();
    std::fs::write(&journal, hot).unwrap();
    setup.once().exits(1).says("rollback-journal mode");
    assert!(journal.exists(), "nothing was touched");
    setup.once_other("app.db", "backup", &["--enable-wal"]).exits(0);
    let app = setup.app();
    let sizes = "SELECT max(length(b)) FROM t";
    let longest: i64 = app.query_row(sizes, [], |row| row.get(0)).unwrap();
    assert_eq!(longest, 700, "the transaction that was killed is rolled back");
    setup.assert_exact();
}

/// A copy that failed leaves an empty file, and the application begins anew in it. What was there before stays.
#[test]
fn r12_a_database_that_was_emptied_and_begun_anew_is_followed_and_its_past_stays() {
    let (setup, app) = Setup::with_rows(20);
    assert_eq!(setup.follow().stop(), 0);
    drop(app);
    std::fs::write(&setup.database, "").unwrap();
    let sidecar = setup.spawn();
    let told = || sidecar.process().lines_so_far().iter().any(|line| line.contains("empty"));
    wait_until("the empty file to be told of", told);
    let app = setup.app();
    app.insert(3, 700);
    sidecar.wait_until_it_follows();
    setup.assert_exact_after(sidecar);
    setup.restore(&["-o", &setup.text("before.db"), "--txid", "2"]).exits(0);
    assert_eq!(rows(&setup.path("before.db")), 20);
}
