//! What a connection to the past does and does not do.

use std::path::Path;
use std::sync::Arc;

use ebbtide_moment::{Moment, Proof};
use ebbtide_sql::{Error, Past};
use ebbtide_testkit::builder::txid;
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts};
use rusqlite::Connection;

use crate::scene::{moment, number, replica, with};

/// A replica of what these scripts make, with one state for each from txid 2 on, the claim that vouches being number 3.
async fn chronicle(begin: &str, scripts: &[&str]) -> (Chronicle, Vec<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let bodies = bodies_of_scripts(&path, begin, scripts.iter().copied()).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    for body in &bodies[1..] {
        chronicle.commit(body);
        chronicle.builder.cut().await;
    }
    (chronicle, bodies)
}

async fn of(chronicle: &Chronicle, entry: u64) -> Moment {
    let replica = replica(Arc::new(chronicle.builder.store.clone())).await;
    moment(&replica, txid(entry), Proof::Block).await.unwrap()
}

const ORDERS: &[&str] = &[
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT);
     INSERT INTO orders VALUES (1, 'paid'), (2, 'open'), (3, 'paid')",
    "UPDATE orders SET status = 'gone' WHERE id = 2",
    "DELETE FROM orders WHERE id < 3",
];

#[tokio::test(flavor = "multi_thread")]
async fn t06_a_header_of_a_log_is_served_as_it_is_and_nothing_is_looked_for_beside_it() {
    let (chronicle, bodies) = chronicle("", ORDERS).await;
    assert_eq!(bodies[0][18..20], [2, 2], "in WAL mode");
    let directory = tempfile::tempdir().unwrap();
    let moment = of(&chronicle, 2).await;
    let served = with(&moment, |mut past| {
        assert!(past.execute("INSERT INTO orders VALUES (9, 'x')", []).is_err());
        let mode: String = past.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_ne!(mode, "wal");
        past.serialize("main").unwrap().to_vec()
    })
    .await;
    assert_eq!(served, bodies[0]);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    assert_eq!(number(&moment, "SELECT count(*) FROM orders").await.unwrap(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_moments_are_asked_at_once_and_each_says_what_it_is() {
    let (chronicle, _) = chronicle("", ORDERS).await;
    let (now, then) = (of(&chronicle, 5).await, of(&chronicle, 2).await);
    let said = with(&now, move |mut past| {
        past.attach("then", &then).unwrap();
        let lost = "SELECT group_concat(id || ' ' || status, ', ') FROM
                    (SELECT * FROM \"then\".orders EXCEPT SELECT * FROM main.orders ORDER BY id)";
        let lost: String = past.query_row(lost, [], |row| row.get(0)).unwrap();
        assert_eq!(lost, "1 paid, 2 open");
        past.query_row("PRAGMA \"then\".ebbtide", [], |row| row.get::<_, String>(0)).unwrap()
    })
    .await;
    assert!(said.starts_with("txid 0000000000000002 of 2026-"), "{said}");
    assert!(said.ends_with("read from sound blocks"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_set_is_the_pages_that_an_answer_depends_on() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<9000)
                INSERT INTO t SELECT i, hex(zeroblob(40)) FROM n";
    let scripts = ["CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)", rows];
    let (chronicle, bodies) = chronicle("", &scripts).await;
    let moment = of(&chronicle, 4).await;
    let pages = bodies[1].len() as u64 / 4096;
    with(&moment, move |past| {
        past.main().take_reads();
        past.query_row("SELECT body FROM t WHERE id = 4711", [], |row| row.get::<_, String>(0))
            .unwrap();
        let lookup = past.main().take_reads();
        assert!((2..=4).contains(&lookup.len()), "{lookup:?}");
        past.query_row("SELECT sum(length(body)) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
        let scan = past.main().take_reads();
        assert!(scan.len() + lookup.len() >= pages - 4, "{} of {pages}", scan.len());
        assert!(past.main().take_reads().is_empty());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t07_moments_with_other_encodings_are_refused_by_name() {
    let (eight, _) = chronicle("PRAGMA encoding='UTF-8'", ORDERS).await;
    let (sixteen, _) = chronicle("PRAGMA encoding='UTF-16le'", ORDERS).await;
    let (main, other) = (of(&eight, 2).await, of(&sixteen, 2).await);
    let error = with(&main, move |mut past| past.attach("then", &other).unwrap_err()).await;
    let expected = "then is encoded in UTF-16le and main in UTF-8";
    assert!(
        matches!(error, Error::Encoding { .. }) && error.to_string().starts_with(expected),
        "{error}"
    );
    let moment = of(&sixteen, 2).await;
    assert_eq!(
        number(&moment, "SELECT count(*) FROM orders WHERE status='paid'").await.unwrap(),
        2
    );
}

/// A table whose collation, function or module is the application's own: readable as far as SQLite can read it, and the
/// rest is an error with the name of what is missing.
#[tokio::test(flavor = "multi_thread")]
async fn t08_what_only_the_application_knows_is_named_and_the_rest_is_readable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let connection = Connection::open(&path).unwrap();
    connection.create_collation("nordic", |one: &str, other: &str| other.cmp(one)).unwrap();
    connection
        .execute_batch(
            "PRAGMA journal_mode=wal;
             CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT COLLATE nordic);
             CREATE INDEX by_name ON t(name);
             INSERT INTO t VALUES (1, 'a'), (2, 'b')",
        )
        .unwrap();
    let body = ebbtide_testkit::oracle::committed(&path).unwrap();
    let chronicle = Chronicle::begin(&body).await;
    let moment = of(&chronicle, 2).await;
    assert_eq!(number(&moment, "SELECT count(*) FROM t").await.unwrap(), 2);
    assert_eq!(number(&moment, "SELECT id FROM t WHERE id = 2").await.unwrap(), 2);
    let error = number(&moment, "SELECT id FROM t WHERE name = 'a'").await.unwrap_err();
    assert!(error.contains("no such collation sequence: nordic"), "{error}");
}

/// Sorts that do not fit in memory, and the copy that VACUUM INTO makes, are files like any other.
#[tokio::test(flavor = "multi_thread")]
async fn t29_files_that_are_no_moments_are_the_default_vfs_s() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<60000)
                INSERT INTO t SELECT i, hex(randomblob(200)) FROM n";
    let (chronicle, _) =
        chronicle("", &["CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)", rows]).await;
    let moment = of(&chronicle, 4).await;
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let name = output.to_str().unwrap().to_owned();
    with(&moment, move |past| {
        let first: String = past
            .query_row(
                "SELECT min(b) FROM (SELECT b FROM t ORDER BY b LIMIT -1 OFFSET 1)",
                [],
                |row| row.get(0),
            )
            .unwrap();
        let second: String = past
            .query_row("SELECT b FROM t ORDER BY b LIMIT 1 OFFSET 1", [], |row| row.get(0))
            .unwrap();
        assert_eq!(first, second);
        past.execute_batch("CREATE TEMP TABLE own AS SELECT * FROM t WHERE id < 10").unwrap();
        past.execute("VACUUM INTO ?1", [&name]).unwrap();
    })
    .await;
    let copy = Connection::open(&output).unwrap();
    let check: String = copy.pragma_query_value(None, "integrity_check", |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let rows: i64 = copy.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 60_000);
}

fn files(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        names.map(|name| name.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The moment beside the live file, whose log stays as the application left it, also when we are the last to close.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_the_past_go_into_a_live_file_whose_log_stays() {
    let (chronicle, bodies) = chronicle("", ORDERS).await;
    let then = of(&chronicle, 2).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("live.db");
    std::fs::write(&path, bodies.last().unwrap()).unwrap();
    let live = path.clone();
    let application = Connection::open(&path).unwrap();
    application.execute("INSERT INTO orders VALUES (7, 'new')", []).unwrap();
    tokio::task::spawn_blocking(move || {
        let mut past = Past::beside(&live, true).unwrap();
        past.attach("then", &then).unwrap();
        let back = "INSERT INTO orders SELECT * FROM \"then\".orders WHERE id < 3";
        assert_eq!(past.execute(back, []).unwrap(), 2);
        assert!(past.execute("DELETE FROM \"then\".orders", []).is_err());
        drop(application);
        drop(past);
        let mut reader = Past::beside(&live, false).unwrap();
        assert!(reader.execute("DELETE FROM orders", []).is_err());
        reader.attach("then", &then).unwrap();
    })
    .await
    .unwrap();
    assert_eq!(files(directory.path()), ["live.db", "live.db-shm", "live.db-wal"]);
    let again = Connection::open(&path).unwrap();
    let ids: String =
        again.query_row("SELECT group_concat(id) FROM orders", [], |row| row.get(0)).unwrap();
    assert_eq!(ids, "1,2,3,7");
}

/// A log that nobody has open, with commits that are in no database file yet: whoever reads beside it sees them, and writes
/// neither of the two, whatever statements it is given.
#[tokio::test(flavor = "multi_thread")]
async fn t19_who_only_reads_beside_a_live_file_cannot_write_it_and_nobody_empties_its_log() {
    let (chronicle, bodies) = chronicle("", ORDERS).await;
    let then = of(&chronicle, 2).await;
    let directory = tempfile::tempdir().unwrap();
    let [first, path] = ["first.db", "live.db"].map(|name| directory.path().join(name));
    std::fs::write(&first, bodies.last().unwrap()).unwrap();
    let application = Connection::open(&first).unwrap();
    application.execute("INSERT INTO orders VALUES (7, 'new')", []).unwrap();
    // As a kill of the application leaves it, without a wal-index.
    let log = |path: &std::path::Path| path.with_extension("db-wal");
    std::fs::copy(&first, &path).unwrap();
    std::fs::copy(log(&first), log(&path)).unwrap();
    drop(application);
    let read = |path: &std::path::Path| {
        [path.to_path_buf(), log(path)].map(|file| std::fs::read(file).unwrap())
    };
    let (before, live) = (read(&path), path.clone());
    tokio::task::spawn_blocking(move || {
        for is_writable in [false, true] {
            let mut past = Past::beside(&live, is_writable).unwrap();
            past.attach("then", &then).unwrap();
            let new: i64 = past
                .query_row("SELECT count(*) FROM main.orders WHERE id = 7", [], |row| row.get(0))
                .unwrap();
            assert_eq!(new, 1, "what is in the log alone is seen");
            for pragma in
                ["wal_checkpoint(TRUNCATE)", "journal_mode = DELETE", "main.wal_checkpoint"]
            {
                let refused = past.query_row(&format!("PRAGMA {pragma}"), [], |_| Ok(()));
                assert!(refused.unwrap_err().to_string().contains("not authorized"), "{pragma}");
            }
            let refused = past.execute_batch("PRAGMA wal_autocheckpoint = 1");
            assert!(refused.unwrap_err().to_string().contains("not authorized"));
            if !is_writable {
                past.execute_batch("PRAGMA query_only = 0").unwrap();
                for sql in [
                    "DELETE FROM orders",
                    "VACUUM",
                    "CREATE TABLE x (y)",
                    "PRAGMA user_version = 3",
                ] {
                    let error = past.execute_batch(sql).unwrap_err().to_string();
                    assert!(error.contains("readonly"), "{sql}: {error}");
                }
            }
        }
    })
    .await
    .unwrap();
    assert!(before == read(&path), "neither file is another one");
    assert!(!before[1].is_empty());
}
