//! The periodic snapshots of a database: when the next one is due, and the one that is being made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ebbtide_replica::{Key, Manifest, Point, Txid, Vouch};
use ebbtide_shipper::{EachPage, Owner, Shipper, ship_snapshot};
use ebbtide_store::{Store, error_chain};
use ebbtide_watcher::{Follower, ImagePin};
use tokio::task::JoinHandle;

use super::error::FollowError;
use super::status::Status;

/// A history that is this many times as long as the database is worth a snapshot, whatever the time…
const LOG_RATIO: u64 = 4;
/// …if it is at least this long…
const LOG_BYTES_MIN: u64 = 256 << 20;
/// …but not more often than this.
const INTERVAL_MIN: Duration = Duration::from_secs(600);

/// The periodic snapshots of one database.
#[derive(Debug)]
pub(crate) struct Snapshots {
    interval: Duration,
    last: Instant,
    last_txid: Option<Txid>,
    log_bytes: u64,
    pin: Option<ImagePin>,
    task: Option<JoinHandle<Result<Vouch, FollowError>>>,
    /// The snapshot that is being made.
    making: Option<Point>,
    /// The snapshot that is durable and that no entry vouches for yet.
    done: Option<Vouch>,
    /// Tells the thread that makes the snapshot to stop.
    unwanted: Arc<AtomicBool>,
    /// A snapshot is due, whatever the interval.
    is_wanted: bool,
    /// When the last snapshot failed, and why. Nothing once one was made.
    failed: Option<(Instant, String)>,
    status: Status,
}

impl Snapshots {
    /// `newest` is there already, at `now` in µs since the epoch. A replica that cannot say is due for one.
    pub(crate) fn new(
        interval: Duration,
        newest: Option<Point>,
        now: i64,
        status: Status,
    ) -> Snapshots {
        let age = newest.map_or(Duration::MAX, |newest| {
            let age = now.saturating_sub(newest.time.as_micros());
            Duration::from_micros(age.max(0).unsigned_abs())
        });
        if let Some(newest) = newest {
            status.snapshot(newest);
        }
        let now = Instant::now();
        let last = now.checked_sub(age.min(interval)).unwrap_or(now);
        let last_txid = newest.map(|newest| newest.txid);
        Snapshots {
            interval,
            last,
            last_txid,
            log_bytes: 0,
            pin: None,
            task: None,
            making: None,
            done: None,
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

    /// Makes a snapshot as soon as possible.
    pub(crate) fn demand(&mut self) {
        self.is_wanted = true;
    }

    /// Why the last snapshot failed.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failed.as_ref().map(|(_, why)| why.clone())
    }

    /// Whether one is due of what `shipper` has appended.
    pub(crate) fn is_due(&self, shipper: &Shipper) -> bool {
        if self.is_wanted || shipper.presence().lacks_base() {
            return self.failed.as_ref().is_none_or(|(when, _)| when.elapsed() >= INTERVAL_MIN);
        }
        let age = self.last.elapsed();
        let long =
            self.log_bytes >= LOG_BYTES_MIN.max(shipper.database_bytes().saturating_mul(LOG_RATIO));
        self.last_txid != Some(shipper.last().txid)
            && (age >= self.interval || long && age >= INTERVAL_MIN)
    }

    /// Takes the next step towards a snapshot, if one is due. Cheap when none is.
    pub(crate) fn step(
        &mut self,
        follower: &mut Follower,
        shipper: &Shipper,
        may_begin: bool,
    ) -> Result<(), FollowError> {
        if self.task.is_some() {
            return Ok(());
        }
        if self.pin.is_none() && may_begin && self.is_due(shipper) {
            self.pin = Some(follower.pin_image()?);
        }
        let Some(pin) = self.pin.take() else { return Ok(()) };
        match follower.image(pin)? {
            Err(pin) => self.pin = Some(pin),
            Ok(image) => {
                let snapshot = shipper.snapshot();
                self.making = Some(shipper.last());
                tracing::info!(txid = %shipper.last().txid, "making a snapshot");
                let unwanted = Arc::new(AtomicBool::new(false));
                self.unwanted = Arc::clone(&unwanted);
                let pages = move |each: &mut EachPage<'_, FollowError>| {
                    image.for_each_page(|page, bytes| {
                        if unwanted.load(Ordering::Relaxed) {
                            return Err(FollowError::SnapshotGivenUp);
                        }
                        each(page, bytes)
                    })
                };
                let presence = Arc::clone(shipper.presence());
                self.task = Some(tokio::spawn(async move {
                    let vouch = ship_snapshot(snapshot, pages).await?;
                    // A new one does not hide that the one before is gone with all else.
                    presence.check().await?;
                    presence.set_base(Some(vouch.object));
                    Ok(vouch)
                }));
            }
        }
        Ok(())
    }

    /// Whether a snapshot is being made, or is about to be.
    pub(crate) fn hold_the_log(&self) -> bool {
        self.task.is_some() || self.pin.is_some()
    }

    /// Ends the snapshot that is being made, because it holds the log, which cannot wait any longer. There will be another.
    pub(crate) fn give_up(&mut self) {
        self.pin = None;
        self.unwanted.store(true, Ordering::Relaxed);
    }

    /// Waits until the snapshot that is being made is durable. Never returns if there is none. Cancel-safe.
    pub(crate) async fn landed(&mut self) {
        let Some(task) = &mut self.task else { return std::future::pending().await };
        let ended = task.await;
        self.task = None;
        match ended {
            Ok(Ok(vouch)) => {
                tracing::info!(object = %vouch.object, "snapshot done");
                self.done = Some(vouch);
                if let Some(made) = self.making.take() {
                    self.status.snapshot(made);
                }
                self.last_txid = vouch.object.state();
                (self.last, self.log_bytes) = (Instant::now(), 0);
                (self.is_wanted, self.failed) = (false, None);
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = error_chain(&error),
                    "the snapshot failed; the next one is due later"
                );
                // One that was given up was given up on purpose.
                if !matches!(error, FollowError::SnapshotGivenUp) {
                    self.status.snapshot_failed(&error);
                }
                self.put_off(error_chain(&error));
            }
            Err(error) => {
                tracing::error!(%error, "the snapshot failed; the next one is due later");
                self.put_off(error.to_string());
            }
        }
    }

    /// Appends an entry that vouches for a snapshot that is durable. Cheap if there is none.
    pub(crate) fn vouch(
        &mut self,
        shipper: &mut Shipper,
        owner: &Owner,
    ) -> Result<(), FollowError> {
        let Some(vouch) = self.done.take() else { return Ok(()) };
        let is_last = Some(shipper.last().txid) == vouch.object.state();
        ebbtide_shipper::vouch(shipper, owner, &[vouch])?;
        if is_last {
            // There is nothing new to make a snapshot of.
            self.last_txid = Some(shipper.last().txid);
        }
        Ok(())
    }

    fn put_off(&mut self, why: String) {
        let now = Instant::now();
        self.failed = Some((now, why));
        let delay = INTERVAL_MIN.min(self.interval);
        self.last = now.checked_sub(self.interval.saturating_sub(delay)).unwrap_or(now);
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
