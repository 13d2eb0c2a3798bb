//! The snapshots and deltas of a database: when the next one is due, and the one that is being made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebbtide_replica::{Key, Manifest, Point, Timestamp, Txid, Vouch};
use ebbtide_shipper::{
    self as shipper, EachPage, Level, LogObject, Owner, Shipper, ship_delta, ship_snapshot,
};
use ebbtide_store::{Store, error_chain};
use ebbtide_watcher::{Follower, Image, ImagePin};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;

use super::error::FollowError;
use super::job::Job;
use super::status::Status;
use crate::clock::now;
use crate::track::{Found, Track, Worth};

/// A history that is this many times as long as the database is worth a snapshot, whatever the time…
const LOG_RATIO: u64 = 4;
/// …if it is at least this long…
const LOG_BYTES_MIN: u64 = 256 << 20;
/// …but not more often than this.
const INTERVAL_MIN: Duration = Duration::from_secs(600);

/// The snapshots and deltas of one database.
#[derive(Debug)]
pub(crate) struct Snapshots {
    /// How often a snapshot is made at least, if that is configured.
    interval: Option<Duration>,
    last: Instant,
    last_txid: Option<Txid>,
    log_bytes: u64,
    track: Track,
    pin: Option<(What, ImagePin)>,
    task: Option<JoinHandle<Result<Done, FollowError>>>,
    /// The object that is being made.
    making: Option<Making>,
    /// The permit to make one because an hour has ended, which it has for all databases of the process.
    turn: Option<OwnedSemaphorePermit>,
    /// The way to an object that is durable, for which no entry vouches yet.
    done: Option<Vec<Vouch>>,
    /// An object that was not made, of which the shipper is not told yet.
    not_made: Option<NotMade>,
    /// Tells the thread that makes the object to stop.
    unwanted: Arc<AtomicBool>,
    /// A snapshot is due, whatever the interval.
    is_wanted: bool,
    /// When the last snapshot failed, and why. Nothing once one was made.
    failed: Option<(Instant, String)>,
    status: Status,
}

/// What is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Snapshot,
    Delta(Level),
}

/// An object in the making.
#[derive(Debug, Clone, Copy)]
struct Making {
    what: What,
    /// The state that it gives.
    point: Point,
    /// The entry that a delta begins after.
    base: Option<Txid>,
    database_pages: u32,
}

/// What a task was for.
#[derive(Debug)]
enum Done {
    /// The replica was asked what a restore begins with. Nothing: it did not answer.
    Read(Option<Found>),
    /// An object of so many bytes is durable.
    Made(Vouch, u64),
}

/// Why an object was not made.
#[derive(Debug, Clone, Copy)]
enum NotMade {
    Failed,
    /// What was known to have changed in this level is wrong.
    Unproven(Level),
}

impl Snapshots {
    /// `newest` is there already, at `now`. A replica that cannot say is due for one.
    pub(crate) fn new(
        interval: Option<Duration>,
        newest: Option<Point>,
        now: Timestamp,
        track: Track,
        status: Status,
    ) -> Snapshots {
        let age = newest.map_or(Duration::MAX, |newest| newest.time.until(now));
        if let Some(newest) = newest {
            status.snapshot(newest);
        }
        let now = Instant::now();
        let last = now.checked_sub(age.min(interval.unwrap_or(INTERVAL_MIN))).unwrap_or(now);
        let last_txid = newest.map(|newest| newest.txid);
        Snapshots {
            interval,
            last,
            last_txid,
            log_bytes: 0,
            track,
            pin: None,
            task: None,
            making: None,
            turn: None,
            done: None,
            not_made: None,
            unwanted: Arc::default(),
            is_wanted: false,
            failed: None,
            status,
        }
    }

    /// Takes note of `bytes` of pages that were appended to the history.
    pub(crate) fn grew(&mut self, bytes: u64) {
        self.log_bytes += bytes;
    }

    /// Takes note of segments and packs that are durable.
    pub(crate) fn appended(&mut self, objects: Vec<LogObject>) {
        self.track.appended(objects);
    }

    /// Makes a snapshot as soon as possible.
    pub(crate) fn demand(&mut self) {
        self.is_wanted = true;
    }

    /// Why the last snapshot failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.as_ref().map(|(_, why)| why.clone())
    }

    /// Whether a snapshot is due of what `shipper` has appended, whatever the time of day.
    pub(crate) fn is_due(&self, shipper: &Shipper) -> bool {
        if self.is_wanted || shipper.presence().lacks_base() {
            return self.failed.as_ref().is_none_or(|(when, _)| when.elapsed() >= INTERVAL_MIN);
        }
        let age = self.last.elapsed();
        let long =
            self.log_bytes >= LOG_BYTES_MIN.max(shipper.database_bytes().saturating_mul(LOG_RATIO));
        let old = self.interval.is_some_and(|interval| age >= interval);
        self.has_news(shipper) && (old || long && age >= INTERVAL_MIN)
    }

    /// Whether anything was appended since the last snapshot.
    fn has_news(&self, shipper: &Shipper) -> bool {
        self.last_txid != Some(shipper.last().txid)
    }

    /// Takes the next step towards a snapshot or delta, if one is due. Cheap when none is.
    pub(crate) fn step(
        &mut self,
        follower: &mut Follower,
        shipper: &mut Shipper,
        may_begin: bool,
        job: &Job,
    ) -> Result<(), FollowError> {
        if self.task.is_some() {
            return Ok(());
        }
        if self.pin.is_none()
            && may_begin
            && let Some(what) = self.next(follower, shipper, job)?
        {
            self.pin = Some((what, follower.pin_image()?));
        }
        let Some((what, pin)) = self.pin.take() else { return Ok(()) };
        match follower.image(pin)? {
            Err(pin) => self.pin = Some((what, pin)),
            Ok(image) => self.begin(what, image, shipper),
        }
        Ok(())
    }

    /// What is due now. What is due because an hour has ended waits while the store is away, or the log over its limit.
    fn next(
        &mut self,
        follower: &mut Follower,
        shipper: &Shipper,
        job: &Job,
    ) -> Result<Option<What>, FollowError> {
        if self.is_due(shipper) {
            return Ok(Some(What::Snapshot));
        }
        let time = now();
        let Some(ended) = self.track.ended(time) else { return Ok(None) };
        let presence = shipper.presence();
        if shipper.has_begun_levels()
            || presence.store_health().outage().is_some()
            || follower.log_bytes()? > job.database.log_bytes_max
        {
            return Ok(None);
        }
        if !self.has_news(shipper) || !has_changed(shipper) {
            self.track.pass(time);
            return Ok(None);
        }
        if let Some(found) = self.track.ask(presence.store(), now()) {
            self.task = Some(tokio::spawn(async move {
                Ok(Done::Read(match found.await {
                    Ok(found) => Some(found),
                    Err(error) => {
                        tracing::warn!(%error, "cannot tell what a restore begins with");
                        None
                    }
                }))
            }));
            return Ok(None);
        }
        let what = match self.track.worth(ended, shipper) {
            Worth::Nothing => None,
            Worth::Snapshot => Some(What::Snapshot),
            Worth::Delta(level) => Some(What::Delta(level)),
        };
        if what.is_some() {
            let Some(turn) = job.shared.try_turn() else { return Ok(None) };
            self.turn = Some(turn);
        }
        self.track.pass(time);
        Ok(what)
    }

    /// Begins to make what is due, out of the database as it was after the last entry.
    fn begin(&mut self, what: What, image: Image, shipper: &mut Shipper) {
        let (point, database_pages) = (shipper.last(), image.database_pages());
        let unwanted = Arc::new(AtomicBool::new(false));
        self.unwanted = Arc::clone(&unwanted);
        let presence = Arc::clone(shipper.presence());
        let raw_bytes = shipper.database_bytes();
        let wanted = move |each: &mut EachPage<'_, FollowError>, page, bytes: &[u8]| {
            if unwanted.load(Ordering::Relaxed) {
                return Err(FollowError::SnapshotGivenUp);
            }
            each(page, bytes)
        };
        let mut making = Making { what, point, base: None, database_pages };
        let task = match what {
            What::Snapshot => {
                tracing::info!(txid = %point.txid, "making a snapshot");
                let snapshot = shipper.snapshot();
                let pages = move |each: &mut EachPage<'_, FollowError>| {
                    image.for_each_page(|page, bytes| wanted(each, page, bytes))
                };
                shipper.begin_levels(Level::Day);
                tokio::spawn(async move {
                    let vouch = ship_snapshot(snapshot, pages).await?;
                    // A new one does not hide that the one before is gone with all else.
                    presence.check().await?;
                    presence.set_base(Some(vouch.object));
                    Ok(Done::Made(vouch, length(presence.store(), vouch.object, raw_bytes).await))
                })
            }
            What::Delta(level) => {
                let Some(delta) = shipper.delta(level) else {
                    self.turn = None;
                    return;
                };
                tracing::info!(txid = %point.txid, ?level, "making a delta");
                making.base = shipper.level(level).map(|(base, _)| base.txid());
                let ranges = delta.pages().to_vec();
                let pages = move |each: &mut EachPage<'_, FollowError>| {
                    image.for_pages_in(&ranges, |page, bytes| wanted(each, page, bytes))
                };
                shipper.begin_levels(level);
                tokio::spawn(async move {
                    let vouch = ship_delta(delta, pages).await?;
                    Ok(Done::Made(vouch, length(presence.store(), vouch.object, raw_bytes).await))
                })
            }
        };
        (self.making, self.task) = (Some(making), Some(task));
    }

    /// Whether an object is being made, or is about to be, for which the log is held.
    pub(crate) fn hold_the_log(&self) -> bool {
        self.making.is_some() || self.pin.is_some()
    }

    /// Whether something is being made, or found out for that.
    pub(crate) fn is_busy(&self) -> bool {
        self.task.is_some() || self.pin.is_some()
    }

    /// Ends the object that is being made, because it holds the log, which cannot wait any longer. There will be another.
    pub(crate) fn give_up(&mut self) {
        if self.pin.take().is_some() {
            self.turn = None;
        }
        self.unwanted.store(true, Ordering::Relaxed);
    }

    /// Waits until the object that is being made is durable. Never returns if there is none. Cancel-safe.
    pub(crate) async fn landed(&mut self) {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        (self.task, self.turn) = (None, None);
        let making = self.making.take();
        match ended {
            Ok(Ok(Done::Read(Some(found)))) => self.track.found(found),
            // There will be another hour.
            Ok(Ok(Done::Read(None))) => self.track.pass(now()),
            Ok(Ok(Done::Made(vouch, bytes))) => {
                if let Some(making) = making {
                    self.made(making, vouch, bytes);
                }
            }
            Ok(Err(error)) => self.not_made(making, &error),
            Err(error) => {
                self.not_made(making, &FollowError::Ship(shipper::Error::from(error)));
            }
        }
    }

    fn made(&mut self, making: Making, vouch: Vouch, bytes: u64) {
        tracing::info!(object = %vouch.object, bytes, "it is durable");
        self.done = Some(self.track.made(vouch, bytes, making.base, making.database_pages));
        self.log_bytes = 0;
        if making.what == What::Snapshot {
            self.status.snapshot(making.point);
            (self.last, self.last_txid) = (Instant::now(), Some(making.point.txid));
            (self.is_wanted, self.failed) = (false, None);
        }
    }

    fn not_made(&mut self, making: Option<Making>, error: &FollowError) {
        let Some(Making { what, .. }) = making else { return };
        self.not_made = Some(match (what, error) {
            (What::Delta(level), FollowError::Ship(shipper::Error::Unproven { .. })) => {
                NotMade::Unproven(level)
            }
            _ => NotMade::Failed,
        });
        let error_text = error_chain(error);
        if let What::Delta(level) = what {
            tracing::warn!(error = error_text, ?level, "no delta was made; the history serves");
            return;
        }
        tracing::error!(error = error_text, "the snapshot failed; the next one is due later");
        // One that was given up was given up on purpose.
        if !matches!(error, FollowError::SnapshotGivenUp) {
            self.status.snapshot_failed(error);
        }
        self.put_off(error_text);
    }

    /// Appends an entry that vouches for an object that is durable. Cheap if there is none.
    pub(crate) fn vouch(
        &mut self,
        shipper: &mut Shipper,
        owner: &Owner,
    ) -> Result<(), FollowError> {
        match self.not_made.take() {
            Some(NotMade::Unproven(level)) => shipper.forget_level(level),
            Some(NotMade::Failed) => shipper.give_up_levels(),
            None => {}
        }
        let Some(vouches) = self.done.take() else { return Ok(()) };
        let newest = vouches.last().and_then(|vouch| vouch.object.state());
        let is_last = newest.is_some_and(|newest| shipper.last().txid == newest);
        ebbtide_shipper::vouch(shipper, owner, &vouches)?;
        shipper.levels_vouched();
        if is_last {
            // There is nothing new to make one of.
            self.last_txid = Some(shipper.last().txid);
        }
        Ok(())
    }

    fn put_off(&mut self, why: String) {
        let now = Instant::now();
        self.failed = Some((now, why));
        let interval = self.interval.unwrap_or(INTERVAL_MIN);
        let delay = INTERVAL_MIN.min(interval);
        self.last = now.checked_sub(interval.saturating_sub(delay)).unwrap_or(now);
        self.log_bytes = 0;
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        self.give_up();
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Whether pages may have changed since the last snapshot or delta.
fn has_changed(shipper: &Shipper) -> bool {
    let levels = [Level::Hour, Level::Day].map(|level| shipper.level(level));
    levels.into_iter().any(|level| level.is_none_or(|(_, pages)| pages > 0))
}

/// The length of an object that was put; of one that the store does not tell, about what it would be uncompressed.
async fn length(store: &Arc<dyn Store>, key: Key, about: u64) -> u64 {
    store.size(&key).await.ok().flatten().unwrap_or(about)
}

/// The newest snapshot of the replica, if it has one that can be read.
pub(crate) async fn newest(store: &Arc<dyn Store>, manifest: &Manifest) -> Option<Point> {
    let read = async {
        let listing = store.list(ebbtide_replica::KeyPrefix::Snapshot, None).await?;
        for object in listing.into_iter().rev() {
            let Key::Snapshot(txid) = object.key else { continue };
            let fetched = match ebbtide_catalog::read_index(&**store, manifest, object).await {
                Err(error) if error.is_about_object() => {
                    tracing::warn!(%error, "a snapshot cannot be used");
                    continue;
                }
                fetched => fetched?,
            };
            let time = fetched.index.entries().first().map(|entry| entry.time);
            return Ok(time.map(|time| Point { txid, time }));
        }
        Ok::<_, ebbtide_catalog::CatalogError>(None)
    };
    match read.await {
        Ok(newest) => newest,
        Err(error) => {
            tracing::warn!(%error, "cannot find the newest snapshot; making one");
            None
        }
    }
}
