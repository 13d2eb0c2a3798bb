//! Opens a replica for writing: compares the replica's last entry with the local state and with the spool.

use std::sync::Arc;

use ebbtide_catalog::{self, Head, Identity};
use ebbtide_fault::point;
use ebbtide_replica::{Digest, EntryState, Folder, Manifest};
use ebbtide_state::{Origin, Position, State};
use ebbtide_store::{Object, Store, same_place};
use ebbtide_wal::PageSize;

use crate::compare_head::{HeadComparison, compare_head, has_entry};
use crate::context::OpenContext;
use crate::copied::refuse_copy;
use crate::create::Creator;
use crate::destination::Destination;
use crate::error::Error;
use crate::local::Local;
use crate::newest::newest_claim;
use crate::options::Options;
use crate::replay::Unconfirmed;
use crate::shipper::Shipper;
use crate::spooled::SpooledSegment;
use crate::store_health::StoreHealth;
use crate::unverified::UnverifiedReplica;

/// Operations that are refused unless the user asks for them on the command line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Consent {
    /// Write into a replica that is not shown to be the database's own.
    pub adopt: bool,
    /// Continue from the database's state, although the replica has later entries. They become a fork.
    pub take_back: bool,
    /// Create another replica where the known one is missing.
    pub begin_anew: bool,
}

/// The result of opening a replica.
#[derive(Debug)]
pub enum Opened {
    /// The replica has no snapshot yet.
    New(Creator),
    /// The local state equals that of the replica's last entry: capturing resumes at its position in the log.
    CaughtUp(Shipper),
    /// The replica has commits of this process whose confirmation was lost. They come next in the log.
    Ahead(Shipper, Box<Unconfirmed>),
    /// The page hashes were read from the replica, which is the database's own. The log position is unknown.
    Rebuilt(Shipper),
    /// There is no local state of this replica: the caller checks whether it is the database's own.
    Unverified(UnverifiedReplica),
    /// The page hashes were read from the replica, and the database continues from an earlier state on purpose: from
    /// the given one if it was restored.
    AtEarlierState(Shipper, Option<EntryState>),
}

/// Opens the replica in `store` for writing. Writes nothing into the replica.
///
/// Changes local files only after all checks have passed:
///
/// - removes spooled segments that do not continue the replica (the pages are compared with the replica instead);
/// - reads page hashes from the replica if they are missing or of another state;
/// - moves the local position to the replica's last entry if there are only claims in between.
///
/// # Errors
/// [`Error::Behind`] when another process has written entries that this database does not have; [`Error::Gone`] when
/// the replica that the local state names is missing.
pub async fn open_replica(
    store: Arc<dyn Store>,
    health: Arc<StoreHealth>,
    local: Local,
    options: &Options,
    consent: Consent,
) -> Result<Opened, Error> {
    let known = local.state.as_ref().map(State::position).or(local.remembered.as_ref()).cloned();
    let identity =
        ebbtide_catalog::identify(&*store, known.as_ref().map(|known| known.replica)).await?;
    let head = match &identity {
        Some(Identity { manifest, .. }) => ebbtide_catalog::head(&*store, manifest).await?,
        None => None,
    };
    let has_state =
        |head: &Head| head.state.database_pages != 0 || head.state.digest != Digest::EMPTY;
    let (identity, head) = match (identity, head) {
        (Some(identity), Some(head)) if has_state(&head) => (identity, head),
        (identity, head) => {
            return begin(store, health, local, known.as_ref(), identity, head, consent).await;
        }
    };
    let Identity { manifest, is_stored } = identity;
    let known = known.filter(|known| known.replica == manifest.replica);
    if let Some(known) = known.as_ref().filter(|_| !is_stored && !consent.begin_anew) {
        // A put after the bucket was emptied leaves one segment, without manifest and snapshot.
        let snapshots = store.list_some(Folder::Snapshot, None, 1).await?;
        if snapshots.is_empty() {
            return Err(gone(&store.describe(), known));
        }
    }
    check_page_size(&manifest, local.page_size)?;
    let moved = known.as_ref().is_some_and(|known| !is_same_file(known, &local));
    if moved && !(consent.adopt || consent.take_back) {
        let claim = newest_claim(&*store, &manifest).await?;
        let Local { host, file, directory, .. } = &local;
        refuse_copy(claim.as_ref(), host, file.as_ref(), directory, &store.describe())?;
    }
    point("shipper.attach.read");
    let position = position_at(&manifest, &head, &*store, &local);
    let Local { state, directory, database, file, .. } = local;
    let options = *options;
    let to = Destination { store, health };
    let context = OpenContext { to, options, directory, database, file, manifest, is_stored };
    let ours = state.filter(|state| state.position().replica == context.manifest.replica);
    match ours {
        Some(state) => resume(context, state, &head, position, consent).await,
        None if known.is_some() => {
            let mut spool = context.spool()?;
            spool.clear().await?;
            let fill = State::create(&context.directory)?;
            ebbtide_catalog::rebuild_table(&*context.to.store, &context.manifest, &head, &fill)
                .await?;
            Ok(Opened::Rebuilt(context.shipper(State::publish(fill, position)?, spool)))
        }
        None => Ok(Opened::Unverified(UnverifiedReplica::read(context, &head, position).await?)),
    }
}

/// Whether the file is the one that was followed last, or was restored by ebbtide. A copy of the file and a file that
/// replaced it have another inode.
fn is_same_file(known: &Position, local: &Local) -> bool {
    if matches!(known.origin, Origin::Restored { .. }) {
        return true;
    }
    let (Some(known), Some(now)) = (known.database, local.database) else { return true };
    known.may_be(now)
}

/// A location without a snapshot: a replica is created there, unless the local state knows one that was lost.
async fn begin(
    store: Arc<dyn Store>,
    health: Arc<StoreHealth>,
    local: Local,
    known: Option<&Position>,
    identity: Option<Identity>,
    head: Option<Head>,
    consent: Consent,
) -> Result<Opened, Error> {
    let place = store.describe();
    let was_here = |known: &&Position| {
        let same = identity.as_ref().is_some_and(|there| there.manifest.replica == known.replica);
        same || same_place(&known.location, &place)
    };
    if let Some(known) = known.filter(was_here) {
        if !consent.begin_anew {
            return Err(gone(&place, known));
        }
        tracing::warn!(store = place, replica = %known.replica, txid = %known.state.txid(), "the replica that was here is gone; beginning another");
    }
    if head.is_none() && identity.is_some() {
        let left: Vec<Object> = store.list_some(Folder::Snapshot, None, 1).await?;
        let deltas = store.list_some(Folder::Delta, None, 1).await?;
        if let Some(object) = left.first().or(deltas.first()) {
            return Err(Error::NoLog { place, object: object.key });
        }
    }
    let manifest = identity.map(|identity| identity.manifest);
    Ok(Opened::New(Creator::new(store, health, local, manifest, head)))
}

fn gone(place: &str, known: &Position) -> Error {
    Error::Gone {
        why: format!(
            "the replica {} is not in {place} any more, where it had reached txid {} of {}: is a disk not mounted, or \
             was the bucket emptied? Mount it or bring the objects back, and start again; give the database another \
             place; or begin another replica there with --begin-anew",
            known.replica,
            known.state.txid(),
            known.state.time()
        ),
    }
}

/// Continues with the local state of this replica.
async fn resume(
    context: OpenContext,
    mut state: State,
    head: &Head,
    position: Position,
    consent: Consent,
) -> Result<Opened, Error> {
    let mut spool = context.spool()?;
    let (store, manifest) = (Arc::clone(&context.to.store), context.manifest.clone());
    let known = state.position().clone();
    let spooled = spool.read_continuing(&manifest, &known).await?;
    let is_head = |found: &SpooledSegment| {
        (found.position.state.txid(), found.position.state.chain)
            == (head.state.txid(), head.state.chain)
    };
    let comparison = match spooled.iter().any(is_head) {
        true => HeadComparison::Same,
        false => compare_head(&*store, &manifest, &known, head, consent.take_back).await?,
    };
    if !consent.begin_anew && !has_entry(&*store, &manifest, &known, head).await? {
        return Err(gone(&store.describe(), &known));
    }
    if !matches!(comparison, HeadComparison::Same) && !spooled.is_empty() {
        tracing::warn!("what was spooled does not continue the replica; comparing instead");
        spool.clear().await?;
    }
    let restored = matches!(known.origin, Origin::Restored { .. });
    let restored = restored.then_some(known.state);
    match comparison {
        HeadComparison::Same | HeadComparison::OwnCommitsSince { .. } => {}
        HeadComparison::ClaimsSince => {
            let position = Position { wal: known.wal, ..position.clone() };
            state.commit(position, &[])?;
        }
        HeadComparison::EarlierState => {
            let fill = state.refill()?;
            ebbtide_catalog::rebuild_table(&*store, &manifest, head, &fill).await?;
            state = State::publish(fill, position.clone())?;
        }
    }
    let mut shipper = context.shipper(state, spool);
    Ok(match comparison {
        HeadComparison::Same => {
            shipper.resume_spool(spooled, head.state.txid())?;
            Opened::CaughtUp(shipper)
        }
        HeadComparison::ClaimsSince => Opened::CaughtUp(shipper),
        HeadComparison::OwnCommitsSince { commits, carried } => {
            let unconfirmed = Unconfirmed::new(commits, known.state.chain, position, carried);
            Opened::Ahead(shipper, Box::new(unconfirmed))
        }
        HeadComparison::EarlierState => Opened::AtEarlierState(shipper, restored),
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
        state: head.state,
        wal: None,
        database: local.database,
        origin: Origin::Followed,
    }
}
