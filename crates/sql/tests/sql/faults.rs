//! What becomes of a query when the replica cannot be read: an end with the cause, in time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_moment::{BlockCache, Options, Proof, Replica, Target};
use ebbtide_replica::Key;
use ebbtide_sql::Error;
use ebbtide_store::Store as _;
use ebbtide_testkit::builder::txid;
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};

use crate::scene::{moment, now, replica, with};

const TABLE: &[&str] = &[
    "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)
     INSERT INTO t SELECT i, hex(randomblob(60)) FROM n",
];

async fn table() -> Chronicle {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let bodies = bodies_of_scripts(&path, "", TABLE.iter().copied()).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[1]).await;
    chronicle.claim().await;
    chronicle
}

#[tokio::test(flavor = "multi_thread")]
async fn t03_a_query_that_cannot_be_answered_names_the_object() {
    let chronicle = table().await;
    let store = Arc::new(chronicle.builder.store.clone());
    let moment = moment(&replica(store.clone()).await, txid(2), Proof::Block).await.unwrap();
    let key = Key::Snapshot(txid(2));
    let mut body = chronicle.builder.body(key).await;
    let middle = body.len() / 2;
    body[middle] ^= 1;
    store.delete(&key).await.unwrap();
    store.put(&key, body.into()).await.unwrap();
    let error = with(&moment, |past| {
        let asked =
            past.query_row("SELECT sum(length(body)) FROM t", [], |row| row.get::<_, i64>(0));
        let raw = asked.unwrap_err();
        assert!(raw.to_string().contains("disk I/O error"), "{raw}");
        past.explain(raw)
    })
    .await;
    assert!(error.to_string().contains("snap/0000000000000002.seg"), "{error}");
    assert!(matches!(error, Error::Moment(cause) if cause.is_damage()));
}

/// The store takes a request and never answers it.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_query_that_waits_for_the_store_ends_when_it_is_cancelled() {
    let chronicle = table().await;
    let faulty = Faulty::new(Arc::new(chronicle.builder.store.clone()));
    let options = Options { cache: BlockCache::new(1), expect: None, indexes: None };
    let replica = Replica::open(Arc::new(faulty.clone()), options).await.unwrap();
    let moment = replica.at(Target::Latest, now(), Proof::Block).await.unwrap();
    let silent = faulty.clone();
    with(&moment, move |past| {
        let count = "SELECT count(*) FROM t WHERE body LIKE '%'";
        let tables: i64 =
            past.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!(tables, 1);
        silent.script(|call| matches!(call, Call::GetRange(..)).then_some(Outcome::Hang));
        let canceller = past.canceller();
        let begun = Instant::now();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            canceller.cancel();
        });
        let asked = past.query_row(count, [], |row| row.get::<_, i64>(0));
        let error = past.explain(asked.unwrap_err());
        assert!(matches!(error, Error::Cancelled), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        thread.join().unwrap();
        // Cancelled once, it stays so, until somebody says that it goes on.
        silent.heal();
        assert!(past.query_row(count, [], |row| row.get::<_, i64>(0)).is_err());
        past.cancel().reset();
        let rows: i64 = past.query_row(count, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 3000);
    })
    .await;
}

/// What SQLite computes without asking for a page ends, too.
#[tokio::test(flavor = "multi_thread")]
async fn t05_a_query_that_computes_ends_when_it_is_cancelled() {
    let chronicle = table().await;
    let store = Arc::new(chronicle.builder.store.clone());
    let moment = moment(&replica(store).await, txid(2), Proof::Block).await.unwrap();
    with(&moment, |past| {
        let canceller = past.canceller();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            canceller.cancel();
        });
        let endless =
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n";
        let begun = Instant::now();
        let error = past.query_row(endless, [], |row| row.get::<_, i64>(0)).unwrap_err();
        assert!(matches!(past.explain(error), Error::Cancelled));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    })
    .await;
}
