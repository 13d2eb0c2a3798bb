//! The start of a session: holds the log, then looks at the replica, decides how the database is followed on
//! (`plan.rs`), and does that.

use std::sync::Arc;
use std::time::Duration;

use ebbtide_fault::point;
use ebbtide_replica::{Key, Timestamp};
use ebbtide_shipper::{Found, Local, Shipper, StoreHealth, look};
use ebbtide_wal::Position;
use ebbtide_watcher::{self as watcher, Follower, LogEvidence, Moved};

use super::catch_up::{Opened, catch_up, open};
use super::error::FollowError;
use super::held::Held;
use super::job::Job;
use super::local::{LocalState, directory, file_at, file_of, local, open_state, resume_at};
use super::parts;
use super::phase::Phase;
use super::plan::start_plan;
use super::snapshots::{Snapshots, newest};
use crate::clock::now;
use crate::set::NoDescriptors;
use crate::track::Track;

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
fn hold(job: &Job, held: &mut Option<Held>) -> Result<(LocalState, LogEvidence), FollowError> {
    let directory = directory(job);
    let (state, remembered) = open_state(&directory)?;
    job.status.begun();
    let resume = state.as_ref().and_then(|state| resume_at(state.position(), &directory));
    let latest = state.as_ref().map_or(Timestamp::EPOCH, |state| state.position().state.time());
    let began = match held.as_mut() {
        Some(held) => {
            held.follower.rouse()?;
            held.update_attention(false);
            held.follower.check_size()?;
            match resume {
                Some(at) if !held.is_given_up && held.follower.rewind(at)? => {
                    LogEvidence::Continues
                }
                _ => LogEvidence::Restarted,
            }
        }
        None => {
            if let Some(NoDescriptors { open, limit }) = NoDescriptors::look() {
                return Err(FollowError::NoDescriptors { open, limit });
            }
            let options = parts::following(&job.database);
            let path = &job.database.path;
            let known = state.as_ref().and_then(|state| state.position().database);
            // The log of another file proves nothing of this one, even where it has stayed beside it.
            let may_be = |file| known.is_none_or(|known| known.may_be(file));
            let resume = resume.filter(|_| file_at(path).is_some_and(may_be));
            let (follower, began) = Follower::open(path, &options, resume, latest)?;
            let is_another = !may_be(file_of(&follower));
            if is_another && resume.is_some() {
                let (path, moved) = (path.clone(), Moved::Replaced);
                return Err(watcher::Error::Moved { path, moved }.into());
            }
            let follower = follower.counting(Arc::clone(&job.status.counts().log));
            let held = held.insert(Held::new(follower, &job.shared));
            held.is_given_up = is_another;
            began
        }
    };
    Ok(((state, remembered), began))
}

/// Opens the replica, and brings it up to date with the database.
async fn open_and_catch_up(
    job: &mut Job,
    held: &mut Held,
    known: LocalState,
    log: LogEvidence,
) -> Result<Started, FollowError> {
    let local = local(job, known, &held.follower);
    let health = Arc::new(StoreHealth::default());
    let put_interval = parts::shipping(job).puts.interval();
    job.status.begin(held.follower.log_status_handle(), Arc::clone(&health), put_interval);
    let opened = open_patiently(job, held, local, health, log).await?;
    job.status.set(Phase::CatchingUp);
    let mut shipper = catch_up(job, held, opened).await?;
    held.is_given_up = false;
    point("follow.start.in-step");
    shipper.flush()?;
    let presence = Arc::clone(shipper.presence());
    let newest = newest(presence.store(), presence.manifest()).await;
    if let Some(newest) = newest {
        presence.set_base(Some(Key::Snapshot(newest.txid)));
    }
    job.status.presence(presence);
    let interval = job.database.snapshot_interval;
    let track = Track::new(&shipper, newest);
    let snapshots = Snapshots::new(interval, newest, now(), track, job.status.clone());
    Ok(Started { shipper, snapshots })
}

/// What the log proves about `position`. If the log continues it, the follower is there afterwards. `began` is what it
/// proved about the position of the local state when it was opened.
fn look_at_log(
    held: &mut Held,
    position: Option<Position>,
    began: LogEvidence,
) -> Result<LogEvidence, FollowError> {
    if held.is_given_up {
        return Ok(LogEvidence::Restarted);
    }
    let continues = match position {
        Some(at) if began == LogEvidence::Continues && at == held.follower.position() => true,
        Some(at) => held.follower.rewind(at)?,
        None => false,
    };
    Ok(match (continues, began) {
        (true, _) => LogEvidence::Continues,
        (false, LogEvidence::Truncated) => LogEvidence::Truncated,
        (false, _) => LogEvidence::Restarted,
    })
}

/// Opens the replica. Retries during an outage.
async fn open_patiently(
    job: &mut Job,
    held: &mut Held,
    local: Local,
    health: Arc<StoreHealth>,
    log: LogEvidence,
) -> Result<Opened, FollowError> {
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let mut local = Some(local);
    let mut pause = ASK_AGAIN;
    loop {
        let given = match local.take() {
            Some(local) => local,
            // An attempt that failed has used it up.
            None => self::local(job, open_state(&directory(job))?, &held.follower),
        };
        let error = match open_once(job, held, given, &health, log).await {
            Ok(opened) => return Ok(opened),
            Err(error @ FollowError::LogReleased) => return Err(error),
            Err(error) => error,
        };
        // A replica that is gone may come back, and the log does not wait for that any longer than for a store.
        let is_gone = matches!(error, FollowError::Ship(ebbtide_shipper::Error::Gone { .. }));
        if is_gone && held.follower.log_bytes()? > waiting_bytes_max {
            return Err(FollowError::LogReleased);
        }
        if error.is_final() || job.order.borrow().ends() {
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

/// Looks, decides, and opens the replica as was decided.
async fn open_once(
    job: &Job,
    held: &mut Held,
    local: Local,
    health: &Arc<StoreHealth>,
    log: LogEvidence,
) -> Result<Opened, FollowError> {
    let waiting_bytes_max = job.database.waiting_bytes_max();
    let mut told = false;
    let status = job.status.clone();
    let mut silence = |waited| {
        if waited >= SILENCE && !told {
            told = true;
            status.silent();
            tracing::warn!(
                waited_seconds = SILENCE.as_secs(),
                "the store has not answered yet; the log waits"
            );
        }
    };
    let looking = look_at_replica(job, local, Arc::clone(health));
    let found = held.during(|| waiting_bytes_max, looking, &mut silence).await?;
    let log = look_at_log(held, found.log_position(), log)?;
    let plan = start_plan(&found.evidence(), log, job.consent);
    tracing::debug!(evidence = ?found.evidence(), ?log, ?plan, "decided how to start");
    held.during(|| waiting_bytes_max, open(found, plan), &mut silence).await
}

async fn look_at_replica(
    job: &Job,
    local: Local,
    health: Arc<StoreHealth>,
) -> Result<Found, ebbtide_shipper::Error> {
    let store = job.status.metered(job.database.location.open().await?);
    look(store, health, local, &parts::shipping(job), job.consent).await
}
