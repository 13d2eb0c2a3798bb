//! The start: what the replica has, what is known here, and whether the one continues the other.

use std::path::PathBuf;
use std::sync::Arc;

use ebbtide_catalog::{self, Head, Identity};
use ebbtide_fault::point;
use ebbtide_replica::{Chain, ClaimedFile, Digest, Folder, Manifest, PageHash, Txid, content_of};
use ebbtide_state::{FileIdentity, Origin, Position, State};
use ebbtide_store::{Object, Store, StoreError, same_place};
use ebbtide_wal::{PageNumber, PageSize};

use crate::copied::refuse_copy;
use crate::error::Error;
use crate::found::Founder;
use crate::outage::Outage;
use crate::presence::Presence;
use crate::relation::{Relation, holds, relate};
use crate::shipper::{Options, Shipper};
use crate::spool::{Found, Spool};
use crate::stranger::{Stranger, newest_claim};

/// What is known on this side.
#[derive(Debug)]
pub struct Local {
    /// The local state of an earlier run, if its page hashes add up.
    pub state: Option<State>,
    /// What an earlier run knew to be durable, also where its page hashes do not add up.
    pub remembered: Option<Position>,
    /// Where the state is kept.
    pub folder: PathBuf,
    /// The database's file.
    pub database: Option<FileIdentity>,
    /// The same, as a claim tells others of it.
    pub file: Option<ClaimedFile>,
    /// The name of this host, as claims have it.
    pub host: String,
    /// The size of its pages.
    pub page_size: PageSize,
}

/// What is refused unless a person has said that it is meant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// To follow a database into a replica that is not shown to be its own.
    pub adopt: bool,
    /// To take a replica back that another process has continued, or that has gone on from the database's state.
    pub take_back: bool,
    /// To begin a replica where the one is gone that is known to have been there.
    pub begin_anew: bool,
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
    /// The page hashes had to be read from the replica, which is this database's.
    Rebuilt(Shipper),
    /// There is no local state of this replica: whether it is this database's is still to be shown.
    Stranger(Stranger),
    /// As [`Attached::Rebuilt`], and the database was taken back in time on purpose, to this state if it was restored.
    TakenBack(Shipper, Option<Restored>),
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

/// What a shipper stands on.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outage: Arc<Outage>,
    pub(crate) options: Options,
    pub(crate) folder: PathBuf,
    pub(crate) database: Option<FileIdentity>,
    pub(crate) file: Option<ClaimedFile>,
    pub(crate) manifest: Manifest,
    /// Whether the manifest is in the store.
    pub(crate) is_stored: bool,
}

impl Ground {
    pub(crate) fn spool(&self) -> Result<Spool, StoreError> {
        Spool::new(&self.folder, self.options.spool_bytes_max, &self.outage)
    }

    pub(crate) fn shipper(self, state: State, spool: Spool) -> Shipper {
        let presence = Presence::new(self.manifest.clone(), self.is_stored, &self.outage);
        Shipper::new(self, state, spool, Arc::new(presence))
    }
}

/// Finds out how the replica in `store` and the database go together. It writes nothing into the replica.
///
/// On this side it changes what it needs to go on, and only once nothing refuses: what is spooled and does not continue
/// the replica is removed, because the database is compared with the replica instead; page hashes that are missing or of
/// another state are taken from the replica; a position of the same state becomes that of the replica's last entry.
///
/// # Errors
/// [`Error::Behind`] when another process has written history that this database does not have; [`Error::Gone`] when the
/// replica that is known here is not there any more.
pub async fn attach(
    store: Arc<dyn Store>,
    outage: Arc<Outage>,
    local: Local,
    options: &Options,
    consent: Consent,
) -> Result<Attached, Error> {
    let known = local.state.as_ref().map(State::position).or(local.remembered.as_ref()).cloned();
    let identity =
        ebbtide_catalog::identify(&*store, known.as_ref().map(|known| known.replica)).await?;
    let head = match &identity {
        Some(Identity { manifest, .. }) => ebbtide_catalog::head(&*store, manifest).await?,
        None => None,
    };
    let has_state =
        |head: &Head| head.entry.database_pages != 0 || head.entry.digest != Digest::EMPTY;
    let (identity, head) = match (identity, head) {
        (Some(identity), Some(head)) if has_state(&head) => (identity, head),
        (identity, head) => {
            return begin(store, outage, local, known.as_ref(), identity, head, consent).await;
        }
    };
    let Identity { manifest, is_stored } = identity;
    let known = known.filter(|known| known.replica == manifest.replica);
    if let Some(known) = known.as_ref().filter(|_| !is_stored && !consent.begin_anew) {
        // A last put into what was emptied before leaves just that.
        let snapshots = store.list_some(Folder::Snapshot, None, 1).await?;
        if snapshots.is_empty() {
            return Err(gone(&store.describe(), known));
        }
    }
    check_page_size(&manifest, local.page_size)?;
    let moved = known.as_ref().is_some_and(|known| !is_same_file(known, &local));
    if moved && !(consent.adopt || consent.take_back) {
        let claim = newest_claim(&*store, &manifest).await?;
        let Local { host, file, folder, .. } = &local;
        refuse_copy(claim.as_ref(), host, file.as_ref(), folder, &store.describe())?;
    }
    point("shipper.attach.read");
    let position = position_at(&manifest, &head, &*store, &local);
    let Local { state, folder, database, file, .. } = local;
    let options = *options;
    let ground = Ground { store, outage, options, folder, database, file, manifest, is_stored };
    let ours = state.filter(|state| state.position().replica == ground.manifest.replica);
    match ours {
        Some(state) => resume(ground, state, &head, position, consent).await,
        None if known.is_some() => {
            let mut spool = ground.spool()?;
            spool.clear().await?;
            let fill = State::create(&ground.folder)?;
            ebbtide_catalog::rebuild_table(&*ground.store, &ground.manifest, &head, &fill).await?;
            Ok(Attached::Rebuilt(ground.shipper(fill.publish(position)?, spool)))
        }
        None => Ok(Attached::Stranger(Stranger::read(ground, &head, position).await?)),
    }
}

/// Whether the file is the one that was followed last, or was restored to be followed: a copy of it is neither, nor what has
/// replaced it.
fn is_same_file(known: &Position, local: &Local) -> bool {
    if matches!(known.origin, Origin::Restored { .. }) {
        return true;
    }
    let (Some(known), Some(now)) = (known.database, local.database) else { return true };
    known.inode == now.inode
}

/// A place without a state of any database: a replica begins there, unless the one that is known has been lost there.
async fn begin(
    store: Arc<dyn Store>,
    outage: Arc<Outage>,
    local: Local,
    known: Option<&Position>,
    identity: Option<Identity>,
    head: Option<Head>,
    consent: Consent,
) -> Result<Attached, Error> {
    let place = store.describe();
    let was_here = |known: &&Position| {
        let same = identity.as_ref().is_some_and(|there| there.manifest.replica == known.replica);
        same || same_place(&known.location, &place)
    };
    if let Some(known) = known.filter(was_here) {
        if !consent.begin_anew {
            return Err(gone(&place, known));
        }
        tracing::warn!(store = place, replica = %known.replica, txid = %known.txid, "the replica that was here is gone; beginning another");
    }
    if head.is_none() && identity.is_some() {
        let left: Vec<Object> = store.list_some(Folder::Snapshot, None, 1).await?;
        let deltas = store.list_some(Folder::Delta, None, 1).await?;
        if let Some(object) = left.first().or(deltas.first()) {
            return Err(Error::NoLog { place, object: object.key });
        }
    }
    let manifest = identity.map(|identity| identity.manifest);
    Ok(Attached::New(Founder::new(store, outage, local, manifest, head)))
}

fn gone(place: &str, known: &Position) -> Error {
    Error::Gone {
        why: format!(
            "the replica {} is not in {place} any more, where it had reached txid {} of {}: is a disk not mounted, or \
             was the bucket emptied? Mount it or bring the objects back, and start again; give the database another \
             place; or begin another replica there with --begin-anew",
            known.replica, known.txid, known.time
        ),
    }
}

/// Carries on with the local state of this very replica.
async fn resume(
    ground: Ground,
    mut state: State,
    head: &Head,
    position: Position,
    consent: Consent,
) -> Result<Attached, Error> {
    let mut spool = ground.spool()?;
    let (store, manifest) = (Arc::clone(&ground.store), ground.manifest.clone());
    let known = state.position().clone();
    let spooled = spool.found(&manifest, &known).await?;
    let is_head = |found: &Found| {
        found.position.txid == head.entry.txid && found.position.chain == head.chain
    };
    let relation = match spooled.iter().any(is_head) {
        true => Relation::Same,
        false => relate(&*store, &manifest, &known, head, consent.take_back).await?,
    };
    if !consent.begin_anew && !holds(&*store, &manifest, &known, head).await? {
        return Err(gone(&store.describe(), &known));
    }
    if !matches!(relation, Relation::Same) && !spooled.is_empty() {
        tracing::warn!("what was spooled does not continue the replica; comparing instead");
        spool.clear().await?;
    }
    let (txid, digest, database_pages) = (known.txid, known.digest, known.database_pages);
    let restored = matches!(known.origin, Origin::Restored { .. });
    let restored = restored.then_some(Restored { txid, digest, database_pages });
    match relation {
        Relation::Same | Relation::Ours { .. } => {}
        Relation::SameState => {
            let position = Position { wal: known.wal, ..position.clone() };
            state.commit(position, &[])?;
        }
        Relation::TakenBack => {
            let fill = state.refill()?;
            ebbtide_catalog::rebuild_table(&*store, &manifest, head, &fill).await?;
            state = fill.publish(position.clone())?;
        }
    }
    let mut shipper = ground.shipper(state, spool);
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
    Err(Error::PageSize { replica: manifest.page_size, database: page_size })
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

/// What was carried up to one more entry with this content, if `before` is what was carried before it.
pub(crate) fn carried_after(before: Chain, database_pages: u32, content: &[u8; 32]) -> Chain {
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
        wal: ebbtide_state::WalPosition,
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
