//! How a session begins: the log is held, the replica is read, and the one is brought in step with the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ebbtide_fault::point;
use ebbtide_replica::{ClaimedFile, Key};
use ebbtide_shipper::{Attached, Beginning, Founder, Local, Outage, Shipper, attach, spooled_end};
use ebbtide_state::{FileIdentity, Position as Remembered, State, WalPosition, state_folder};
use ebbtide_store::Store;
use ebbtide_wal::{Checksum, PageSize, Position, Salts};
use ebbtide_watcher::{Follower, Start};

use super::catch_up::{Past, ahead, in_step, pin_end, strange};
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

/// What a session ships with.
pub(crate) struct Started {
    pub(crate) shipper: Shipper,
    pub(crate) snapshots: Snapshots,
}

/// Takes hold of the database, unless `held` has it already, then of the replica, and brings them in step.
pub(crate) async fn start(job: &mut Job, held: &mut Option<Held>) -> Result<Started, FollowError> {
    let (known, began) = job.shared.starts.open(|| hold(job, held)).await?;
    let held = held.as_mut().expect("it was just filled");
    let starts = Arc::clone(&job.shared.starts);
    // In memory of its own, which it gives back: a start has far more to remember than what follows.
    starts.in_turn(|| Box::pin(bring_in_step(job, held, known, began))).await
}

/// Opens the local state, and takes hold of the database.
fn hold(job: &Job, held: &mut Option<Held>) -> Result<(Known, Start), FollowError> {
    let folder = folder(job);
    let (state, remembered) = open_state(&folder)?;
    let resume = state.as_ref().and_then(|state| resume_at(state.position(), &folder));
    let latest = state.as_ref().map_or(0, |state| state.position().time.as_micros());
    let began = match held.as_mut() {
        Some(held) => {
            held.follower.rouse()?;
            held.rests(false);
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

/// Whether the file that was followed last may be the one at `path`. The log of another file proves nothing of this one,
/// even where it has stayed beside it. The number of a device may change with a restart of the machine.
fn is_same_file(known: Option<FileIdentity>, path: &Path) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    known.is_none_or(|known| known.inode == FileIdentity::of(&metadata).inode)
}

/// Takes hold of the replica, and brings it in step with the database.
async fn bring_in_step(
    job: &mut Job,
    held: &mut Held,
    known: Known,
    began: Start,
) -> Result<Started, FollowError> {
    let local = local(job, known, held.follower.page_size());
    let outage = Arc::new(Outage::default());
    let put_interval = parts::shipping(&job.database).puts.interval();
    job.status.begin(held.follower.log_status_handle(), Arc::clone(&outage), put_interval);
    let (store, attached) = reach(job, held, local, outage).await?;
    job.status.set(Phase::CatchingUp);
    let mut shipper = match attached {
        Attached::New(founder) => found(job, held, founder).await?,
        Attached::InStep(shipper) => {
            let past = stands(held, &shipper, began)?;
            in_step(job, held, shipper, past).await?
        }
        Attached::Ahead(shipper, unconfirmed) => {
            let past = stands(held, &shipper, began)?;
            ahead(job, held, shipper, past, &unconfirmed).await?
        }
        Attached::Rebuilt(shipper) => in_step(job, held, shipper, Past::Missed).await?,
        Attached::Stranger(stranger) => strange(job, held, stranger).await?,
        Attached::TakenBack(shipper, to) => {
            let past = to.map_or(Past::Cut, Past::TakenBack);
            in_step(job, held, shipper, past).await?
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

/// Where the local state of a database is kept.
pub(crate) fn folder(job: &Job) -> PathBuf {
    job.database.state.clone().unwrap_or_else(|| state_folder(&job.database.path))
}

/// What is known on this side.
pub(crate) fn local(job: &Job, known: Known, page_size: PageSize) -> Local {
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
    Local { state, remembered, folder: folder(job), database, file, host, page_size }
}

/// The local state, if it is whole, and what it says of the replica in any case.
type Known = (Option<State>, Option<Remembered>);

/// The local state of an earlier run, if it proves itself.
fn open_state(folder: &Path) -> Result<Known, FollowError> {
    let Some(state) = State::open(folder)? else { return Ok((None, None)) };
    let remembered = state.position().clone();
    if state.verify()? {
        return Ok((Some(state), Some(remembered)));
    }
    tracing::warn!(folder = %folder.display(), "the local state is not whole; taking it from the replica");
    Ok((None, Some(remembered)))
}

/// Where in the log to read on: behind what is durable, or behind what is spooled for the replica.
fn resume_at(known: &Remembered, folder: &Path) -> Option<Position> {
    let spooled = spooled_end(folder).filter(|&(txid, _)| txid > known.txid);
    spooled.map(|(_, wal)| wal).or(known.wal).and_then(log_position)
}

fn log_position(wal: WalPosition) -> Option<Position> {
    let (s0, s1) = wal.checksum;
    let frame = u32::try_from(wal.frame).ok()?;
    Some(Position { salts: Salts(wal.salts), frame, checksum: Checksum { s0, s1 } })
}

/// A position of the log as the local state keeps it.
pub(crate) fn wal_position(position: Position) -> WalPosition {
    let checksum = (position.checksum.s0, position.checksum.s1);
    WalPosition { salts: position.salts.0, frame: position.frame.into(), checksum }
}

/// Whether the log is read on where the shipper stands; it goes back to there if it can.
fn stands(held: &mut Held, shipper: &Shipper, began: Start) -> Result<Past, FollowError> {
    if std::mem::take(&mut held.is_given_up) {
        return Ok(Past::Missed);
    }
    let stands_at = shipper.stands_at().and_then(log_position);
    let resumed = match (began, stands_at) {
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

/// Opens the store and reads the replica, for as long as that takes.
async fn reach(
    job: &mut Job,
    held: &mut Held,
    local: Local,
    outage: Arc<Outage>,
) -> Result<(Arc<dyn Store>, Attached), FollowError> {
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
        let asked = ask(job, given, Arc::clone(&outage));
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
            Err(error @ FollowError::LetGo) => return Err(error),
            Err(error) => error,
        };
        // A replica that is gone may come back, and the log does not wait for that any longer than for a store.
        let is_gone = matches!(error, FollowError::Ship(ebbtide_shipper::Error::Gone { .. }));
        if is_gone && held.follower.log_bytes()? > waiting_bytes_max {
            return Err(FollowError::LetGo);
        }
        if error.is_final(false) || *job.order.borrow() == Order::Finish {
            return Err(error);
        }
        job.status.away(&error);
        tracing::warn!(database = %job.database.path.display(), error = super::error::chain(&error), "the store is away; the log waits");
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
    outage: Arc<Outage>,
) -> Result<(Arc<dyn Store>, Attached), FollowError> {
    let store = job.database.location.open().await.map_err(ebbtide_shipper::Error::from)?;
    let options = parts::shipping(&job.database);
    let attached = attach(Arc::clone(&store), outage, local, &options, job.consent).await?;
    Ok((store, attached))
}

/// The first snapshot of a new replica.
async fn found(job: &Job, held: &mut Held, founder: Founder) -> Result<Shipper, FollowError> {
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let beginning = Beginning {
        time,
        database_pages: image.database_pages(),
        wal: wal_position(image.position()),
    };
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
    let outage = founder.outage();
    let founding = founder.found(&job.shared.owner, beginning, &options, pages);
    let show = |_| tell(false);
    // While the store takes it, the log is kept however long it gets: without a first snapshot there is no replica.
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let log_bytes_max = || outage.current().map_or(u64::MAX, |_| waiting_bytes_max);
    let founded = held.during(log_bytes_max, founding, show).await;
    tell(true);
    founded
}
