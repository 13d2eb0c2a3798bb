//! What a search finds is what asking at every state finds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use ebbtide_moment::{Options as Reading, Proof, Replica, Target};
use ebbtide_replica::Txid;
use ebbtide_store::Store;
use ebbtide_testkit::Random;
use ebbtide_testkit::builder::{State, micros};
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts, bodies_of_workload};
use ebbtide_testkit::workload::Options;
use ebbtide_trace::{Found, Question, Searched, Trace, TraceError};
use rusqlite::types::Value;

/// Searches on a thread that may wait.
async fn search(
    store: Arc<dyn Store>,
    sql: &str,
    (oldest, newest): (Option<Target>, Target),
    limit: usize,
) -> Result<(Vec<Found>, Searched), TraceError> {
    let replica = Replica::open(store, Reading::default()).await.unwrap();
    let now = micros(4_000_000_000_000_000);
    let trace = Trace {
        replica,
        question: Question::new(sql),
        now,
        proof: Proof::Block,
        progress: Arc::default(),
    };
    let run = move || {
        let mut found = Vec::new();
        let searched = trace.run(oldest, newest, |change| {
            found.push(change.clone());
            if found.len() >= limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        Ok((found, searched))
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// What SQLite answers of a file, rows in any order.
fn brute(state: &State, sql: &str) -> Result<Vec<String>, String> {
    let (_directory, connection) = state.connect();
    let mut statement = connection.prepare(sql).map_err(|error| error.to_string())?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..columns).map(|at| row.get::<_, Value>(at));
        Ok(format!("{:?}", values.collect::<Result<Vec<_>, _>>()?))
    });
    let rows = rows.map_err(|error| error.to_string())?;
    let mut rows = rows.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
    rows.sort();
    Ok(rows)
}

/// The entries at which the answer is another one than before, the newest first.
fn expected(states: &[State], sql: &str) -> Vec<Txid> {
    let states: Vec<_> = states.iter().filter(|state| !state.pages.is_empty()).collect();
    let answers: Vec<_> = states.iter().map(|state| brute(state, sql)).collect();
    let changed = (1..answers.len()).rev().filter(|&at| answers[at] != answers[at - 1]);
    changed.map(|at| states[at].txid).collect()
}

async fn assert_found(chronicle: &mut Chronicle, sql: &str, what: &str) -> usize {
    let store = chronicle.store().await;
    let (found, searched) = search(store, sql, (None, Target::Latest), usize::MAX).await.unwrap();
    let found: Vec<Txid> = found.iter().map(|found| found.entry.txid).collect();
    assert_eq!(found, expected(&chronicle.builder.states, sql), "{what}: {sql}");
    assert!(searched.asked <= chronicle.builder.states.len() as u64 + 1, "{what}: {sql}");
    found.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_asking_at_every_state_finds() {
    let mut found = 0;
    for seed in 1..=4 {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let options = Options::random(&mut random);
        let what = format!("seed {seed} with {options}");
        let bodies =
            bodies_of_workload(&directory.path().join("app.db"), seed, options, 30).unwrap();
        let mut chronicle = Chronicle::of(&bodies, &mut random).await;
        let last = chronicle.builder.states.last().unwrap();
        let tables = brute(last, "SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
        let names: BTreeSet<&str> = tables.iter().filter_map(|row| row.split('"').nth(1)).collect();
        found += assert_found(&mut chronicle, "SELECT count(*) FROM sqlite_schema", &what).await;
        for name in names {
            for columns in ["count(*)", "min(rowid), max(rowid)", "*"] {
                let sql = match columns {
                    "*" => format!("SELECT * FROM \"{name}\" LIMIT 3"),
                    _ => format!("SELECT {columns} FROM \"{name}\""),
                };
                found += assert_found(&mut chronicle, &sql, &what).await;
            }
        }
    }
    assert!(found > 30, "{found} changes");
}

const SCRIPTS: &[&str] = &[
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT, total INTEGER); CREATE INDEX by_status ON orders(status)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
     INSERT INTO orders SELECT i, 'paid', i FROM n",
    "UPDATE orders SET status = 'refunded' WHERE id = 42",
    "INSERT INTO orders VALUES (5000, 'open', 7)",
    "UPDATE orders SET status = 'REFUNDED' WHERE id = 42",
    "CREATE TABLE other (x); INSERT INTO other VALUES (1)",
    "ALTER TABLE orders ADD COLUMN note TEXT",
    "DELETE FROM orders WHERE id BETWEEN 40 AND 60",
    "INSERT INTO orders (id, status, total) VALUES (42, 'paid', 42)",
    "VACUUM",
    "ALTER TABLE orders RENAME TO archive",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT); INSERT INTO orders VALUES (42, 'new')",
    "ANALYZE",
    "DROP TABLE archive",
    "DELETE FROM orders",
];

#[tokio::test(flavor = "multi_thread")]
async fn t13_a_question_goes_on_by_name_through_every_change_of_the_schema() {
    for (shape, begin) in
        ["PRAGMA page_size=512", "PRAGMA auto_vacuum=full", "PRAGMA encoding='UTF-16'"]
            .into_iter()
            .enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let bodies = bodies_of_scripts(&path, begin, SCRIPTS.iter().copied()).unwrap();
        let mut chronicle = Chronicle::of(&bodies, &mut Random::new(shape as u64 + 7)).await;
        for sql in [
            "SELECT * FROM orders WHERE id = 42",
            "SELECT status FROM orders WHERE id = 42",
            "SELECT count(*) FROM orders WHERE status = 'paid'",
            "SELECT sum(total) FROM archive",
            "SELECT note FROM orders WHERE id = 1",
            "SELECT name FROM sqlite_schema",
            "SELECT 1",
        ] {
            assert_found(&mut chronicle, sql, begin).await;
        }
    }
}

/// Entries that have nothing to do with the question do not make it be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_asked_only_where_what_it_reads_changed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut scripts = vec![
        "CREATE TABLE a (id INTEGER PRIMARY KEY, v); CREATE TABLE b (id INTEGER PRIMARY KEY, v); \
         INSERT INTO a VALUES (1, 'x')"
            .to_owned(),
    ];
    scripts.extend((0..60).map(|n| match n {
        30 => "UPDATE a SET v = 'y'".to_owned(),
        _ => format!("INSERT INTO b VALUES ({n}, randomblob(2000))"),
    }));
    let bodies = bodies_of_scripts(&path, "", scripts.iter().map(String::as_str)).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    for body in &bodies[1..] {
        chronicle.commit(body);
        chronicle.builder.cut().await;
    }
    let store = chronicle.store().await;
    let sql = "SELECT v FROM a WHERE id = 1";
    let (found, searched) =
        search(store.clone(), sql, (None, Target::Latest), usize::MAX).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].before.to_string(), found[0].after.to_string()),
        ("'x'".into(), "'y'".into())
    );
    assert_eq!(searched.asked, 3, "at the newest state, before the change, and at the oldest");
    let newest = Target::Txid(found[0].entry.txid.previous().unwrap());
    let (found, _) = search(store, sql, (None, newest), usize::MAX).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_does_not_decide_is_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let bodies = bodies_of_scripts(&path, "", SCRIPTS[..2].iter().copied()).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[1]).await;
    let store = chronicle.store().await;
    for (sql, why) in [
        ("SELECT random()", "random()"),
        ("SELECT count(*) FROM orders WHERE total > abs(randomblob(1))", "randomblob()"),
        ("SELECT datetime('now')", "time of day"),
        ("SELECT date()", "time of day"),
        ("SELECT CURRENT_TIMESTAMP", "time of day"),
        ("DELETE FROM orders", "has to be a query"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("", "one statement"),
        ("SELEC 1", "no SQL"),
    ] {
        let error = search(store.clone(), sql, (None, Target::Latest), 1).await.unwrap_err();
        assert!(error.to_string().contains(why), "{sql}: {error}");
    }
    let (_, searched) =
        search(store, "SELECT date(0, 'unixepoch')", (None, Target::Latest), 1).await.unwrap();
    assert_eq!(searched.first.to_string(), "'1970-01-01'");
}
