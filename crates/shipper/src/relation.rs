//! How the end of a replica relates to the last entry that is known here to be durable.

use ebbtide_catalog::{self, CatalogError, Head};
use ebbtide_replica::{Chain, Claim, EntryKind, Folder, Key, Manifest, Txid};
use ebbtide_state::{Origin, Position};
use ebbtide_store::{Object, Store};

use crate::attach::carried_after;
use crate::claim::last_claim;
use crate::error::{Error, Winner};

/// More segments than this behind, the page hashes come from the replica rather than from the log.
const CATCH_UP_MAX: usize = 4096;

/// An entry lies in a segment that begins at most so many entries before it, mostly.
const SEGMENT_ENTRIES: u64 = 4096;

/// How the replica's last entry relates to the one that we know.
pub(crate) enum Relation {
    /// It is the same.
    Same,
    /// It is a later one, with nothing but claims between.
    SameState,
    /// It is a later one of our own: between are commits whose confirmation was lost.
    Ours { commits: u64, carried: Chain },
    /// It is a later one, and the database was restored to the earlier one on purpose.
    TakenBack,
}

pub(crate) async fn relate(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
    head: &Head,
    take_back: bool,
) -> Result<Relation, Error> {
    if known.txid > head.entry.txid {
        return Err(Error::RolledBack(format!(
            "the replica ends at txid {}, before txid {} that it had confirmed: it was rolled back or is another \
             copy. Give the database a replica of its own, and keep this one for what it holds",
            head.entry.txid, known.txid
        )));
    }
    if known.txid == head.entry.txid {
        if known.chain == head.chain {
            return Ok(Relation::Same);
        }
        return Err(Error::RolledBack(format!(
            "the replica's txid {} is not the one that was confirmed: it was overwritten or is another copy. Give \
             the database a replica of its own, and keep this one for what it holds",
            known.txid
        )));
    }
    let taken_back = take_back
        || matches!(known.origin, Origin::Restored { head: then } if then == head.entry.txid);
    if taken_back && known.digest != head.entry.digest {
        return Ok(Relation::TakenBack);
    }
    let since = read_since(store, manifest, known).await?;
    // By what lies between, not by the digest of the end: whoever may write to the store can make up pages that lead
    // back to any digest.
    if since.chain == Some(head.chain)
        && since.claims_only
        && (known.digest, known.database_pages) == (head.entry.digest, head.entry.database_pages)
    {
        return Ok(Relation::SameState);
    }
    if taken_back {
        return Ok(Relation::TakenBack);
    }
    if since.chain == Some(head.chain) && since.claim.is_none() {
        return Ok(Relation::Ours { commits: since.commits, carried: since.carried });
    }
    Err(Error::Behind { head: head.entry.txid, known: known.txid, winner: Winner(since.claim) })
}

/// What the log holds after an entry.
struct Since {
    commits: u64,
    claim: Option<Claim>,
    /// Whether there are claims and nothing else.
    claims_only: bool,
    /// What all that is no claim carries.
    carried: Chain,
    /// The history up to the last of it, if it continues the entry without a gap.
    chain: Option<Chain>,
}

async fn read_since(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
) -> Result<Since, Error> {
    let (carried, chain) = (known.chain, Some(known.chain));
    let mut since = Since { commits: 0, claim: None, claims_only: true, carried, chain };
    let mut next = known.txid.next();
    let objects =
        store.list_some(Folder::Log, Some(&Key::Log(known.txid)), CATCH_UP_MAX + 1).await?;
    for (at, object) in objects.into_iter().enumerate() {
        let Object { key, .. } = object;
        let index = match ebbtide_catalog::read_index(store, manifest, object).await {
            Ok(fetched) => fetched.index,
            // What does not continue the history is none of it.
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

/// Whether the replica still has the entry that is known to be durable. After its objects were deleted, a segment that came
/// last may be all that there is.
pub(crate) async fn holds(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
    head: &Head,
) -> Result<bool, Error> {
    if known.txid == head.entry.txid {
        return Ok(known.chain == head.chain);
    }
    if has(store, manifest, known, head.object).await? {
        return Ok(true);
    }
    let packs = store.list(Folder::Pack, None).await?;
    let packs = packs.into_iter().filter(|object| match object.key {
        Key::Pack { first, last } => first <= known.txid && known.txid <= last,
        _ => false,
    });
    let near = known.txid.get().saturating_sub(SEGMENT_ENTRIES);
    let mut from = Txid::new(near).map(Key::Log);
    loop {
        let most = usize::try_from(SEGMENT_ENTRIES).unwrap_or(usize::MAX);
        let log = store.list_some(Folder::Log, from.as_ref(), most + 1).await?;
        let segment = log.into_iter().rev().find(|object| object.key <= Key::Log(known.txid));
        if segment.is_some() || from.is_none() {
            for object in packs.chain(segment) {
                if has(store, manifest, known, object).await? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        from = None;
    }
}

/// Whether an object has the entry, with the same history before it.
async fn has(
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
    Ok(states.any(|(entry, chain)| entry.txid == known.txid && chain == known.chain))
}
