//! The status of each database, for clients, and their requests to its task.
//!
//! It costs nothing while no client asks: the task notes what it does anyway, and the log and the health of the store
//! are read when a client asks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ebbtide_replica::{Chain, Point, Timestamp, Txid};
use ebbtide_restore::DrillRecord;
use ebbtide_shipper::{Presence, StoreHealth};
use ebbtide_store::{MeteredStore, Pace, RequestDurations, Store, error_chain};
use ebbtide_watcher::LogStatusHandle;
use tokio::sync::Notify;

use super::counts::Counts;
use super::database_status::{DatabaseStatus, Outage};
use super::disk::free_bytes;
use super::error::FollowError;
use super::kept_history::KeptHistory;
use super::lag::Undurable;
use super::mirror_progress::MirrorProgress;
use super::phase::Phase;
use super::prune_summary::PruneSummary;
use super::releases::Releases;
use crate::clock;

#[derive(Debug)]
struct StatusData {
    /// What the task has noted. What is read from `sources` is not in it.
    noted: DatabaseStatus,
    undurable: Undurable,
    sources: Sources,
    /// The local state was this process's own once.
    has_begun: bool,
    /// It was followed, in this session or in one before it.
    was_followed: bool,
    /// The number of requests for a sync…
    asked: u64,
    /// …and the newest one that was met.
    met: u64,
}

/// What is read when a client asks, and only then.
#[derive(Debug, Default)]
struct Sources {
    log: Option<LogStatusHandle>,
    health: Option<Arc<StoreHealth>>,
    presence: Option<Arc<Presence>>,
    /// The directory of the local state.
    state: Option<PathBuf>,
}

#[derive(Debug)]
struct SharedStatus {
    known: Mutex<StatusData>,
    /// Wakes the task: there is a request for a sync.
    asked: Notify,
    /// Wakes clients: the status has changed.
    told: Notify,
    releases: Releases,
    counts: Counts,
}

/// One database's status, shared between its task and whoever asks.
#[derive(Debug, Clone)]
pub struct Status(Arc<SharedStatus>);

impl Sources {
    /// Reads everything into `status`; the time of the oldest commit that was not captured.
    fn read(&self, status: &mut DatabaseStatus) -> Option<Timestamp> {
        status.log = self.log.as_ref().and_then(LogStatusHandle::read);
        if let Some(health) = &self.health {
            status.spooled = health.spooled();
            status.outage = health.outage().map(|outage| Outage {
                since: clock::at(outage.since),
                lasts: outage.since.elapsed(),
                error: outage.error,
                is_permanent: outage.is_permanent,
            });
        }
        if let Some(presence) = &self.presence {
            let trouble = presence.manifest_trouble();
            status.manifest_trouble = trouble.map(|(when, why)| (clock::at(when), why));
            status.lacks_base = presence.lacks_base();
        }
        let places = [Some(status.database.as_path()), self.state.as_deref()];
        status.disk_free_bytes = free_bytes(places.into_iter().flatten());
        let drills = self.state.as_deref().and_then(DrillRecord::read);
        status.drills = drills.unwrap_or_default();
        status.log.as_ref()?.oldest_uncaptured
    }
}

impl Status {
    /// The status of a database that is not followed yet.
    #[must_use]
    pub fn new(
        database: PathBuf,
        replica: String,
        durations: &Arc<RequestDurations>,
        pace: &Arc<Pace>,
    ) -> Status {
        let database = std::path::absolute(&database).unwrap_or(database);
        let known = StatusData {
            noted: DatabaseStatus::new(database, replica, clock::now()),
            undurable: Undurable::new(),
            sources: Sources::default(),
            has_begun: false,
            was_followed: false,
            asked: 0,
            met: 0,
        };
        let (asked, told) = (Notify::new(), Notify::new());
        let releases = Releases::new();
        let (known, counts) =
            (Mutex::new(known), Counts::new(Arc::clone(durations), Arc::clone(pace)));
        Status(Arc::new(SharedStatus { known, asked, told, releases, counts }))
    }

    /// What happened since this process follows it.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// The same store, of which it is counted what goes there and comes from there.
    pub(crate) fn metered(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(MeteredStore::new(store, Arc::clone(&self.counts().traffic)))
    }

    /// Where the local state is.
    pub(crate) fn state_directory(&self) -> Option<PathBuf> {
        self.known().sources.state.clone()
    }

    /// The local state is there.
    pub(crate) fn keep_state_in(&self, directory: PathBuf) {
        self.known().sources.state = Some(directory);
    }

    /// The database has mirrors with these addresses.
    pub(crate) fn set_mirrors(&self, addresses: impl Iterator<Item = String>) {
        self.known().noted.mirrors = addresses.map(MirrorProgress::new).collect();
    }

    /// Changes what is known of the mirror with this number.
    pub(crate) fn change_mirror(&self, at: usize, change: impl FnOnce(&mut MirrorProgress)) {
        if let Some(mirror) = self.known().noted.mirrors.get_mut(at) {
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

    /// All that is known, for which the log, the health of the store and the local state are read: some system calls.
    #[must_use]
    pub fn get(&self) -> DatabaseStatus {
        let known = self.known();
        let mut status = known.noted.clone();
        let uncaptured = known.sources.read(&mut status);
        status.oldest_undurable =
            [known.undurable.oldest(), uncaptured].into_iter().flatten().min();
        status
    }

    /// Something of what the task has noted, for which nothing is read.
    pub(crate) fn noted<T>(&self, read: impl FnOnce(&DatabaseStatus) -> T) -> T {
        read(&self.known().noted)
    }

    /// The newest error: of the task, or of the store.
    pub(crate) fn newest_error(&self) -> Option<String> {
        let known = self.known();
        let outage = || known.sources.health.as_ref()?.outage().map(|outage| outage.error);
        known.noted.error.clone().or_else(outage)
    }

    fn known(&self) -> MutexGuard<'_, StatusData> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut DatabaseStatus)) {
        change(&mut self.known().noted);
        self.0.told.notify_waiters();
    }

    /// Whether this process has had the local state to itself.
    pub(crate) fn has_begun(&self) -> bool {
        self.known().has_begun
    }

    /// Whether this process has followed the database before.
    #[must_use]
    pub fn was_followed(&self) -> bool {
        self.known().was_followed
    }

    /// Whether it was let go, with all of it durable.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.noted(|noted| noted.phase == Phase::Ended)
    }

    /// The local state is this process's own.
    pub(crate) fn begun(&self) {
        self.known().has_begun = true;
    }

    /// Why only a person can help the store, if that has lasted for so long.
    pub(crate) fn hopeless(&self, patience: Duration) -> Option<String> {
        let health = self.known().sources.health.clone()?;
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
        self.counts().failures.add(1);
        self.away(error);
        self.remember(error);
    }

    /// The store cannot be reached. It is asked again.
    pub(crate) fn away(&self, error: &FollowError) {
        self.enter(Phase::Failing, Some(error_chain(error)));
    }

    /// The store has not answered for a while.
    pub(crate) fn silent(&self) {
        self.change(|noted| {
            noted.error = Some("the store has not answered yet".to_owned());
        });
    }

    /// The log was released.
    pub(crate) fn log_released(&self, error: &FollowError) {
        self.enter(Phase::LogReleased, Some(error_chain(error)));
        self.remember(error);
    }

    /// It is not followed, because of what only a person can change.
    pub(crate) fn refuse(&self, phase: Phase, why: String) {
        self.enter(phase, Some(why));
    }

    /// Waits until it is not followed any more; the last entry that is durable, or why not everything is.
    pub(crate) async fn until_ended(&self) -> Result<Option<Txid>, String> {
        let over = |data: &StatusData| {
            let DatabaseStatus { phase, durable, error, .. } = &data.noted;
            let why = || error.clone().unwrap_or_else(|| "it stopped".to_owned());
            match phase {
                Phase::Ended => Some(Ok(durable.map(|durable| durable.txid))),
                Phase::Stopped => Some(Err(why())),
                _ => None,
            }
        };
        self.until(over).await?
    }

    fn remember(&self, error: &FollowError) {
        self.change(|noted| noted.failure = Some((clock::now(), error_chain(error))));
    }

    /// Somebody has seen to what had failed.
    pub(crate) fn forget_failure(&self) {
        self.change(|noted| noted.failure = None);
    }

    /// The task ends with an error.
    pub(crate) fn stop(&self, error: &FollowError) {
        self.enter(Phase::Stopped, Some(error_chain(error)));
    }

    fn enter(&self, phase: Phase, error: Option<String>) {
        self.change(|noted| {
            // An error that goes on is as old as its beginning.
            if noted.phase != phase {
                (noted.phase, noted.since) = (phase, clock::now());
                noted.resting &= phase == Phase::Following;
            }
            noted.error = error;
        });
    }

    /// A session begins. `put_interval` is the time between two puts that the put budget allows.
    pub(crate) fn begin(
        &self,
        log: LogStatusHandle,
        health: Arc<StoreHealth>,
        put_interval: Duration,
    ) {
        self.counts().sessions.add(1);
        let mut known = self.known();
        known.noted.put_interval = put_interval;
        (known.sources.log, known.sources.health) = (Some(log), Some(health));
        known.undurable.forget();
    }

    /// The replica is open: `presence` has whether it is still there.
    pub(crate) fn presence(&self, presence: Arc<Presence>) {
        self.known().sources.presence = Some(presence);
    }

    /// A commit was captured.
    pub(crate) fn captured(&self, commit: Point) {
        let mut known = self.known();
        known.undurable.captured(commit);
        known.noted.captured = Some(commit);
    }

    /// A start has ended with these entries captured and durable.
    pub(crate) fn stand(&self, captured: Point, durable: Point, chain: Chain) {
        self.change(|noted| {
            (noted.captured, noted.durable) = (Some(captured), Some(durable));
            noted.durable_chain = Some(chain);
        });
    }

    /// The store has confirmed a segment that ends with `durable`.
    pub(crate) fn durable(&self, durable: Point, chain: Chain) {
        let mut known = self.known();
        known.undurable.durable(durable.txid);
        (known.noted.durable, known.noted.durable_chain) = (Some(durable), Some(chain));
        known.noted.segments += 1;
        let has_mirrors = !known.noted.mirrors.is_empty();
        drop(known);
        if has_mirrors {
            self.0.told.notify_waiters();
        }
    }

    /// `snapshot` is the newest snapshot.
    pub(crate) fn snapshot(&self, snapshot: Point) {
        let mut known = self.known();
        known.noted.snapshot = Some(snapshot);
        known.noted.snapshot_trouble = None;
    }

    /// The database went to rest, or was roused.
    pub(crate) fn rests(&self, resting: bool) {
        self.known().noted.resting = resting;
    }

    /// A snapshot failed.
    pub(crate) fn snapshot_failed(&self, error: &FollowError) {
        let mut known = self.known();
        let since = known.noted.snapshot_trouble.take().map(|(since, _)| since);
        known.noted.snapshot_trouble = Some((since.unwrap_or_else(clock::now), error_chain(error)));
    }

    /// The replica was pruned.
    pub(crate) fn pruned(&self, summary: PruneSummary) {
        let mut known = self.known();
        known.noted.pruned = Some(summary);
        known.noted.prune_trouble = None;
    }

    /// So far the history reaches back.
    pub(crate) fn reaches_back(&self, history: KeptHistory) {
        self.known().noted.history = Some(history);
    }

    /// The next prune is due then.
    pub(crate) fn prune_due(&self, at: Timestamp) {
        self.known().noted.next_prune = Some(at);
    }

    /// A prune is under way; when the next one is due is known after it.
    pub(crate) fn prune_begins(&self) {
        self.known().noted.next_prune = None;
    }

    /// A prune failed.
    pub(crate) fn prune_failed(&self, error: String) {
        let mut known = self.known();
        let since = known.noted.prune_trouble.take().map(|(since, _)| since);
        known.noted.prune_trouble = Some((since.unwrap_or_else(clock::now), error));
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
        let durable = |data: &StatusData| data.noted.durable.map(|durable| durable.txid);
        self.until(|data| (data.met >= number).then(|| durable(data))).await
    }

    /// Waits until the database is followed.
    ///
    /// # Errors
    /// With the reason, when it is not followed any more.
    pub(crate) async fn until_following(&self) -> Result<(), String> {
        self.until(|data| (data.noted.phase == Phase::Following).then_some(())).await
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
                if known.noted.phase.is_over() {
                    let why = known.noted.error.clone();
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
        if !self.0.noted(|noted| noted.phase.is_over()) {
            self.0.enter(Phase::Stopped, Some("its task ended unexpectedly".to_owned()));
        }
    }
}
