//! The first promise: what a moment serves is the database at that entry, byte for byte.

use std::sync::Arc;

use ebbtide_moment::Proof;
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts, bodies_of_workload};
use ebbtide_testkit::workload::Options;
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_wal::PageSize;

use crate::scene::{moment, now, replica, serialized};

/// Every state of the history, at both levels of proof, is what SQLite had.
async fn assert_exact(chronicle: &mut Chronicle, what: &str) {
    let store = chronicle.store().await;
    let shared = replica(store.clone()).await;
    let mut served = 0;
    // After the first claim there is no database yet.
    for (number, state) in chronicle.builder.states.iter().enumerate().skip(1) {
        for proof in [Proof::Block, Proof::Page] {
            // One cache for all moments, and now and then a new one.
            let fresh = number % 8 == 0;
            let replica = if fresh { replica(store.clone()).await } else { shared.clone() };
            let moment = moment(&replica, state.txid, proof).await;
            let moment = moment.unwrap_or_else(|error| panic!("{what}, {}: {error}", state.txid));
            assert_eq!(moment.pages() as usize, state.pages.len(), "{what}, {}", state.txid);
            let same = serialized(&moment).await == state.image();
            assert!(same, "{what}, {} with {proof:?} is not what SQLite had", state.txid);
            served += 1;
        }
    }
    assert!(served > 0, "{what}: nothing was compared");
}

#[tokio::test(flavor = "multi_thread")]
async fn t01_every_state_of_a_random_application_is_served_byte_for_byte() {
    let mut seeds = Vec::new();
    for_each_seed(12, |seed| seeds.push(seed));
    for seed in seeds {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let options = Options::random(&mut random);
        let what = format!("seed {seed} with {options}");
        let path = directory.path().join("app.db");
        let bodies = bodies_of_workload(&path, seed, options, 40).unwrap();
        let mut chronicle = Chronicle::of(&bodies, &mut random).await;
        assert_exact(&mut chronicle, &what).await;
    }
}

const SCRIPTS: &[&str] = &[
    "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT)",
    "CREATE TABLE w (k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE docs USING fts5(body)",
    "CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1, y0, y1)",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<400)
     INSERT INTO t SELECT i, printf('row %d %s', i, hex(randomblob(i % 90))) FROM n",
    "INSERT INTO w SELECT 'key ' || id, body FROM t WHERE id % 3 = 0",
    "INSERT INTO docs SELECT body FROM t WHERE id < 100",
    "INSERT INTO boxes SELECT id, id, id+1, -id, 1-id FROM t WHERE id < 200",
    "CREATE INDEX by_body ON t(body)",
    "UPDATE t SET body = body || ' again' WHERE id % 7 = 0",
    "INSERT INTO t VALUES (9999, zeroblob(200000))",
    "DELETE FROM t WHERE id BETWEEN 50 AND 300",
    "DELETE FROM docs WHERE rowid % 2",
    "PRAGMA incremental_vacuum",
    "VACUUM",
    "DELETE FROM t WHERE id > 20",
    "VACUUM",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<300)
     INSERT INTO t SELECT 1000 + i, randomblob(500) FROM n",
    "DROP TABLE w",
];

#[tokio::test(flavor = "multi_thread")]
async fn t01_t07_page_sizes_vacuum_modes_encodings_and_kinds_of_tables_are_exact() {
    let encodings = ["UTF-8", "UTF-16le", "UTF-16be"];
    let vacuums = ["none", "full", "incremental"];
    for (number, shift) in (0..8).enumerate() {
        let size = PageSize::new(512 << shift).unwrap();
        let (encoding, vacuum) = (encodings[number % 3], vacuums[(number + number / 3) % 3]);
        let begin = format!(
            "PRAGMA page_size={size}; PRAGMA auto_vacuum={vacuum}; PRAGMA encoding='{encoding}'"
        );
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let bodies = bodies_of_scripts(&path, &begin, SCRIPTS.iter().copied()).unwrap();
        assert!(bodies.len() > 12, "{} states", bodies.len());
        let mut chronicle = Chronicle::of(&bodies, &mut Random::new(number as u64)).await;
        assert_exact(&mut chronicle, &begin).await;
    }
}

/// A page that was cut off and came back must not be what it was before, also where a delta, a pack or a large entry of
/// its own is in between.
#[tokio::test(flavor = "multi_thread")]
async fn t01_what_was_cut_off_never_comes_back() {
    let scripts: Vec<String> = (0..4)
        .flat_map(|round| {
            [
                format!("CREATE TABLE IF NOT EXISTS t (b); INSERT INTO t VALUES ('{round}')"),
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<1500)
                 INSERT INTO t SELECT randomblob(300) FROM n"
                    .to_owned(),
                "DELETE FROM t; VACUUM".to_owned(),
            ]
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let scripts = scripts.iter().map(String::as_str);
    let bodies = bodies_of_scripts(&path, "PRAGMA page_size=512", scripts).unwrap();
    for shape in 0..6 {
        let mut chronicle = Chronicle::begin(&bodies[0]).await;
        let mut packed = chronicle.builder.states.len() as u64;
        let mut random = Random::new(shape);
        for body in &bodies[1..] {
            chronicle.commit(body);
            chronicle.builder.cut().await;
            if shape > 0 {
                chronicle.reshape(&mut random, &mut packed).await;
            }
        }
        assert_exact(&mut chronicle, &format!("shape {shape}")).await;
    }
}

/// Two moments of one process share blocks, and a moment stays what it is while the replica grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_moment_stays_as_it_is_while_the_replica_grows() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let bodies = bodies_of_scripts(&path, "", SCRIPTS.iter().copied()).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    chronicle.commit(&bodies[5]);
    let store = chronicle.store().await;
    let replica = replica(store).await;
    let early = replica.at(ebbtide_moment::Target::Latest, now(), Proof::Block).await.unwrap();
    for body in &bodies[6..] {
        chronicle.commit(body);
        chronicle.builder.cut().await;
    }
    assert_eq!(serialized(&early).await, bodies[5]);
    let again = crate::scene::replica(Arc::new(chronicle.builder.store.clone())).await;
    let late = again.at(ebbtide_moment::Target::Latest, now(), Proof::Block).await.unwrap();
    assert_eq!(serialized(&late).await, bodies[bodies.len() - 1]);
    assert_eq!(serialized(&early).await, bodies[5]);
}
