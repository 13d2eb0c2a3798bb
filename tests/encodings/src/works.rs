//! Applications that commit little each time, and the page images that they leave in SQLite's log.

use std::collections::BTreeMap;

use rusqlite::{Connection, Result, params};

use crate::random::Random;

pub const PAGE: usize = 4096;
pub const COMMITS: usize = 6000;

/// A page as one commit left it.
pub struct Image {
    pub number: u32,
    pub bytes: Vec<u8>,
}

pub struct Work {
    pub name: &'static str,
    /// What makes the database before the commits.
    prepare: fn(&Connection, &mut Random) -> Result<()>,
    commit: fn(&Connection, &mut Random, i64) -> Result<()>,
}

pub static WORKS: [Work; 4] = [
    Work {
        name: "random keys, 15 MB",
        prepare: |db, random| prepare_random(db, random, 36_000),
        commit: random_key,
    },
    Work {
        name: "random keys, from nothing",
        prepare: |db, random| prepare_random(db, random, 0),
        commit: random_key,
    },
    Work {
        name: "appends of short rows",
        prepare: |db, _| {
            db.execute_batch(
                "CREATE TABLE events (id INTEGER PRIMARY KEY, time INTEGER, kind INTEGER, text TEXT);
                 CREATE INDEX by_time ON events (time);",
            )
        },
        commit: |db, random, number| {
            let text = format!("user {} did thing {}", random.below(1000), random.below(40));
            let time = 1_795_253_400_000 + number * 21;
            db.prepare("INSERT INTO events (time, kind, text) VALUES (?1, ?2, ?3)")?
                .execute(params![time, random.below(10), text])
                .map(drop)
        },
    },
    Work {
        name: "updates of 20 hot rows",
        prepare: |db, random| {
            db.execute_batch(
                "CREATE TABLE counters (id INTEGER PRIMARY KEY, count INTEGER, data BLOB);
                 CREATE INDEX by_count ON counters (count);",
            )?;
            for id in 1..=20 {
                let data = random.bytes(160);
                let insert = "INSERT INTO counters VALUES (?1, 1000000, ?2)";
                db.execute(insert, params![id, data])?;
            }
            Ok(())
        },
        commit: |db, random, _| {
            let id = 1 + random.below(20);
            db.prepare("UPDATE counters SET count = count + 1 WHERE id = ?1")?
                .execute(params![id])
                .map(drop)
        },
    },
];

fn prepare_random(db: &Connection, random: &mut Random, rows: i64) -> Result<()> {
    db.execute_batch(
        "CREATE TABLE items (key INTEGER PRIMARY KEY, tag INTEGER, data BLOB);
         CREATE INDEX by_tag ON items (tag); BEGIN;",
    )?;
    (0..rows).try_for_each(|number| random_key(db, random, number))?;
    db.execute_batch("COMMIT")
}

fn random_key(db: &Connection, random: &mut Random, _: i64) -> Result<()> {
    let (key, tag) = (random.next().cast_signed() >> 1, random.next().cast_signed() >> 1);
    db.prepare("INSERT INTO items VALUES (?1, ?2, ?3)")?
        .execute(params![key, tag, random.bytes(200)])
        .map(drop)
}

impl Work {
    /// Makes the tables, and what is in them before the commits.
    pub fn prepare(&self, db: &Connection, random: &mut Random) -> Result<()> {
        (self.prepare)(db, random)
    }

    /// Makes the commit with this number.
    pub fn commit(&self, db: &Connection, random: &mut Random, number: i64) -> Result<()> {
        (self.commit)(db, random, number)
    }

    /// The images of each commit, in ascending order of the pages.
    pub fn commits(&self) -> Vec<Vec<Image>> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.db");
        let db = Connection::open(&path).expect("a database");
        let pragmas = "PRAGMA journal_mode=wal; PRAGMA synchronous=off; PRAGMA wal_autocheckpoint=0;";
        db.execute_batch(pragmas).expect("a log");
        let mut random = Random(42);
        (self.prepare)(&db, &mut random).expect("its tables");
        db.execute_batch("PRAGMA wal_checkpoint(truncate)").expect("a checkpoint");
        for number in 0..COMMITS as i64 {
            (self.commit)(&db, &mut random, number).expect("a commit");
        }
        let log = std::fs::read(directory.path().join("a.db-wal")).expect("the log");
        let commits = frames(&log);
        assert_eq!(commits.len(), COMMITS);
        commits
    }
}

/// SQLite's file format, section 4: a header of 32 bytes, then frames of 24 bytes and a page each.
fn frames(log: &[u8]) -> Vec<Vec<Image>> {
    let word = |bytes: &[u8]| u32::from_be_bytes(bytes[..4].try_into().expect("four bytes"));
    let (mut commits, mut pages) = (Vec::new(), BTreeMap::new());
    for frame in log[32..].chunks_exact(24 + PAGE) {
        pages.insert(word(frame), frame[24..].to_vec());
        if word(&frame[4..]) != 0 {
            let images = std::mem::take(&mut pages).into_iter();
            commits.push(images.map(|(number, bytes)| Image { number, bytes }).collect());
        }
    }
    commits
}
