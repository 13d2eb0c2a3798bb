//! The start: what the replica has, what is known here, and whether the one continues the other.

use std::path::PathBuf;
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::catalog::{self, Head};
use ebbtide_replica::state::{FileIdentity, Origin, Position, State};
use ebbtide_replica::store::{Object, Store};
use ebbtide_replica::{
    Chain, Claim, Digest, EntryKind, Folder, Key, Manifest, PageHash, Txid, content_of,
};
use ebbtide_wal::{PageNumber, PageSize};

use crate::claim::last_claim;
use crate::error::{Error, Winner};
use crate::found::Founder;
use crate::outage::Outage;
use crate::shipper::{Options, Shipper};
use crate::spool::{Found, Spool};

/// More segments than this behind, the page hashes come from the replica rather than from the log.
const CATCH_UP_MAX: usize = 4096;

/// What is known on this side.
#[derive(Debug)]
pub struct Local {
    /// The local state of an earlier run, if its page hashes add up.
    pub state: Option<State>,
    /// Where it is kept.
    pub folder: PathBuf,
    /// The database's file.
    pub database: Option<FileIdentity>,
    /// The size of its pages.
    pub page_size: PageSize,
}

/// How a replica and a database go together.
#[derive(Debug)]
pub enum Attached {
    /// The replica has no state of any database yet.
    New(Founder),
    /// The local state is that of the replica's last entry: the log can be resumed at its position.
    InStep(Shipper),
    /// The replica has commits of ours whose confirmation never reached us: they come next in the log.
    Ahead(Shipper, Box<Unconfirmed>),
    /// There was no local state: the page hashes were read from the replica, and whether the database is in that state,
    /// or was ever followed, is not known.
    Rebuilt(Shipper),
    /// The same, and the database was taken back in time on purpose, to this state.
    TakenBack(Shipper, Restored),
}

/// The state that a database was restored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The entry that led to it.
    pub txid: Txid,
    /// The digest of the database.
    pub digest: Digest,
    /// The size of the database, in pages.
    pub database_pages: u32,
}

/// Commits that the replica has and the local state does not.
#[derive(Debug, Clone)]
pub struct Unconfirmed {
    /// How many transactions.
    pub commits: u64,
    position: Position,
    /// What they carry.
    carried: Chain,
}

/// Finds out how the replica in `store` and the database go together. Only reads.
///
/// # Errors
/// [`Error::Behind`] when another process has written history that this database does not have.
pub async fn attach(
    store: Arc<dyn Store>,
    outage: Arc<Outage>,
    local: Local,
    options: &Options,
) -> Result<Attached, Error> {
    let manifest = catalog::read_manifest(&*store).await?;
    let head = match &manifest {
        Some(manifest) => catalog::head(&*store, manifest).await?,
        None => None,
    };
    let (Some(manifest), Some(head)) = (&manifest, &head) else {
        return Ok(Attached::New(Founder::new(store, outage, local, manifest, None)));
    };
    check_page_size(manifest, local.page_size)?;
    if head.entry.database_pages == 0 && head.entry.digest == Digest::EMPTY {
        let (manifest, head) = (Some(manifest.clone()), Some(head.clone()));
        return Ok(Attached::New(Founder::new(store, outage, local, manifest, head)));
    }
    point("shipper.attach.read");
    let position = position_at(manifest, head, &*store, &local);
    let Local { state, folder, database, .. } = local;
    let mut spool = Spool::new(&folder, options.spool_bytes_max, &outage)?;
    let ours = state.filter(|state| state.position().replica == manifest.replica);
    let Some(mut state) = ours else {
        spool.clear().await?;
        let fill = State::create(&folder)?;
        catalog::rebuild_table(&*store, manifest, head, &fill).await?;
        let state = fill.publish(position)?;
        let shipper = Shipper::new(store, outage, state, options, database, spool);
        return Ok(Attached::Rebuilt(shipper));
    };
    let spooled = spool.found(manifest, state.position()).await?;
    let is_head = |found: &Found| {
        found.position.txid == head.entry.txid && found.position.chain == head.chain
    };
    let relation = match spooled.iter().any(is_head) {
        true => Relation::Same,
        false => relate(&*store, manifest, state.position(), head).await?,
    };
    if !matches!(relation, Relation::Same) && !spooled.is_empty() {
        tracing::warn!("what was spooled does not continue the replica; comparing instead");
        spool.clear().await?;
    }
    let known = state.position();
    let (txid, digest, database_pages) = (known.txid, known.digest, known.database_pages);
    let restored = Restored { txid, digest, database_pages };
    match relation {
        Relation::Same | Relation::Ours { .. } => {}
        Relation::SameState => {
            let position = Position { wal: state.position().wal, ..position.clone() };
            state.commit(position, &[])?;
        }
        Relation::TakenBack => {
            let fill = state.refill()?;
            catalog::rebuild_table(&*store, manifest, head, &fill).await?;
            state = fill.publish(position.clone())?;
        }
    }
    let mut shipper = Shipper::new(store, outage, state, options, database, spool);
    Ok(match relation {
        Relation::Same => {
            shipper.take_up(spooled, head.entry.txid)?;
            Attached::InStep(shipper)
        }
        Relation::SameState => Attached::InStep(shipper),
        Relation::Ours { commits, carried } => {
            Attached::Ahead(shipper, Box::new(Unconfirmed { commits, position, carried }))
        }
        Relation::TakenBack => Attached::TakenBack(shipper, restored),
    })
}

fn check_page_size(manifest: &Manifest, page_size: PageSize) -> Result<(), Error> {
    if manifest.page_size == page_size {
        return Ok(());
    }
    Err(Error::Mismatch(format!(
        "the replica has pages of {} bytes and the database of {page_size}: it is another database, or its page size was \
         changed; give it a replica of its own",
        manifest.page_size
    )))
}

/// The position of the replica's last entry, as the local state holds it.
fn position_at(manifest: &Manifest, head: &Head, store: &dyn Store, local: &Local) -> Position {
    Position {
        replica: manifest.replica,
        location: store.describe(),
        page_size: manifest.page_size,
        txid: head.entry.txid,
        chain: head.chain,
        digest: head.entry.digest,
        database_pages: head.entry.database_pages,
        time: head.entry.time,
        wal: None,
        database: local.database,
        origin: Origin::Followed,
    }
}

/// How the replica's last entry relates to the one that we know.
enum Relation {
    /// It is the same.
    Same,
    /// It is a later one, with nothing but claims between.
    SameState,
    /// It is a later one of our own: between are commits whose confirmation was lost.
    Ours { commits: u64, carried: Chain },
    /// It is a later one, and the database was restored to the earlier one on purpose.
    TakenBack,
}

async fn relate(
    store: &dyn Store,
    manifest: &Manifest,
    known: &Position,
    head: &Head,
) -> Result<Relation, Error> {
    if known.txid > head.entry.txid {
        return Err(Error::Mismatch(format!(
            "the replica ends at txid {}, before txid {} that it had confirmed: it was rolled back or is another \
             copy. Give the database a replica of its own, and keep this one for what it holds",
            head.entry.txid, known.txid
        )));
    }
    if known.txid == head.entry.txid {
        if known.chain == head.chain {
            return Ok(Relation::Same);
        }
        return Err(Error::Mismatch(format!(
            "the replica's txid {} is not the one that was confirmed: it was overwritten or is another copy. Give \
             the database a replica of its own, and keep this one for what it holds",
            known.txid
        )));
    }
    let taken_back =
        matches!(known.origin, Origin::Restored { head: then } if then == head.entry.txid);
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
    let objects = store.list(Folder::Log, Some(&Key::Log(known.txid))).await?;
    for (at, object) in objects.into_iter().enumerate() {
        let Object { key, .. } = object;
        let index = catalog::read_index(store, manifest, object).await?.index;
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

/// What was carried up to one more entry with this content, if `before` is what was carried before it.
fn carried_after(before: Chain, database_pages: u32, content: &[u8; 32]) -> Chain {
    before.next(content, &database_pages.to_le_bytes(), b"")
}

impl Shipper {
    /// One more transaction was read again, which changed these pages.
    pub(crate) fn replayed(&mut self, database_pages: u32, changed: &[(PageNumber, PageHash)]) {
        let content = content_of(changed.iter().map(|&(_, hash)| hash));
        self.carried = carried_after(self.carried, database_pages, &content);
    }

    /// Ends a replay of unconfirmed commits: whether they were those that the replica has, page by page, so that the log
    /// can be followed from `wal` on. If not, attach again without the local state.
    ///
    /// # Errors
    /// When the local state cannot be written.
    pub fn confirm_replay(
        &mut self,
        unconfirmed: &Unconfirmed,
        wal: ebbtide_replica::state::WalPosition,
    ) -> Result<bool, Error> {
        let there = &unconfirmed.position;
        let same = self.carried == unconfirmed.carried
            && self.ledger.digest() == there.digest
            && self.ledger.database_pages() == there.database_pages;
        if same {
            self.adopt(Position { wal: Some(wal), ..there.clone() })?;
        }
        Ok(same)
    }
}
