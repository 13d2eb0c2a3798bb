//! The start of a session: holds the log, opens the replica, and brings it up to date.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebbtide_fault::point;
use ebbtide_replica::{ClaimedFile, Key};
use ebbtide_shipper::{
    Creator, FirstState, Local, Opened, Shipper, StoreHealth, open_replica, spooled_end,
};
use ebbtide_state::{FileIdentity, Position as Remembered, State, state_folder};
use ebbtide_store::Store;
use ebbtide_wal::{PageSize, Position};
use ebbtide_watcher::{Follower, Start};

use super::catch_up::{Past, ahead, catch_up, pin_end, verify_ownership};
use super::error::FollowError;
use super::held::Held;
use super::snapshots::{Snapshots, newest};
use super::{Job, Order, Phase, parts};
use crate::clock::now_micros;
use crate::hooks::SnapshotProgress;

/// How long to wait before the store is asked again, at first and at most.
const ASK_AGAIN: Duration = Duration::from_secs(2);
const ASK_AGAIN_MAX: Duration = Duration::from_secs(30);

/// A store that has not answered for so long is reported, although the attempt goes on.
const SILENCE: Duration = Duration::from_secs(3);

/// The shipper and the snapshots of a session.
pub(crate) struct Started {
    pub(crate) shipper: Shipper,
    pub(crate) snapshots: Snapshots,
}

/// Holds the log, unless `held` does already, then opens the replica and brings it up to date.
pub(crate) async fn start(job: &mut Job, held: &mut Option<Held>) -> Result<Started, FollowError> {
    let (known, began) = job.shared.starts.open(|| hold(job, held)).await?;
    let held = held.as_mut().expect("it was just filled");
    let starts = Arc::clone(&job.shared.starts);
    // In memory of its own, which it gives back: a start has far more to remember than what follows.
    starts.in_turn(|| Box::pin(open_and_catch_up(job, held, known, began))).await
}

/// Opens the local state, and holds the log.
fn hold(job: &Job, held: &mut Option<Held>) -> Result<(LocalState, Start), FollowError> {
    let folder = folder(job);
    let (state, remembered) = open_state(&folder)?;
    job.status.begun();
    let resume = state.as_ref().and_then(|state| resume_at(state.position(), &folder));
    let latest = state.as_ref().map_or(0, |state| state.position().state.time().as_micros());
    let began = match held.as_mut() {
        Some(held) => {
            held.follower.rouse()?;
            held.update_attention(false);
            held.follower.check_size()?;
            match resume {
                Some(at) if !held.is_given_up && held.follower.rewind(at)? => Start::Resumed,
                _ => Start::Anew,
            }
        }
        None => {
            let options = parts::following(&job.database);
            let path = &job.database.path;
            let known = state.as_ref().and_then(|state| state.position().database);
            let resume = resume.filter(|_| is_same_file(known, path));
            let (follower, began) = Follower::open(path, &options, resume, latest)?;
            *held = Some(Held::new(follower, &job.shared));
            began
        }
    };
    Ok(((state, remembered), began))
}

/// Whether the file that was followed last may be the one at `path`. The log of another file proves nothing of this
/// one, even where it has stayed beside it.
fn is_same_file(known: Option<FileIdentity>, path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    known.is_none_or(|known| known.may_be(FileIdentity::of(&metadata)))
}

/// Opens the replica, and brings it up to date with the database.
async fn open_and_catch_up(
    job: &mut Job,
    held: &mut Held,
    known: LocalState,
    began: Start,
) -> Result<Started, FollowError> {
    let local = local(job, known, held.follower.page_size());
    let health = Arc::new(StoreHealth::default());
    let put_interval = parts::shipping(&job.database).puts.interval();
    job.status.begin(held.follower.log_status_handle(), Arc::clone(&health), put_interval);
    let (store, opened) = reach(job, held, local, health).await?;
    job.status.set(Phase::CatchingUp);
    let mut shipper = match opened {
        Opened::New(creator) => create(job, held, creator).await?,
        Opened::CaughtUp(shipper) => {
            let past = resume_log(held, &shipper, began)?;
            catch_up(job, held, shipper, past).await?
        }
        Opened::Ahead(shipper, unconfirmed) => {
            let past = resume_log(held, &shipper, began)?;
            ahead(job, held, shipper, past, *unconfirmed).await?
        }
        Opened::Rebuilt(shipper) => catch_up(job, held, shipper, Past::Missed).await?,
        Opened::Unverified(replica) => verify_ownership(job, held, replica).await?,
        Opened::AtEarlierState(shipper, to) => {
            let past = to.map_or(Past::Cut, Past::Restored);
            catch_up(job, held, shipper, past).await?
        }
    };
    point("follow.start.in-step");
    shipper.flush()?;
    let presence = Arc::clone(shipper.presence());
    let newest = newest(&store, presence.manifest()).await;
    if let Some(newest) = newest {
        presence.set_base(Some(Key::Snapshot(newest.txid)));
    }
    job.status.presence(presence);
    let interval = job.database.snapshot_interval;
    let snapshots = Snapshots::new(interval, newest, now_micros(), job.status.clone());
    Ok(Started { shipper, snapshots })
}

/// The directory of the local state.
pub(crate) fn folder(job: &Job) -> PathBuf {
    job.database.state.clone().unwrap_or_else(|| state_folder(&job.database.path))
}

/// The arguments of [`open_replica`] about the database and its local state.
pub(crate) fn local(job: &Job, known: LocalState, page_size: PageSize) -> Local {
    let path = &job.database.path;
    let database = std::fs::metadata(path).ok().map(|metadata| FileIdentity::of(&metadata));
    let real = path.canonicalize().or_else(|_| std::path::absolute(path));
    let file = database.zip(real.ok()).map(|(FileIdentity { device, inode }, path)| ClaimedFile {
        path: path.to_string_lossy().into_owned(),
        device,
        inode,
    });
    let (state, remembered) = known;
    let host = job.shared.owner.host.clone();
    Local { state, remembered, directory: folder(job), database, file, host, page_size }
}

/// The local state, if its page hashes add up, and its position in any case.
type LocalState = (Option<State>, Option<Remembered>);

/// Opens and verifies the local state of an earlier run.
fn open_state(folder: &Path) -> Result<LocalState, FollowError> {
    let Some(state) = State::open(folder)? else { return Ok((None, None)) };
    let remembered = state.position().clone();
    if state.verify()? {
        return Ok((Some(state), Some(remembered)));
    }
    tracing::warn!(folder = %folder.display(), "the local state is not whole; taking it from the replica");
    Ok((None, Some(remembered)))
}

/// The log position to resume at: after the last durable or spooled entry.
fn resume_at(known: &Remembered, folder: &Path) -> Option<Position> {
    let spooled = spooled_end(folder).filter(|&(txid, _)| txid > known.state.txid());
    spooled.map(|(_, wal)| wal).or(known.wal)
}

/// Moves the follower to the shipper's position in the log, if the log still has it.
fn resume_log(held: &mut Held, shipper: &Shipper, began: Start) -> Result<Past, FollowError> {
    if std::mem::take(&mut held.is_given_up) {
        return Ok(Past::Missed);
    }
    let last_entry = shipper.position().wal;
    let resumed = match (began, last_entry) {
        (Start::Resumed, Some(at)) if at == held.follower.position() => true,
        (_, Some(at)) => held.follower.rewind(at)?,
        (_, None) => false,
    };
    Ok(match (resumed, began) {
        (true, _) => Past::Resumed,
        (false, Start::Truncated) => Past::Cut,
        (false, _) => Past::Missed,
    })
}

/// Opens the store and the replica. Retries during an outage.
async fn reach(
    job: &mut Job,
    held: &mut Held,
    local: Local,
    health: Arc<StoreHealth>,
) -> Result<(Arc<dyn Store>, Opened), FollowError> {
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let page_size = held.follower.page_size();
    let mut local = Some(local);
    let mut pause = ASK_AGAIN;
    loop {
        let given = match local.take() {
            Some(local) => local,
            // An attempt that failed has used it up.
            None => self::local(job, open_state(&folder(job))?, page_size),
        };
        let asked = ask(job, given, Arc::clone(&health));
        let mut told = false;
        let status = job.status.clone();
        let silence = |waited| {
            if waited >= SILENCE && !told {
                told = true;
                status.silent();
                tracing::warn!(
                    waited_seconds = SILENCE.as_secs(),
                    "the store has not answered yet; the log waits"
                );
            }
        };
        let error = match held.during(|| waiting_bytes_max, asked, silence).await {
            Ok(reached) => return Ok(reached),
            Err(error @ FollowError::LogReleased) => return Err(error),
            Err(error) => error,
        };
        // A replica that is gone may come back, and the log does not wait for that any longer than for a store.
        let is_gone = matches!(error, FollowError::Ship(ebbtide_shipper::Error::Gone { .. }));
        if is_gone && held.follower.log_bytes()? > waiting_bytes_max {
            return Err(FollowError::LogReleased);
        }
        if error.is_final(false) || *job.order.borrow() == Order::Finish {
            return Err(error);
        }
        job.status.away(&error);
        tracing::warn!(database = %job.database.path.display(), error = ebbtide_store::error_chain(&error), "the store is away; the log waits");
        let rest = async {
            tokio::time::sleep(pause).await;
            Ok::<_, FollowError>(())
        };
        held.during(|| waiting_bytes_max, rest, |_| {}).await?;
        pause = (pause * 2).min(ASK_AGAIN_MAX);
    }
}

async fn ask(
    job: &Job,
    local: Local,
    health: Arc<StoreHealth>,
) -> Result<(Arc<dyn Store>, Opened), FollowError> {
    let store = job.database.location.open().await.map_err(ebbtide_shipper::Error::from)?;
    let options = parts::shipping(&job.database);
    let opened = open_replica(Arc::clone(&store), health, local, &options, job.consent).await?;
    Ok((store, opened))
}

/// The first snapshot of a new replica.
async fn create(job: &Job, held: &mut Held, creator: Creator) -> Result<Shipper, FollowError> {
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let first = FirstState { time, database_pages: image.database_pages(), wal: image.position() };
    let done = Arc::new(AtomicU64::new(0));
    let bytes = u64::from(image.database_pages()) * image.page_size().offset();
    let total = u64::from(image.database_pages());
    let tell = |is_over| {
        if let Some(hook) = &job.shared.hooks.snapshot {
            let database = job.database.path.clone();
            let pages_done = done.load(Ordering::Relaxed);
            hook(&SnapshotProgress { database, pages_done, pages_total: total, bytes, is_over });
        }
    };
    let counted = Arc::clone(&done);
    let pages = move |each: &mut ebbtide_shipper::EachPage<'_, FollowError>| {
        image.for_each_page(|page, image| {
            counted.fetch_add(1, Ordering::Relaxed);
            each(page, image)
        })
    };
    let options = parts::shipping(&job.database);
    let health = creator.store_health();
    let creation = creator.create(&job.shared.owner, first, &options, pages);
    let show = |_| tell(false);
    // While the store takes it, the log is kept however long it gets: without a first snapshot there is no replica.
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let log_bytes_max = || health.outage().map_or(u64::MAX, |_| waiting_bytes_max);
    let created = held.during(log_bytes_max, creation, show).await;
    tell(true);
    created
}
