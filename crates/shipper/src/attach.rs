//! The start: what the replica has, what is known here, and whether the one continues the other.

use std::path::PathBuf;
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::catalog::{self, Head};
use ebbtide_replica::state::{FileIdentity, Origin, Position, State};
use ebbtide_replica::store::{Object, Store};
use ebbtide_replica::{Claim, Digest, EntryKind, Key, Manifest, Txid};
use ebbtide_wal::PageSize;

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
    Ahead(Shipper, Unconfirmed),
    /// There was no local state: the page hashes were read from the replica, and whether the database is in that state,
    /// or was ever followed, is not known.
    Rebuilt(Shipper),
    /// The same, and the database was taken back in time on purpose.
    TakenBack(Shipper),
}

/// Commits that the replica has and the local state does not.
#[derive(Debug, Clone)]
pub struct Unconfirmed {
    /// How many transactions.
    pub commits: u64,
    position: Position,
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
        Relation::Ours { commits } => Attached::Ahead(shipper, Unconfirmed { commits, position }),
        Relation::TakenBack => Attached::TakenBack(shipper),
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
    Ours { commits: u64 },
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
    let same_state =
        known.digest == head.entry.digest && known.database_pages == head.entry.database_pages;
    if same_state {
        return Ok(Relation::SameState);
    }
    if matches!(known.origin, Origin::Restored { head: then } if then == head.entry.txid) {
        return Ok(Relation::TakenBack);
    }
    let since = read_since(store, manifest, known.txid).await?;
    if since.claim.is_none() && since.continues_at == Some(known.chain) {
        return Ok(Relation::Ours { commits: since.commits });
    }
    Err(Error::Behind { head: head.entry.txid, known: known.txid, winner: Winner(since.claim) })
}

/// What the log holds after an entry.
struct Since {
    commits: u64,
    claim: Option<Claim>,
    /// The history before the first of it.
    continues_at: Option<ebbtide_replica::Chain>,
}

async fn read_since(store: &dyn Store, manifest: &Manifest, known: Txid) -> Result<Since, Error> {
    let mut since = Since { commits: 0, claim: None, continues_at: None };
    let objects = store.list(ebbtide_replica::Folder::Log, Some(&Key::Log(known))).await?;
    for (at, object) in objects.into_iter().enumerate() {
        let Object { key, .. } = object;
        let index = catalog::read_index(store, manifest, object).await?.index;
        if at == 0 && key == Key::Log(known.next()) {
            since.continues_at = index.header().chain();
        }
        let commits = index.entries().iter().filter(|entry| entry.kind == EntryKind::Commit);
        since.commits += commits.count() as u64;
        since.claim = last_claim(&index).or(since.claim);
        if at >= CATCH_UP_MAX {
            since.continues_at = None;
        }
    }
    Ok(since)
}

impl Shipper {
    /// Ends a replay of unconfirmed commits: whether the state is now that of the replica's last entry, so that the log
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
        let same = self.ledger.digest() == there.digest
            && self.ledger.database_pages() == there.database_pages;
        if same {
            self.adopt(Position { wal: Some(wal), ..there.clone() })?;
        }
        Ok(same)
    }
}
