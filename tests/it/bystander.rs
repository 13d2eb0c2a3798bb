//! The third promise: the application does not notice.

use std::time::Duration;

use ebbtide_testkit::oracle;
use rusqlite::Connection;

use crate::support::{Sidecar, wait_until};

/// The schema and every row, as text.
fn dump(database: &Connection) -> Vec<String> {
    let all = "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema
               UNION ALL SELECT id || ' ' || quote(b) FROM t ORDER BY 1";
    let mut query = database.prepare(all).unwrap();
    let rows = query.query_map([], |row| row.get(0)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[test]
fn the_database_has_the_same_schema_and_content_with_and_without_the_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let contents: Vec<Vec<String>> = [false, true]
        .into_iter()
        .map(|followed| {
            let path = folder.path().join(format!("{followed}.db"));
            let database = Connection::open(&path).unwrap();
            database
                .execute_batch(
                    "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, b)",
                )
                .unwrap();
            let replica = folder.path().join("backup");
            let sidecar = followed.then(|| Sidecar::start(&path, replica.to_str().unwrap()));
            for id in 0..500 {
                database.execute("INSERT INTO t VALUES (?1, zeroblob(?1))", [id]).unwrap();
            }
            if let Some(sidecar) = sidecar {
                assert_eq!(sidecar.stop(), 0);
            }
            dump(&database)
        })
        .collect();
    assert_eq!(contents[0], contents[1]);
}

#[test]
fn the_log_stays_bounded_beside_a_writer_that_never_pauses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
             CREATE TABLE t (id INTEGER PRIMARY KEY, b)",
        )
        .unwrap();
    let replica = folder.path().join("backup");
    let sidecar = Sidecar::start(&path, replica.to_str().unwrap());
    let log = folder.path().join("app.db-wal");
    let mut longest = 0;
    for commit in 0..40_000 {
        database.execute("INSERT INTO t (b) VALUES (zeroblob(200))", []).unwrap();
        if commit % 1000 == 0 {
            longest = longest.max(log.metadata().unwrap().len());
        }
    }
    assert!(longest <= 64 << 20, "the log grew to {longest} bytes");
    // Idle now: the file shrinks, too.
    wait_until("the log to be cut", || log.metadata().unwrap().len() < 9 << 20);
    assert_eq!(sidecar.stop(), 0);
}

#[test]
fn an_application_that_ends_its_log_is_let_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (id, b)").unwrap();
    let sidecar = Sidecar::start(&path, folder.path().join("backup").to_str().unwrap());
    database.busy_timeout(Duration::from_millis(100)).unwrap();
    for mode in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
        database.execute("INSERT INTO t VALUES (1, 2)", []).unwrap();
        // Busy or not, it is an answer and no error, and nothing is lost by it.
        database.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(())).unwrap();
    }
    assert_eq!(sidecar.stop(), 0);
    assert!(!oracle::committed(&path).unwrap().is_empty());
}
