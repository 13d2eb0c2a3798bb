//! The log of a replica since the durable entry of the local state, and whether that entry is still there.

use ebbtide_catalog::{self, CatalogError, Head};
use ebbtide_replica::{Chain, Claim, EntryKind, EntryState, Key, KeyPrefix, Manifest, Txid};
use ebbtide_state::Position;
use ebbtide_store::{Object, Store};

use crate::error::Error;
use crate::evidence::HeadRelation;
use crate::owner::last_claim;
use crate::replay::carried_after;

/// With more segments than this after the known entry, the page hashes are read from the replica, not from the log.
const CATCH_UP_MAX: usize = 4096;

/// The usual maximum number of entries in a segment. Bounds the first listing in [`has_entry`].
const SEGMENT_ENTRIES: u64 = 4096;

/// The replica's log after an entry.
#[derive(Debug)]
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

/// Reads the log after `known`.
pub(crate) async fn read_since(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
) -> Result<Since, Error> {
    let (carried, chain) = (known.state.chain, Some(known.state.chain));
    let mut since = Since { commits: 0, claim: None, claims_only: true, carried, chain };
    let mut next = known.state.txid().next();
    let objects = store
        .list_some(KeyPrefix::Log, Some(&Key::Log(known.state.txid())), CATCH_UP_MAX + 1)
        .await?;
    for (at, object) in objects.into_iter().enumerate() {
        let Object { key, .. } = object;
        let index = match ebbtide_catalog::read_index(store, manifest, object).await {
            Ok(fetched) => fetched.index,
            // An unreadable object that is not the next segment is not part of the history.
            Err(error) if key != Key::Log(next) && error.is_about_object() => break,
            Err(error) => return Err(error.into()),
        };
        let continues = key == Key::Log(next) && index.header().chain() == since.chain;
        since.chain = Some(index.footer().chain).filter(|_| continues && at < CATCH_UP_MAX);
        next = index.footer().last.next();
        for entry in index.entries().iter().filter(|entry| entry.kind != EntryKind::Claim) {
            since.claims_only = false;
            since.commits += u64::from(entry.kind == EntryKind::Commit);
            since.carried = carried_after(since.carried, entry.database_pages, &entry.content);
        }
        since.claim = last_claim(&index).or(since.claim);
    }
    Ok(since)
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
    let packs = packs.into_iter().filter(|object| match object.key {
        Key::Pack { first, last } => first <= known.state.txid() && known.state.txid() <= last,
        _ => false,
    });
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
