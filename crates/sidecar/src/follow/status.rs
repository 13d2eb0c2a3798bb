//! The status of each database, for clients, and their requests to its task.
//!
//! It costs nothing while no client asks: the task notes what it does anyway, and the log and the health of the store
//! are read when a client asks.

mod drills;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_replica::{Chain, Point, Timestamp, Txid};
use ebbtide_shipper::{Presence, Spooled, StoreHealth, StoreOutage};
use ebbtide_store::error_chain;
use ebbtide_watcher::{LogStatus, LogStatusHandle};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use super::error::FollowError;
use super::lag::Undurable;
use super::mirror_progress::MirrorProgress;
use super::prune_summary::PruneSummary;
use super::releases::Releases;
use crate::clock;

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Waiting for the database, or for the store.
    Starting,
    /// Making the first snapshot, or comparing the database with its replica.
    CatchingUp,
    /// Following.
    Following,
    /// Waiting for the next attempt after an error.
    Failing,
    /// The outage lasted so long that the log was released. After it the pages that differ are sent.
    LogReleased,
    /// A restore replaces its file; it is followed again afterwards.
    Released,
    /// Given up: another attempt would end the same way.
    Stopped,
    /// Everything is durable, and the task has ended.
    Ended,
}

impl Phase {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::CatchingUp => "catching-up",
            Phase::Following => "following",
            Phase::Failing => "failing",
            Phase::LogReleased => "let-go",
            Phase::Released => "released",
            Phase::Stopped => "stopped",
            Phase::Ended => "ended",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Phase::Stopped | Phase::Ended)
    }
}

/// One database's progress.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The database.
    pub database: PathBuf,
    /// Its replica.
    pub replica: String,
    /// What the task is doing.
    pub phase: Phase,
    /// Since when it does that.
    pub since: Timestamp,
    /// What is wrong.
    pub error: Option<String>,
    /// When the last session failed, and why.
    pub failure: Option<(Timestamp, String)>,
    /// The last transaction that was captured.
    pub captured: Option<Point>,
    /// The last transaction that the store has confirmed.
    pub durable: Option<Point>,
    /// The chain after it.
    pub durable_chain: Option<Chain>,
    /// The newest snapshot.
    pub snapshot: Option<Point>,
    /// Since when snapshots fail, and why the last one did.
    pub snapshot_trouble: Option<(Timestamp, String)>,
    /// What the last prune of the replica did.
    pub pruned: Option<PruneSummary>,
    /// Since when prunes fail, and why the last one did.
    pub prune_trouble: Option<(Timestamp, String)>,
    /// How many segments the store has confirmed since this process began.
    pub segments: u64,
    /// Whether nobody has the database open, so that its file alone is the database.
    pub resting: bool,
    /// How far its mirrors are.
    pub mirrors: Vec<MirrorProgress>,
}

/// The state of a log and of a store at the time of a call.
#[derive(Debug, Clone)]
pub struct StoreAndLog {
    /// The log. Nothing while it is not held.
    pub log: Option<LogStatus>,
    /// The outage of the store, if there is one.
    pub trouble: Option<StoreOutage>,
    /// The contents of the spool.
    pub spooled: Spooled,
    /// How long a put may have to wait for the one before.
    pub put_interval: Duration,
    /// The time of the oldest commit that is not durable.
    pub oldest: Option<Timestamp>,
    /// When the replica's manifest was found to be missing or damaged, and what was done.
    pub manifest_trouble: Option<(Instant, String)>,
    /// Whether the replica has no snapshot.
    pub lacks_base: bool,
}

#[derive(Debug)]
struct StatusData {
    progress: Progress,
    undurable: Undurable,
    log_status: Option<LogStatusHandle>,
    health: Option<Arc<StoreHealth>>,
    presence: Option<Arc<Presence>>,
    /// The directory of the local state.
    state: Option<PathBuf>,
    put_interval: Duration,
    /// The local state was this process's own once.
    has_begun: bool,
    /// It was followed, in this session or in one before it.
    was_followed: bool,
    /// The number of requests for a sync…
    asked: u64,
    /// …and the newest one that was met.
    met: u64,
}

#[derive(Debug)]
struct SharedStatus {
    known: Mutex<StatusData>,
    /// Wakes the task: there is a request for a sync.
    asked: Notify,
    /// Wakes clients: the status has changed.
    told: Notify,
    releases: Releases,
}

/// One database's progress, shared between its task and whoever asks.
#[derive(Debug, Clone)]
pub struct Status(Arc<SharedStatus>);

impl Status {
    /// The status of a database that is not followed yet.
    #[must_use]
    pub fn new(database: PathBuf, replica: String) -> Status {
        let progress = Progress {
            database: std::path::absolute(&database).unwrap_or(database),
            replica,
            phase: Phase::Starting,
            since: clock::now(),
            error: None,
            failure: None,
            captured: None,
            durable_chain: None,
            durable: None,
            snapshot: None,
            snapshot_trouble: None,
            pruned: None,
            prune_trouble: None,
            segments: 0,
            resting: false,
            mirrors: Vec::new(),
        };
        let undurable = Undurable::new();
        let known = StatusData {
            progress,
            undurable,
            log_status: None,
            health: None,
            presence: None,
            state: None,
            put_interval: Duration::ZERO,
            has_begun: false,
            was_followed: false,
            asked: 0,
            met: 0,
        };
        let (asked, told) = (Notify::new(), Notify::new());
        let releases = Releases::new();
        Status(Arc::new(SharedStatus { known: Mutex::new(known), asked, told, releases }))
    }

    /// The database has mirrors with these addresses.
    pub(crate) fn set_mirrors(&self, addresses: impl Iterator<Item = String>) {
        self.known().progress.mirrors = addresses.map(MirrorProgress::new).collect();
    }

    /// Changes what is known of the mirror with this number.
    pub(crate) fn change_mirror(&self, at: usize, change: impl FnOnce(&mut MirrorProgress)) {
        if let Some(mirror) = self.known().progress.mirrors.get_mut(at) {
            change(mirror);
        }
    }

    /// Waits until something has changed, but not longer than `most`.
    pub(crate) async fn changed(&self, most: Duration) {
        tokio::select! {
            () = self.0.told.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }

    /// The clients that want the database released.
    pub(crate) fn releases(&self) -> &Releases {
        &self.0.releases
    }

    /// The progress now.
    #[must_use]
    pub fn get(&self) -> Progress {
        self.known().progress.clone()
    }

    /// Reads the state of the log and of the store.
    #[must_use]
    pub fn look(&self) -> StoreAndLog {
        let known = self.known();
        let log = known.log_status.as_ref().and_then(LogStatusHandle::read);
        let uncaptured = log.as_ref().and_then(|log| log.oldest_uncaptured);
        let uncaptured = uncaptured.and_then(Timestamp::from_micros);
        let oldest = [known.undurable.oldest(), uncaptured].into_iter().flatten().min();
        let health = known.health.as_ref();
        let trouble = health.and_then(|health| health.outage());
        let spooled = health.map_or_else(Spooled::default, |health| health.spooled());
        let presence = known.presence.as_ref();
        StoreAndLog {
            log,
            trouble,
            spooled,
            put_interval: known.put_interval,
            oldest,
            manifest_trouble: presence.and_then(|presence| presence.manifest_trouble()),
            lacks_base: presence.is_some_and(|presence| presence.lacks_base()),
        }
    }

    fn known(&self) -> MutexGuard<'_, StatusData> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.known().progress);
        self.0.told.notify_waiters();
    }

    /// Whether this process has had the local state to itself.
    pub(crate) fn has_begun(&self) -> bool {
        self.known().has_begun
    }

    /// Whether this process has followed the database before.
    pub(crate) fn was_followed(&self) -> bool {
        self.known().was_followed
    }

    /// The local state is this process's own.
    pub(crate) fn begun(&self) {
        self.known().has_begun = true;
    }

    /// Why only a person can help the store, if that has lasted for so long.
    pub(crate) fn hopeless(&self, patience: Duration) -> Option<String> {
        let health = self.known().health.clone()?;
        let outage = health.outage()?;
        let is_so = outage.is_permanent && outage.since.elapsed() >= patience;
        is_so.then_some(outage.error)
    }

    /// Enters a phase without an error.
    pub(crate) fn set(&self, phase: Phase) {
        self.known().was_followed |= phase == Phase::Following;
        self.enter(phase, None);
    }

    /// A session failed, and another one will begin.
    pub(crate) fn fail(&self, error: &FollowError) {
        self.away(error);
        self.remember(error);
    }

    /// The store cannot be reached. It is asked again.
    pub(crate) fn away(&self, error: &FollowError) {
        self.enter(Phase::Failing, Some(error_chain(error)));
    }

    /// The store has not answered for a while.
    pub(crate) fn silent(&self) {
        self.change(|progress| {
            progress.error = Some("the store has not answered yet".to_owned());
        });
    }

    /// The log was released.
    pub(crate) fn log_released(&self, error: &FollowError) {
        self.enter(Phase::LogReleased, Some(error_chain(error)));
        self.remember(error);
    }

    fn remember(&self, error: &FollowError) {
        self.change(|progress| progress.failure = Some((clock::now(), error_chain(error))));
    }

    /// The task ends with an error.
    pub(crate) fn stop(&self, error: &FollowError) {
        self.enter(Phase::Stopped, Some(error_chain(error)));
    }

    fn enter(&self, phase: Phase, error: Option<String>) {
        self.change(|progress| {
            // An error that goes on is as old as its beginning.
            if progress.phase != phase {
                (progress.phase, progress.since) = (phase, clock::now());
                progress.resting &= phase == Phase::Following;
            }
            progress.error = error;
        });
    }

    /// A session begins. `put_interval` is the time between two puts that the put budget allows.
    pub(crate) fn begin(
        &self,
        log_status: LogStatusHandle,
        health: Arc<StoreHealth>,
        put_interval: Duration,
    ) {
        let mut known = self.known();
        known.put_interval = put_interval;
        (known.log_status, known.health) = (Some(log_status), Some(health));
        known.undurable.forget();
    }

    /// The replica is open: `presence` has whether it is still there.
    pub(crate) fn presence(&self, presence: Arc<Presence>) {
        self.known().presence = Some(presence);
    }

    /// A commit was captured.
    pub(crate) fn captured(&self, commit: Point) {
        let mut known = self.known();
        known.undurable.captured(commit);
        known.progress.captured = Some(commit);
    }

    /// A start has ended with these entries captured and durable.
    pub(crate) fn stand(&self, captured: Point, durable: Point, chain: Chain) {
        self.change(|progress| {
            (progress.captured, progress.durable) = (Some(captured), Some(durable));
            progress.durable_chain = Some(chain);
        });
    }

    /// The store has confirmed a segment that ends with `durable`.
    pub(crate) fn durable(&self, durable: Point, chain: Chain) {
        let mut known = self.known();
        known.undurable.durable(durable.txid);
        (known.progress.durable, known.progress.durable_chain) = (Some(durable), Some(chain));
        known.progress.segments += 1;
        let has_mirrors = !known.progress.mirrors.is_empty();
        drop(known);
        if has_mirrors {
            self.0.told.notify_waiters();
        }
    }

    /// `snapshot` is the newest snapshot.
    pub(crate) fn snapshot(&self, snapshot: Point) {
        let mut known = self.known();
        known.progress.snapshot = Some(snapshot);
        known.progress.snapshot_trouble = None;
    }

    /// The database went to rest, or was roused.
    pub(crate) fn rests(&self, resting: bool) {
        self.known().progress.resting = resting;
    }

    /// A snapshot failed.
    pub(crate) fn snapshot_failed(&self, error: &FollowError) {
        let mut known = self.known();
        let since = known.progress.snapshot_trouble.take().map(|(since, _)| since);
        known.progress.snapshot_trouble =
            Some((since.unwrap_or_else(clock::now), error_chain(error)));
    }

    /// The replica was pruned.
    pub(crate) fn pruned(&self, summary: PruneSummary) {
        let mut known = self.known();
        known.progress.pruned = Some(summary);
        known.progress.prune_trouble = None;
    }

    /// A prune failed.
    pub(crate) fn prune_failed(&self, error: String) {
        let mut known = self.known();
        let since = known.progress.prune_trouble.take().map(|(since, _)| since);
        known.progress.prune_trouble = Some((since.unwrap_or_else(clock::now), error));
    }

    /// Requests a sync: that everything committed now is shipped. Returns the number of the request.
    pub(crate) fn ask(&self) -> u64 {
        let mut known = self.known();
        known.asked += 1;
        let number = known.asked;
        drop(known);
        self.0.asked.notify_one();
        number
    }

    /// The newest request.
    pub(crate) fn asked(&self) -> u64 {
        self.known().asked
    }

    /// Waits for another request. For one task. Cancel-safe.
    pub(crate) async fn asked_again(&self) {
        self.0.asked.notified().await;
    }

    /// Every request up to this one has been met.
    pub(crate) fn met(&self, number: u64) {
        self.known().met = number;
        self.0.told.notify_waiters();
    }

    /// Waits until a request has been met; up to which transaction everything is durable then.
    ///
    /// # Errors
    /// With the reason, when it will not be met any more.
    pub(crate) async fn until_met(&self, number: u64) -> Result<Option<Txid>, String> {
        let durable = |data: &StatusData| data.progress.durable.map(|durable| durable.txid);
        self.until(|data| (data.met >= number).then(|| durable(data))).await
    }

    /// Waits until the database is followed.
    ///
    /// # Errors
    /// With the reason, when it is not followed any more.
    pub(crate) async fn until_following(&self) -> Result<(), String> {
        self.until(|data| (data.progress.phase == Phase::Following).then_some(())).await
    }

    /// Waits until `found` finds what it looks for, or the task is over.
    async fn until<T>(&self, found: impl Fn(&StatusData) -> Option<T>) -> Result<T, String> {
        loop {
            let told = self.0.told.notified();
            tokio::pin!(told);
            // A change from here on wakes us.
            told.as_mut().enable();
            {
                let known = self.known();
                if let Some(found) = found(&known) {
                    return Ok(found);
                }
                if known.progress.phase.is_over() {
                    let why = known.progress.error.clone();
                    return Err(why.unwrap_or_else(|| "it is not followed any more".to_owned()));
                }
            }
            told.await;
        }
    }

    /// Sees to it that a task which ends by a panic is known to have stopped.
    pub(crate) fn until_over(&self) -> Over {
        Over(self.clone())
    }
}

/// The end of a task.
#[derive(Debug)]
pub(crate) struct Over(Status);

impl Drop for Over {
    fn drop(&mut self) {
        if !self.0.get().phase.is_over() {
            self.0.enter(Phase::Stopped, Some("its task ended unexpectedly".to_owned()));
        }
    }
}
