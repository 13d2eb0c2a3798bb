//! Gives the local state its page hashes back.

use std::collections::BTreeMap;
use std::pin::pin;

use futures::TryStreamExt as _;

use super::{
    CatalogError, Fetched, HashRun, Hashes, Head, Listing, list_recent, read_index, read_indexes,
};
use ebbtide_replica::container::limits::ENTRIES_MAX;
use ebbtide_replica::{Chain, EntryFlags, Error, Key, KeyPrefix, Manifest, Txid, Vouch};
use ebbtide_state::Fill;
use ebbtide_store::{Object, Store};

use crate::known::Known;
use crate::plan::deltas_after;

/// The search for an entry that is in no pack begins this number of entries before it.
const NEAR: u64 = 4096;

/// Fills a table with the hashes of all pages as they were after `upto`, mostly an entry at or near the head. What it
/// reads are indexes and hashes, no pages: from the newest snapshot at or before the entry on for which the history
/// vouches, and of the deltas after it, so that the length of the history does not matter. What it fills in is proved by the chain, and not by the
/// digest alone: the table decides which pages the replica lacks. The names of segments that are in packs are not listed:
/// there may be millions.
pub async fn rebuild_table(
    store: &dyn Store,
    manifest: &Manifest,
    upto: &Head,
    fill: &Fill,
) -> Result<(), CatalogError> {
    let (listing, complete_from) = list_recent(store).await?;
    let rebuild = Rebuild { store, manifest, upto, fill, listing: &listing, complete_from };
    let end =
        listing.snapshots.partition_point(|object| object.key <= Key::Snapshot(upto.state.txid()));
    let mut known = Known::new(listing.clone());
    let (mut unvouched, mut failed) = (None, None);
    for base in listing.snapshots[..end].iter().rev().map(|&object| Some(object)).chain([None]) {
        match rebuild.fill_by_deltas(&mut known, base).await {
            Ok(true) => return Ok(()),
            Ok(false) => unvouched = unvouched.or(base),
            Err(error) if error.is_about_object() => failed = failed.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    match (unvouched, failed) {
        (Some(base), _) => {
            tracing::warn!(snapshot = %base.key, "no entry vouches for this snapshot; going by its digest");
            rebuild.fill_from(Some(base), &[]).await.map(drop).map_err(Failed::into_error)
        }
        (None, Some(error)) => Err(error),
        (None, None) => Ok(()),
    }
}

struct Rebuild<'a> {
    store: &'a dyn Store,
    manifest: &'a Manifest,
    upto: &'a Head,
    fill: &'a Fill,
    listing: &'a Listing,
    /// From which entry on the names of segments are complete.
    complete_from: Option<Txid>,
}

/// Why a table was not filled.
#[derive(Debug)]
enum Failed {
    /// A delta does not serve. There may be a way without it.
    Delta(Key, String),
    /// Anything else.
    Other(CatalogError),
}

impl Failed {
    fn into_error(self) -> CatalogError {
        match self {
            Failed::Delta(key, why) => damaged(key, &why),
            Failed::Other(error) => error,
        }
    }
}

impl From<CatalogError> for Failed {
    fn from(error: CatalogError) -> Failed {
        Failed::Other(error)
    }
}

/// A state on the way.
#[derive(Debug, Clone, Copy)]
struct Reached {
    txid: Option<Txid>,
    chain: Chain,
    database_pages: u32,
}

impl Rebuild<'_> {
    /// Fills the table from this snapshot on by the deltas after it, as far as they serve. Says whether the history vouches
    /// for the snapshot.
    async fn fill_by_deltas(
        &self,
        known: &mut Known,
        base: Option<Object>,
    ) -> Result<bool, CatalogError> {
        loop {
            let state = base.and_then(|object| object.key.state());
            let upto = self.upto.state.txid();
            let deltas = state.map_or_else(Vec::new, |state| deltas_after(known, state, upto));
            match self.fill_from(base, &deltas).await {
                Ok(vouched) => return Ok(vouched),
                Err(Failed::Delta(key, why)) => {
                    tracing::info!(delta = %key, why, "going without this delta");
                    known.exclude(key, why);
                }
                Err(Failed::Other(error)) => return Err(error),
            }
        }
    }

    /// Fills the table from this snapshot on, or from the first entry. Says whether the history vouches for the snapshot;
    /// for the deltas it must.
    async fn fill_from(&self, base: Option<Object>, deltas: &[Object]) -> Result<bool, Failed> {
        let upto = self.upto.state.txid();
        let chain = Chain::genesis(self.manifest.replica);
        let mut reached = Reached { txid: None, chain, database_pages: 0 };
        let mut contents = BTreeMap::new();
        if let Some(object) = base {
            contents.insert(object.key, self.fill_state(object, &mut reached).await?);
        }
        for &delta in deltas {
            match self.fill_state(delta, &mut reached).await {
                Ok(content) => drop(contents.insert(delta.key, content)),
                Err(error) if error.is_about_object() => {
                    return Err(Failed::Delta(delta.key, error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        let (middle, mut unvouched) = (reached, contents.clone());
        let objects = self.history(reached.txid, upto).await?;
        let mut indexes = pin!(read_indexes(self.store, self.manifest, objects));
        while let Some((object, fetched)) = indexes.try_next().await? {
            let by = fetched.index.entries().iter().filter(|entry| entry.txid <= upto);
            for Vouch { object, content } in by.flat_map(Vouch::all_of) {
                if contents.get(&object).is_some_and(|listed| *listed != content) {
                    return Err(forged(object));
                }
                unvouched.remove(&object);
            }
            let applied = self.follow(object.key, &fetched, &mut reached);
            let applied = applied.map_err(|error| match deltas.last() {
                // Whether the delta or the history is wrong is not known, and only one of them has another in its place.
                Some(delta) if reached.txid == middle.txid => {
                    Failed::Delta(delta.key, error.to_string())
                }
                _ => error.into(),
            })?;
            self.fill_in(object.key, &fetched, &applied).await?;
        }
        let head = &self.upto;
        let end = (Some(upto), head.state.chain, head.state.database_pages);
        if (reached.txid, reached.chain, reached.database_pages) != end {
            return Err(damaged(head.object.key, "the history does not lead to it").into());
        }
        let is_delta = |key: &&Key| matches!(key, Key::Delta { .. });
        match unvouched.keys().rev().find(is_delta) {
            Some(&key) => Err(Failed::Delta(key, "no entry vouches for it".to_owned())),
            None => Ok(unvouched.is_empty()),
        }
    }

    /// Fills in the hashes of a snapshot or delta, and answers its content.
    async fn fill_state(
        &self,
        object: Object,
        reached: &mut Reached,
    ) -> Result<[u8; 32], CatalogError> {
        let fetched = read_index(self.store, self.manifest, object).await?;
        let footer = fetched.index.footer();
        let Some(entry) = fetched.index.entries().last() else {
            return Err(damaged(object.key, "it has no entries"));
        };
        let from = entry.carries_from(self.manifest.page_size);
        if from > reached.database_pages.saturating_add(1) {
            return Err(damaged(object.key, "it states a size for which there are no pages"));
        }
        self.fill_in(object.key, &fetched, &[true]).await?;
        let (txid, database_pages) = (Some(footer.last), entry.database_pages);
        *reached = Reached { txid, chain: footer.chain, database_pages };
        Ok(entry.content)
    }

    /// Which entries of an object come after what is reached. Nothing of them is believed before it is known that they are
    /// the next, and that the size they state is borne out by pages.
    fn follow(
        &self,
        key: Key,
        fetched: &Fetched,
        reached: &mut Reached,
    ) -> Result<Vec<bool>, CatalogError> {
        let index = &fetched.index;
        let begin = index.header().chain().ok_or_else(|| damaged(key, "it has no history"))?;
        let mut before = begin;
        let mut applied = Vec::with_capacity(index.entries().len());
        for (entry, chain) in index.entries().iter().zip(index.chains()) {
            let next = reached.txid.map_or(Txid::FIRST, Txid::next);
            let applies = entry.txid == next && entry.txid <= self.upto.state.txid();
            applied.push(applies);
            if applies {
                if before != reached.chain {
                    return Err(damaged(key, "the history does not lead to it"));
                }
                if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
                    let why = format!("entry {} has its pages there", entry.txid);
                    return Err(CatalogError::Missing { key: Key::Snapshot(entry.txid), why });
                }
                let from = entry.carries_from(self.manifest.page_size);
                if from > reached.database_pages.saturating_add(1) {
                    return Err(damaged(key, "it states a size for which there are no pages"));
                }
                let (txid, database_pages) = (Some(entry.txid), entry.database_pages);
                *reached = Reached { txid, chain, database_pages };
            }
            before = chain;
        }
        Ok(applied)
    }

    /// Fills in the hashes of the entries that apply.
    async fn fill_in(
        &self,
        key: Key,
        fetched: &Fetched,
        applied: &[bool],
    ) -> Result<(), CatalogError> {
        let mut hashes = Hashes::new(self.store, key, fetched);
        while let Some(HashRun { entry, first, hashes }) = hashes.next().await? {
            if applied.get(entry) == Some(&true) {
                self.fill.set(first, hashes)?;
            }
        }
        Ok(())
    }

    /// The objects with the entries from that of the base on, which may vouch for it; only those after it if the log does
    /// not reach as far back any more.
    async fn history(&self, base: Option<Txid>, upto: Txid) -> Result<Vec<Object>, CatalogError> {
        let Rebuild { store, listing, complete_from, .. } = *self;
        let before = base.and_then(Txid::previous);
        match history(store, listing, complete_from, before, upto).await {
            Err(error) if base.is_some() && error.is_about_object() => {
                history(store, listing, complete_from, base, upto).await
            }
            objects => objects,
        }
    }
}

/// An object with other pages than an entry states.
fn forged(key: Key) -> Failed {
    let why = "its pages are not those that the log vouches for";
    match key {
        Key::Delta { .. } => Failed::Delta(key, why.to_owned()),
        _ => damaged(key, why).into(),
    }
}

fn damaged(key: Key, why: &str) -> CatalogError {
    CatalogError::Object { key, source: Error::damaged("the object", why) }
}

/// The objects with the entries after `base` up to `upto`, in order. The names of segments in `listing` are complete from
/// `complete_from` on.
async fn history(
    store: &dyn Store,
    listing: &Listing,
    complete_from: Option<Txid>,
    base: Option<Txid>,
    upto: Txid,
) -> Result<Vec<Object>, CatalogError> {
    let mut objects = Vec::new();
    let mut wanted = upto;
    while base.is_none_or(|base| wanted > base) {
        let packs = listing.packs.iter().filter_map(|&object| match object.key {
            Key::Pack { first, last } if first <= wanted && wanted <= last => Some((first, object)),
            _ => None,
        });
        let packed = packs.min();
        let segment = match packed {
            None if complete_from.is_some_and(|from| wanted < from) => near(store, wanted).await?,
            _ => listing.segment_of(wanted),
        };
        let segment = segment.and_then(|object| match object.key {
            Key::Log(first) => Some((first, object)),
            _ => None,
        });
        let Some((first, object)) = packed.into_iter().chain(segment).min() else {
            let why = format!("entry {wanted} is needed");
            return Err(CatalogError::Missing { key: Key::Log(wanted), why });
        };
        objects.push(object);
        match first.previous() {
            Some(previous) => wanted = previous,
            None => break,
        }
    }
    objects.reverse();
    Ok(objects)
}

/// The segment in which `wanted` lies, without the names of all others.
async fn near(store: &dyn Store, wanted: Txid) -> Result<Option<Object>, CatalogError> {
    for entries in [NEAR, ENTRIES_MAX.into()] {
        let from = Txid::new(wanted.get().saturating_sub(entries)).map(Key::Log);
        let most = usize::try_from(entries).unwrap_or(usize::MAX);
        let log = store.list_some(KeyPrefix::Log, from.as_ref(), most).await?;
        let found = log.into_iter().rev().find(|object| object.key <= Key::Log(wanted));
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
