//! The horizon: which of the older history is kept, and what vouches for it once the log before it is gone.

use std::collections::BTreeSet;

use ebbtide_seal::Keys;
use ebbtide_wal::PageSize;
use serde::{Deserialize, Serialize};

use crate::container::{Contents, DocumentObject, Header, Sealing};
use crate::text::{hex, parse_hex};
use crate::{Chain, Digest, EntryState, Error, Key, ReplicaId, Result, Timestamp, Txid};

/// A horizon: `horizon/<number>.seg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Horizon {
    /// The replica.
    pub replica: ReplicaId,
    /// Its page size.
    pub page_size: PageSize,
    /// 1, 2, 3 …, in the order in which they were put.
    pub number: u64,
    /// The first entry from which on the history is whole…
    pub window: Txid,
    /// …and the chain before it.
    pub before: Chain,
    /// The newest entry when it was made…
    pub head: Txid,
    /// …the chain after that…
    pub chain: Chain,
    /// …and the digest.
    pub digest: Digest,
    /// What the document says.
    pub contents: HorizonContents,
}

/// The document of a horizon. Keys that are not listed here are skipped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HorizonContents {
    /// As in the header.
    pub number: u64,
    /// The root of the horizon before it, in hex; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When it was made, by the store's clock, and by which version.
    pub written: Written,
    /// The policy, as it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// The greatest name of a segment that may have been deleted, or will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<Txid>,
    /// The states before the window that are kept, in order.
    pub states: Vec<HorizonState>,
    /// The objects that they need.
    pub objects: Vec<HorizonObject>,
    /// What is to be deleted.
    pub condemned: Vec<Condemned>,
    /// What is neither relied on nor deleted, because somebody takes its condemning back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Condemned>,
}

/// When and by whom a horizon was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// By the store's clock.
    pub time: Timestamp,
    /// The version.
    pub by: String,
}

/// A state that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HorizonState {
    /// Its entry.
    pub txid: Txid,
    /// The entry's time.
    pub time: Timestamp,
    /// The time of the next entry: until then it was the state of the database.
    pub until: Timestamp,
    /// The size of the database in pages.
    pub pages: u32,
    /// The digest of the database, in hex.
    pub digest: String,
    /// The chain after the entry, in hex.
    pub chain: String,
    /// Why it is kept, in words.
    pub why: Vec<String>,
    /// The objects that it is restored from, as indexes into those of the horizon, in the order in which they apply.
    pub path: Vec<u32>,
}

/// An object that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HorizonObject {
    /// Its name.
    pub name: Key,
    /// Its length in bytes.
    pub size: u64,
    /// The root in its footer, in hex: it is this very object.
    pub root: String,
    /// When all of it was read and found whole, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proved: Option<Timestamp>,
}

/// An object that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condemned {
    /// Its name.
    pub name: Key,
    /// Its length in bytes.
    pub size: u64,
    /// The number of the horizon that condemned it first.
    pub since: u64,
}

impl HorizonContents {
    /// How [`previous`](HorizonContents::previous) names a horizon with this root.
    #[must_use]
    pub fn naming(root: &[u8; 32]) -> String {
        hex(root)
    }
}

impl HorizonState {
    /// The row of this state, which was that of the database until `until`.
    #[must_use]
    pub fn new(
        state: &EntryState,
        until: Timestamp,
        why: Vec<String>,
        path: Vec<u32>,
    ) -> HorizonState {
        HorizonState {
            txid: state.txid(),
            time: state.time(),
            until,
            pages: state.database_pages,
            digest: hex(state.digest.as_bytes()),
            chain: hex(state.chain.as_bytes()),
            why,
            path,
        }
    }

    /// The digest, if it is one.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        parse_hex(&self.digest).map(Digest::from_bytes)
    }

    /// The chain, if it is one.
    #[must_use]
    pub fn chain(&self) -> Option<Chain> {
        parse_hex(&self.chain).map(Chain::from_bytes)
    }
}

impl HorizonObject {
    /// One with this name, length and root.
    #[must_use]
    pub fn new(name: Key, size: u64, root: &[u8; 32]) -> HorizonObject {
        HorizonObject { name, size, root: hex(root), proved: None }
    }

    /// The root, if it is one.
    #[must_use]
    pub fn root(&self) -> Option<[u8; 32]> {
        parse_hex(&self.root)
    }
}

impl Horizon {
    /// The name of the object.
    #[must_use]
    pub const fn key(&self) -> Key {
        Key::Horizon(self.number)
    }

    /// As a plain object.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.document()?.encode()
    }

    /// As an encrypted object.
    pub fn seal(&self, sealing: &Sealing) -> Result<Vec<u8>> {
        self.document()?.seal(sealing)
    }

    /// As what either form of the object is made of.
    pub fn document(&self) -> Result<DocumentObject> {
        self.check().map_err(|why| Error::unwritable("the horizon", why))?;
        let json = serde_json::to_vec(&self.contents)
            .map_err(|error| Error::unwritable("the horizon", error.to_string()))?;
        let contents =
            Contents::Horizon { first: self.window, number: self.number, chain: self.before };
        let header = Header { replica: self.replica, page_size: self.page_size, contents };
        let (last, chain, digest) = (self.head, self.chain, self.digest);
        Ok(DocumentObject { header, last, chain, digest, json })
    }

    /// From a whole plain object, and its root, by which the next horizon names it.
    pub fn parse(object: &[u8]) -> Result<(Horizon, [u8; 32])> {
        Horizon::open(object, &Keys::NONE)
    }

    /// The same of an object that may be encrypted, with an index key that is among `keys`.
    pub fn open(object: &[u8], keys: &Keys) -> Result<(Horizon, [u8; 32])> {
        let (document, root) = DocumentObject::open(object, keys)?;
        let Header { replica, page_size, contents } = document.header;
        let Contents::Horizon { first: window, number, chain: before } = contents else {
            return Err(Error::damaged("the horizon", "it is another kind of object"));
        };
        let contents = serde_json::from_slice(&document.json)
            .map_err(|error| Error::damaged("the horizon", error.to_string()))?;
        let (head, chain, digest) = (document.last, document.chain, document.digest);
        let horizon =
            Horizon { replica, page_size, number, window, before, head, chain, digest, contents };
        horizon.check().map_err(|why| Error::damaged("the horizon", why))?;
        Ok((horizon, root))
    }

    /// What every horizon keeps to, whoever wrote it.
    fn check(&self) -> Result<(), String> {
        let HorizonContents { number, states, objects, condemned, held, .. } = &self.contents;
        if *number != self.number || *number == 0 {
            return Err(format!("its number is {number}, and its name has {}", self.number));
        }
        if self.window > self.head.next() {
            return Err(format!("its window begins at {}, after {}", self.window, self.head));
        }
        let mut names = BTreeSet::new();
        let kept = objects.iter().map(|object| object.name);
        let gone = condemned.iter().chain(held).map(|object| object.name);
        if let Some(name) = kept.chain(gone).find(|name| !names.insert(*name)) {
            return Err(format!("it names {name} twice"));
        }
        if let Some(object) = objects.iter().find(|object| object.root().is_none()) {
            return Err(format!("the root of {} is none", object.name));
        }
        let late = |object: &&Condemned| object.since == 0 || object.since > self.number;
        if let Some(object) = condemned.iter().chain(held).find(late) {
            return Err(format!("{} was condemned by horizon {}", object.name, object.since));
        }
        let mut last: Option<Txid> = None;
        for state in states {
            check_state(state, objects.len(), self.window)?;
            if last.is_some_and(|last| last >= state.txid) {
                return Err(format!("state {} is not in order", state.txid));
            }
            last = Some(state.txid);
        }
        Ok(())
    }
}

fn check_state(state: &HorizonState, objects: usize, window: Txid) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("state {} {why}", state.txid));
    if state.txid >= window {
        return wrong("is in the window");
    }
    if state.digest().is_none() || state.chain().is_none() {
        return wrong("has no digest or no chain");
    }
    if state.until < state.time {
        return wrong("ends before it begins");
    }
    if state.path.is_empty() || state.path.iter().any(|&at| at as usize >= objects) {
        return wrong("has a path of objects that are not named");
    }
    Ok(())
}
