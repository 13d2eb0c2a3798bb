//! The log of a replica since the durable entry of the local state, and whether that entry is still there.

use ebbtide_catalog::{self, CatalogError, Head};
use ebbtide_replica::container::Index;
use ebbtide_replica::{Chain, Claim, EntryKind, EntryState, Key, KeyPrefix, Manifest, Txid};
use ebbtide_state::Position;
use ebbtide_store::{Object, Store};

use crate::error::Error;
use crate::evidence::HeadRelation;
use crate::owner::claim_of;
use crate::replay::carried_after;

/// With more segments than this after the known entry, the page hashes are read from the replica, not from the log.
const CATCH_UP_MAX: usize = 4096;

/// The usual maximum number of entries in a segment. Bounds the first listing in [`has_entry`].
const SEGMENT_ENTRIES: u64 = 4096;

/// The replica's log after an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Since {
    /// The number of commits.
    pub(crate) commits: u64,
    /// The last claim, if there is one.
    pub(crate) claim: Option<Claim>,
    /// Whether all entries are claims.
    claims_only: bool,
    /// The hash chain over the contents of entries that are not claims.
    pub(crate) carried: Chain,
    /// The chain after the last entry, if the segments continue the known entry without a gap.
    chain: Option<Chain>,
    /// The first segment before which entries are in no object: a part of the history is lost, or it is none of it.
    pub(crate) after_gap: Option<Key>,
}

impl Since {
    /// How the replica's last entry `head` relates to `known`, the entry before.
    ///
    /// The kinds of the entries decide, not the digest: a writer to the store can construct pages with any digest.
    pub(crate) fn relation(&self, known: &EntryState, head: &EntryState) -> HeadRelation {
        let is_linked = self.chain == Some(head.chain);
        if is_linked && self.claims_only && known.has_same_pages(head) {
            HeadRelation::ClaimsSince
        } else if is_linked && self.claim.is_none() {
            HeadRelation::OwnCommitsSince
        } else {
            HeadRelation::OthersSince
        }
    }
}

/// Reads the log after `known`: packs where there are any, because the segments that are in them may be deleted.
pub(crate) async fn read_since(
    store: &dyn Store,
    manifest: &Manifest,
    known: &EntryState,
) -> Result<Since, Error> {
    let (carried, chain) = (known.chain, Some(known.chain));
    let (claim, after_gap) = (None, None);
    let mut since = Since { commits: 0, claim, claims_only: true, carried, chain, after_gap };
    let mut next = known.txid().next();
    let after = Key::Log(known.txid());
    let (packs, log) = futures::try_join!(
        store.list(KeyPrefix::Pack, None),
        store.list_some(KeyPrefix::Log, Some(&after), CATCH_UP_MAX + 1)
    )?;
    let is_long = log.len() > CATCH_UP_MAX;
    let mut log = log.into_iter();
    let mut object_after = |next: Txid| {
        pack_with(&packs, next).or_else(|| log.find(|object| object.key >= Key::Log(next)))
    };
    while let Some(object) = object_after(next) {
        let index = match ebbtide_catalog::read_index(store, manifest, object).await {
            Ok(fetched) => fetched.index,
            // An unreadable object that is not the next segment is not part of the history.
            Err(error) if object.key > Key::Log(next) && error.is_about_object() => break,
            Err(error) => return Err(error.into()),
        };
        if matches!(object.key, Key::Log(first) if first > next) {
            since.after_gap.get_or_insert(object.key);
        }
        since.follow(&index, next);
        next = index.footer().last.next();
    }
    since.chain = since.chain.filter(|_| !is_long);
    Ok(since)
}

/// The pack with this entry that reaches farthest.
fn pack_with(packs: &[Object], txid: Txid) -> Option<Object> {
    let with = packs.iter().copied().filter(|object| object.key.is_pack_with(txid));
    with.max_by_key(|object| ebbtide_catalog::last_of(object.key))
}

impl Since {
    /// Goes on with the entries of an object from `next` on.
    fn follow(&mut self, index: &Index, next: Txid) {
        let at = index.entries().partition_point(|entry| entry.txid < next);
        let before = match at.checked_sub(1) {
            Some(last) => index.chains().nth(last),
            None => index.header().chain(),
        };
        let entries = &index.entries()[at..];
        let begins = entries.first().is_some_and(|entry| entry.txid == next);
        let is_linked = begins && before == self.chain;
        self.chain = self.chain.filter(|_| is_linked).map(|_| index.footer().chain);
        for entry in entries {
            if entry.kind == EntryKind::Claim {
                self.claim = claim_of(entry).or(self.claim.take());
                continue;
            }
            self.claims_only = false;
            self.commits += u64::from(entry.kind == EntryKind::Commit);
            self.carried = carried_after(self.carried, entry.database_pages, &entry.content);
        }
    }
}

/// Whether the replica still has the durable entry of the local state. If a user deleted the objects, only a segment
/// that was put later may be left.
pub(crate) async fn has_entry(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
    head: &Head,
) -> Result<bool, Error> {
    if known.state.txid() == head.state.txid() {
        return Ok(known.state.chain == head.state.chain);
    }
    if object_has_entry(store, manifest, known, head.object).await? {
        return Ok(true);
    }
    let packs = store.list(KeyPrefix::Pack, None).await?;
    let packs = packs.into_iter().filter(|object| object.key.is_pack_with(known.state.txid()));
    let near = known.state.txid().get().saturating_sub(SEGMENT_ENTRIES);
    let mut from = Txid::new(near).map(Key::Log);
    loop {
        let most = usize::try_from(SEGMENT_ENTRIES).unwrap_or(usize::MAX);
        let log = store.list_some(KeyPrefix::Log, from.as_ref(), most + 1).await?;
        let segment =
            log.into_iter().rev().find(|object| object.key <= Key::Log(known.state.txid()));
        if segment.is_some() || from.is_none() {
            for object in packs.chain(segment) {
                if object_has_entry(store, manifest, known, object).await? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        from = None;
    }
}

/// Whether an object has the entry with the same chain.
async fn object_has_entry(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
    object: Object,
) -> Result<bool, Error> {
    let index = match ebbtide_catalog::read_index(store, manifest, object).await {
        Ok(fetched) => fetched.index,
        Err(CatalogError::Store(error)) => return Err(error.into()),
        Err(error) if error.is_about_object() => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let mut states = index.entries().iter().zip(index.chains());
    Ok(states.any(|(entry, chain)| entry.txid == known.state.txid() && chain == known.state.chain))
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::EntryState;
    use ebbtide_store::MemoryStore;

    use super::*;
    use crate::bodies::Bodies;
    use crate::log_object::PACK_SEGMENTS;
    use crate::pack::{
        pack,
        tests::{replica, to},
    };

    #[tokio::test]
    async fn segments_that_are_in_packs_may_be_gone() {
        let store = MemoryStore::default();
        let count = PACK_SEGMENTS as u64;
        replica(&store, count + 5).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        let mut known = Vec::new();
        for number in [1, 2, 3, 100, count - 1, count, count + 1, count + 5] {
            let key = Key::Log(Txid::new(number).unwrap());
            let object = Object::new(key, store.size(&key).await.unwrap().unwrap());
            let index = ebbtide_catalog::read_index(&store, &manifest, object).await.unwrap().index;
            known.push(EntryState::after(&index.entries()[0], index.footer().chain));
        }
        let mut before = Vec::new();
        for known in &known {
            before.push(read_since(&store, &manifest, known).await.unwrap());
        }
        pack(&to(&store), &manifest, &Bodies::new(0), |_| ()).await.unwrap();
        for number in 2..=count {
            store.delete(&Key::Log(Txid::new(number).unwrap())).await.unwrap();
        }
        for (known, before) in known.iter().zip(&before) {
            assert_eq!(&read_since(&store, &manifest, known).await.unwrap(), before, "{known:?}");
        }
        // One that the pack does not continue.
        let other = EntryState { chain: known[0].chain, ..known[2] };
        let since = read_since(&store, &manifest, &other).await.unwrap();
        assert_eq!((since.chain, since.commits), (None, before[2].commits));
    }
}
