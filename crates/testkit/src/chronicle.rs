//! Replicas of real databases: SQLite makes the states, the [builder](crate::builder) writes them down, and nothing of a
//! shipper is between the two.

use std::path::Path;
use std::sync::Arc;

use ebbtide_replica::{EntryKind, Key};
use ebbtide_store::{MemoryStore, Store};
use rusqlite::Connection;

use crate::Random;
use crate::builder::{Builder, Carry, Form, SECOND};
use crate::oracle::committed;
use crate::workload::{Options, Workload};

const SOUND: &str = "what the test does is sound";

/// A database in the making, whose every commit goes into a replica.
#[derive(Debug)]
pub struct Chronicle {
    /// The replica, with every state.
    pub builder: Builder,
}

impl Chronicle {
    /// A plain replica of a database that is `body` by now: a claim, and a resync with a snapshot.
    pub async fn begin(body: &[u8]) -> Chronicle {
        Chronicle::begin_as(Form::Plain, body).await
    }

    /// The same of either form.
    pub async fn begin_as(form: Form, body: &[u8]) -> Chronicle {
        let page_size = page_size(body);
        let mut builder = Builder::new_as(form, page_size).await;
        builder.claim();
        builder.cut().await;
        builder.wait(SECOND);
        let pages = pages_of(body, page_size);
        builder.enter(EntryKind::Resync, pages, Carry::InSnapshot, b"");
        builder.snapshot().await;
        builder.cut().await;
        let mut chronicle = Chronicle { builder };
        // It vouches for the snapshot.
        chronicle.claim().await;
        chronicle
    }

    /// These bodies as a random history: packs, deltas, snapshots, resyncs, complete entries, and now and then a database
    /// that was set back and went on. Half of the replicas are encrypted.
    ///
    /// # Panics
    /// When there is no body.
    pub async fn of(bodies: &[Vec<u8>], random: &mut Random) -> Chronicle {
        let form = if random.one_in(2) { Form::Encrypted } else { Form::Plain };
        let mut chronicle = Chronicle::begin_as(form, &bodies[0]).await;
        let mut packed = chronicle.builder.states.len() as u64;
        for (number, body) in bodies.iter().enumerate().skip(1) {
            match random.below(20) {
                0 => chronicle.enter(EntryKind::Resync, body, Carry::Changes),
                1 => chronicle.enter(EntryKind::Commit, body, Carry::All),
                2 => {
                    let earlier = random.below(u32::try_from(number).expect(SOUND)) as usize;
                    chronicle.enter(EntryKind::Resync, &bodies[earlier], Carry::Changes);
                    chronicle.commit(body);
                }
                _ => chronicle.commit(body),
            }
            if random.one_in(2) {
                chronicle.builder.cut().await;
            }
            if random.one_in(5) {
                chronicle.reshape(random, &mut packed).await;
            }
        }
        chronicle
    }

    /// A commit after which the database is `body`, a second after the entry before, in the open segment.
    pub fn commit(&mut self, body: &[u8]) {
        self.enter(EntryKind::Commit, body, Carry::Changes);
    }

    /// An entry of another kind, likewise.
    pub fn enter(&mut self, kind: EntryKind, body: &[u8], carry: Carry) {
        let size = u32::try_from(self.builder.manifest.page_size.bytes()).expect(SOUND);
        self.builder.wait(SECOND);
        self.builder.enter(kind, pages_of(body, size), carry, b"");
    }

    /// A claim in a segment of its own, which vouches for what was put last.
    pub async fn claim(&mut self) {
        self.builder.cut().await;
        self.builder.wait(SECOND);
        self.builder.claim();
        self.builder.cut().await;
    }

    /// Puts one object or another over what is there, as `random` decides: packs, deltas, snapshots. The segments of a
    /// pack go, so that nothing but the pack serves.
    pub async fn reshape(&mut self, random: &mut Random, packed: &mut u64) {
        self.builder.cut().await;
        let head = self.builder.states.len() as u64;
        match random.below(4) {
            0 if head > *packed + 1 => {
                let (first, last) = (*packed + 1, head);
                match random.one_in(3) {
                    true => self.builder.pack_in_order(first, last).await,
                    false => self.builder.pack(first, last).await,
                }
                for number in first..=last {
                    let key = Key::Log(crate::builder::txid(number));
                    self.builder.store.delete(&key).await.expect(SOUND);
                }
                *packed = last;
            }
            1 => {
                self.builder.snapshot().await;
                self.claim().await;
            }
            2 if head > 6 => {
                self.builder.delta(head - u64::from(random.below(3)) - 1).await;
                self.claim().await;
            }
            _ => {}
        }
    }

    /// A store with what is there by now.
    pub async fn store(&mut self) -> Arc<MemoryStore> {
        self.builder.cut().await;
        Arc::new(self.builder.store.clone())
    }
}

/// The page size that the header of a database states.
///
/// # Panics
/// When there is no header.
#[must_use]
pub fn page_size(body: &[u8]) -> u32 {
    match u16::from_be_bytes([body[16], body[17]]) {
        1 => 65536,
        size => size.into(),
    }
}

fn pages_of(body: &[u8], page_size: u32) -> Vec<Vec<u8>> {
    body.chunks(page_size as usize).map(<[u8]>::to_vec).collect()
}

/// What a database is after each of these scripts. A script that changes nothing gives no state.
///
/// # Errors
/// When SQLite refuses one of them.
pub fn bodies_of_scripts<'a>(
    path: &Path,
    begin: &str,
    scripts: impl IntoIterator<Item = &'a str>,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    let connection = Connection::open(path)?;
    connection.execute_batch(begin)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    let mut bodies = Vec::new();
    for script in scripts {
        connection.execute_batch(script)?;
        let body = committed(path)?;
        if bodies.last() != Some(&body) {
            bodies.push(body);
        }
    }
    Ok(bodies)
}

/// What the database of a random application is after each commit of so many steps.
///
/// # Errors
/// When SQLite refuses something.
pub fn bodies_of_workload(
    path: &Path,
    seed: u64,
    options: Options,
    steps: u32,
) -> rusqlite::Result<Vec<Vec<u8>>> {
    let mut workload = Workload::new(path, seed, options)?;
    let mut bodies = vec![committed(path)?];
    for _ in 0..steps {
        workload.step(&mut |_| match committed(path) {
            Ok(body) if bodies.last() != Some(&body) => bodies.push(body),
            Ok(_) => {}
            Err(error) => panic!("the oracle cannot read: {error}"),
        })?;
    }
    Ok(bodies)
}
