//! A narrow comparison of two moments finds what a full one finds, and what counting the rows of both finds.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::sync::Arc;

use ebbtide_moment::{Moment, Options as Reading, Proof, Replica, Target};
use ebbtide_replica::Txid;
use ebbtide_rows::{Counts, JsonLines, Options, Pairing, Summary, diff};
use ebbtide_store::Store;
use ebbtide_testkit::builder::{State, micros};
use ebbtide_testkit::chronicle::{Chronicle, bodies_of_scripts, bodies_of_workload};
use ebbtide_testkit::workload::Options as Shape;
use ebbtide_testkit::{Random, for_each_seed};
use ebbtide_trace::{Comparison, Scope, WhyFull};
use rusqlite::types::Value;

async fn moment(replica: &Replica, txid: Txid) -> Moment {
    replica.at(Target::Txid(txid), micros(4_000_000_000_000_000), Proof::Block).await.unwrap()
}

async fn replica(store: Arc<dyn Store>) -> Replica {
    Replica::open(store, Reading::default()).await.unwrap()
}

/// What is found, as lines, with the summary and how it was read.
type Found = (Vec<String>, Summary, ebbtide_trace::Reading);

async fn compare((old, new): (&Moment, &Moment), scope: Scope) -> Found {
    let (old, new) = (old.clone(), new.clone());
    let run = move || {
        let comparison = Comparison::look(&old, &new, scope).unwrap();
        let mut lines = Vec::new();
        let mut sink = JsonLines::new(|line| {
            lines.push(line.to_string());
            Ok(())
        });
        let summary = comparison.run(|old, new, extents| {
            diff(old, new, &Options { extents: extents.clone(), ..Options::default() }, &mut sink)
        });
        let summary = summary.unwrap();
        (lines, summary, comparison.reading())
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

/// The rows of a table by their rowid, as SQLite has them in a file.
fn rows(state: &State, table: &str) -> Option<BTreeMap<i64, String>> {
    let (_directory, connection) = state.connect();
    let mut statement = connection.prepare(&format!("SELECT rowid, * FROM \"{table}\"")).ok()?;
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (1..columns).map(|at| row.get::<_, Value>(at));
        Ok((row.get(0)?, format!("{:?}", values.collect::<Result<Vec<_>, _>>()?)))
    });
    Some(rows.unwrap().collect::<Result<_, _>>().unwrap())
}

/// What differs, by looking at every row.
fn brute((old, new): (&State, &State), table: &str) -> Option<Counts> {
    let (old, new) = (rows(old, table)?, rows(new, table)?);
    let gone = old.keys().filter(|key| !new.contains_key(key)).count() as u64;
    let come = new.keys().filter(|key| !old.contains_key(key)).count() as u64;
    let changed = old.iter().filter(|(key, row)| new.get(key).is_some_and(|other| other != *row));
    Some(Counts { inserted: come, deleted: gone, updated: changed.count() as u64 })
}

#[derive(Debug, Default)]
struct Tally {
    narrow: u32,
    full: BTreeMap<String, u32>,
    brute: u32,
    changed: u32,
}

impl Tally {
    /// Compares some pairs of the states of a history.
    async fn pairs(&mut self, chronicle: &mut Chronicle, random: &mut Random, what: &str) {
        let replica = replica(chronicle.store().await).await;
        let states: Vec<&State> =
            chronicle.builder.states.iter().filter(|state| !state.pages.is_empty()).collect();
        for at in 1..states.len() {
            let reach = u32::try_from(at).unwrap().min(12);
            let before = at - 1 - random.below(reach) as usize;
            let pair = if random.one_in(3) { (before, at) } else { (at - 1, at) };
            let (old, new) = (states[pair.0], states[pair.1]);
            let moments = (moment(&replica, old.txid).await, moment(&replica, new.txid).await);
            let what = format!("{what}: {} to {}", old.txid, new.txid);
            self.compare((&moments.0, &moments.1), (old, new), &what).await;
            if random.one_in(4) {
                self.compare((&moments.1, &moments.0), (new, old), &what).await;
            }
        }
    }

    async fn compare(&mut self, moments: (&Moment, &Moment), states: (&State, &State), what: &str) {
        let narrow = compare(moments, Scope::Changed).await;
        let full = compare(moments, Scope::Full).await;
        assert_eq!(narrow.0, full.0, "{what}: {}", narrow.2);
        match narrow.2.why_full() {
            None => self.narrow += 1,
            Some(WhyFull::Doubt(doubt)) => {
                let words: Vec<String> = doubt.to_string().split(' ').map(str::to_owned).collect();
                let words = words.iter().filter(|word| word.parse::<u64>().is_err()).cloned();
                *self.full.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
            }
            Some(why) => *self.full.entry(why.to_string()).or_default() += 1,
        }
        for table in narrow.1.tables.iter().filter(|table| table.pairing == Pairing::Rowid) {
            let is_altered =
                narrow.1.schema.iter().any(|change| change.object().table == table.table);
            let Some(counts) = brute(states, &table.table).filter(|_| !is_altered) else {
                continue;
            };
            // Rows of one rowid that have nothing in common are told as two.
            let Counts { inserted, deleted, updated } = table.counts;
            let told =
                Counts { inserted: inserted + updated, deleted: deleted + updated, updated: 0 };
            let all = Counts {
                inserted: counts.inserted + counts.updated,
                deleted: counts.deleted + counts.updated,
                updated: 0,
            };
            assert_eq!(told, all, "{what}: {}", table.table);
            self.brute += 1;
            self.changed += u32::from(!table.counts.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn narrow_is_full_is_brute_force_over_random_applications() {
    let mut tally = Tally::default();
    let mut seeds = Vec::new();
    for_each_seed(5, |seed| seeds.push(seed));
    let usual = seeds.len() >= 5;
    for seed in seeds {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random::new(seed);
        let shape = Shape::random(&mut random);
        let what = format!("seed {seed} with {shape}");
        let bodies = bodies_of_workload(&directory.path().join("app.db"), seed, shape, 40).unwrap();
        let mut chronicle = Chronicle::of(&bodies, &mut random).await;
        tally.pairs(&mut chronicle, &mut random, &what).await;
    }
    println!("{tally:?}");
    assert!(!usual || (tally.narrow > 50 && tally.brute > 100 && tally.changed > 50), "{tally:?}");
}

const SCRIPTS: &[&str] = &[
    "CREATE TABLE ids (id INTEGER PRIMARY KEY, a, b); CREATE TABLE hidden (a, b); CREATE INDEX by_a ON ids(a)",
    "CREATE TABLE keyed (a, b, PRIMARY KEY (a)) WITHOUT ROWID; CREATE VIRTUAL TABLE docs USING fts5(body)",
    "CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)",
    "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n WHERE n<2000) INSERT INTO ids SELECT n, 'row ' || n, n % 7 FROM n",
    "INSERT INTO hidden SELECT a, b FROM ids; INSERT INTO keyed SELECT id, a FROM ids",
    "UPDATE ids SET b = printf('%.*c', 5000, 'x') WHERE id % 100 = 7",
    "UPDATE ids SET b = replace(b, 'x', 'y') WHERE id = 107",
    "UPDATE ids SET b = printf('%.*c', 4000, 'z') || 'tail' || printf('%.*c', 992, 'z') WHERE id = 207",
    "UPDATE ids SET b = substr(b, 1, 4000) || 'TAIL' || substr(b, 4005) WHERE id = 207",
    "INSERT INTO docs SELECT a || ' word' FROM ids WHERE id < 300; INSERT INTO boxes SELECT id, id, id+1 FROM ids WHERE id < 200",
    "UPDATE ids SET a = 'renamed' WHERE id BETWEEN 500 AND 520",
    "UPDATE keyed SET b = 'k' WHERE a = 1000",
    "DELETE FROM ids WHERE id BETWEEN 300 AND 1500",
    "INSERT INTO hidden SELECT a, 'again' FROM hidden WHERE rowid < 300",
    "DELETE FROM docs WHERE rowid % 3 = 0; DELETE FROM boxes WHERE id < 50",
    "CREATE INDEX by_b ON ids(b)",
    "UPDATE ids SET b = b || 'more' WHERE typeof(b) = 'text'",
    "REINDEX",
    "PRAGMA incremental_vacuum(20)",
    "VACUUM",
    "INSERT INTO ids SELECT id + 10000, a, b FROM ids",
    "DELETE FROM hidden",
    "ALTER TABLE ids ADD COLUMN c DEFAULT 7",
    "DROP TABLE hidden; CREATE TABLE hidden (a, b); INSERT INTO hidden VALUES (1, 2)",
    "DROP TABLE keyed",
    "DELETE FROM ids",
];

#[tokio::test(flavor = "multi_thread")]
async fn narrow_is_full_is_brute_force_for_every_kind_of_table_and_page() {
    let mut tally = Tally::default();
    for (number, begin) in [
        "PRAGMA page_size=512",
        "PRAGMA page_size=1024; PRAGMA auto_vacuum=full",
        "PRAGMA page_size=512; PRAGMA auto_vacuum=incremental; PRAGMA secure_delete=on",
        "PRAGMA page_size=4096; PRAGMA encoding='UTF-16'",
        "PRAGMA page_size=65536",
    ]
    .into_iter()
    .enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let mut random = Random::new(number as u64 + 11);
        let path = directory.path().join("app.db");
        let bodies = bodies_of_scripts(&path, begin, SCRIPTS.iter().copied()).unwrap();
        let mut chronicle = Chronicle::of(&bodies, &mut random).await;
        tally.pairs(&mut chronicle, &mut random, begin).await;
    }
    println!("{tally:?}");
    assert!(tally.narrow > 60 && tally.changed > 60, "{tally:?}");
    assert!(tally.full.keys().any(|why| why.contains("long value")), "{tally:?}");
}

/// A value that is overwritten by one as long changes an overflow page alone: nothing says whose that is, so all is compared,
/// and the row is found. Where the row's own page changes as well, it is known.
#[tokio::test(flavor = "multi_thread")]
async fn t10_an_overflow_page_that_changes_alone_makes_it_full_and_the_row_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let scripts = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a BLOB); CREATE TABLE u (x);
         INSERT INTO t VALUES (1, zeroblob(20000)), (2, zeroblob(20000)), (3, 'short')",
        "UPDATE t SET a = CAST(zeroblob(15000) || x'11' || zeroblob(4999) AS BLOB) WHERE id = 2",
        "UPDATE t SET a = CAST(x'22' || zeroblob(14999) || x'22' || zeroblob(4999) AS BLOB) WHERE id = 2",
    ];
    let bodies = bodies_of_scripts(&path, "PRAGMA page_size=1024", scripts).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    for body in &bodies[1..] {
        chronicle.commit(body);
    }
    let replica = replica(chronicle.store().await).await;
    let states: Vec<Txid> = chronicle.builder.states.iter().map(|state| state.txid).collect();
    let [.., before, alone, both] = states[..] else { panic!("{states:?}") };
    for (from, to, is_narrow) in [(before, alone, false), (alone, both, true)] {
        let moments = (moment(&replica, from).await, moment(&replica, to).await);
        let (lines, summary, reading) = compare((&moments.0, &moments.1), Scope::Changed).await;
        assert_eq!(reading.why_full().is_none(), is_narrow, "{reading}");
        assert!(is_narrow || reading.to_string().contains("part of a long value"), "{reading}");
        let counts: Vec<Counts> = summary.tables.iter().map(|table| table.counts).collect();
        assert_eq!(counts[0], Counts { updated: 1, ..Counts::default() }, "{lines:?}");
    }
}

/// All rows of a table go by a write of three pages, and what was freed is not read as if it were still there.
#[tokio::test(flavor = "multi_thread")]
async fn t11_rows_on_freed_leaves_are_found_without_reading_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let scripts = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a); CREATE TABLE u (id INTEGER PRIMARY KEY, a);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM n WHERE n<20000) INSERT INTO t SELECT n, hex(randomblob(20)) FROM n;
         INSERT INTO u SELECT * FROM t; INSERT INTO u SELECT id + 20000, a FROM t; INSERT INTO u SELECT id + 40000, a FROM u",
        "DELETE FROM t WHERE id BETWEEN 5000 AND 15000",
        "DELETE FROM t",
        "INSERT INTO u VALUES (1000000, 'on a page that was freed')",
    ];
    let bodies = bodies_of_scripts(&path, "PRAGMA secure_delete=off", scripts).unwrap();
    let mut chronicle = Chronicle::begin(&bodies[0]).await;
    for body in &bodies[1..] {
        chronicle.commit(body);
    }
    let store = chronicle.store().await;
    let states: Vec<Txid> = chronicle.builder.states.iter().map(|state| state.txid).collect();
    let [.., whole, part, none, later] = states[..] else { panic!("{states:?}") };
    for (from, to, deleted, inserted) in
        [(whole, part, 10_001, 0), (part, none, 9_999, 0), (none, later, 0, 1)]
    {
        let mut bytes = Vec::new();
        for scope in [Scope::Changed, Scope::Full] {
            let replica = replica(store.clone()).await;
            let moments = (moment(&replica, from).await, moment(&replica, to).await);
            let before = replica.traffic().bytes;
            let (_, summary, reading) = compare((&moments.0, &moments.1), scope).await;
            bytes.push(replica.traffic().bytes - before);
            assert_eq!(reading.why_full().is_none(), scope == Scope::Changed, "{reading}");
            let sum = |count: fn(&Counts) -> u64| {
                summary.tables.iter().map(|table| count(&table.counts)).sum::<u64>()
            };
            assert_eq!((sum(|it| it.deleted), sum(|it| it.inserted)), (deleted, inserted));
        }
        assert!(bytes[0] * 2 < bytes[1], "narrow and full read {bytes:?} bytes");
    }
}
