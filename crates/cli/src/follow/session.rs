//! A session: from taking hold of the log to letting go of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_watcher::{Action, Follower, Transaction};
use tokio::sync::Notify;
use tokio::task::block_in_place;

use super::error::FollowError;
use super::owed::Owed;
use super::pace::{Mode, Pace};
use super::start::{Started, start, wal_position};
use super::{Job, Order, Phase, Status};
use crate::clock::now_micros;

/// More frames than this to read, and the other tasks of this thread are moved elsewhere first.
const LONG_FRAMES: u32 = 64;

/// A checkpoint takes a few steps: hand over, copy, hand over. More than these at once would be no progress.
const MAINTENANCE_STEPS: usize = 4;

/// How often the files are looked at: are they still those that were opened?
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Follows until ordered to finish. `ran` becomes true once the database is followed.
pub(crate) async fn run(job: &mut Job, ran: &mut bool) -> Result<(), FollowError> {
    let started = start(job).await?;
    *ran = true;
    job.status.set(Phase::Following);
    let shipper = &started.shipper;
    job.status.stand(shipper.last(), shipper.durable());
    tracing::info!(
        database = %job.database.path.display(),
        replica = job.status.get().replica,
        txid = %shipper.last().txid,
        "following"
    );
    let woken = Arc::new(Notify::new());
    let wal = started.follower.wal_path();
    let sighted = watch(job, &started.follower, &woken);
    let mut session = Session {
        job,
        started,
        woken,
        pace: Pace::new(sighted, Instant::now()),
        checked: Instant::now(),
        owed: Owed::default(),
    };
    let result = session.follow().await;
    if let Some(wake) = &session.job.shared.wake {
        wake.forget(&wal);
    }
    result
}

/// Asks to be woken when the log is written; whether that will be so.
fn watch(job: &Job, follower: &Follower, woken: &Arc<Notify>) -> bool {
    let Some(wake) = &job.shared.wake else { return false };
    let (woken, observer) = (Arc::clone(woken), follower.observer());
    let wrote = move || {
        observer.see(now_micros());
        woken.notify_one();
    };
    match wake.watch(&follower.wal_path(), Arc::new(wrote)) {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(%error, database = %job.database.path.display(), "cannot watch the log; polling instead");
            false
        }
    }
}

struct Session<'a> {
    job: &'a mut Job,
    started: Started,
    woken: Arc<Notify>,
    pace: Pace,
    checked: Instant,
    owed: Owed,
}

impl Session<'_> {
    async fn follow(&mut self) -> Result<(), FollowError> {
        loop {
            let finishing = *self.job.order.borrow_and_update() == Order::Finish;
            let asked = self.job.status.asked();
            let more = self.step()?;
            let pressing = self.owes(asked, more) || finishing;
            let put_in = self.put(pressing)?;
            let Started { shipper, snapshots, .. } = &mut self.started;
            if finishing && !more && shipper.is_durable() {
                return Ok(());
            }
            let mut interval = self.pace.interval(Instant::now());
            if more && shipper.has_room() {
                interval = Duration::ZERO;
            }
            let wait = put_in.map_or(interval, |put_in| put_in.min(interval));
            tokio::select! {
                biased;
                landed = shipper.landed() => self.job.status.durable(landed?),
                () = snapshots.landed() => {}
                () = self.woken.notified() => self.pace.woken(Instant::now()),
                () = tokio::time::sleep(wait) => {}
                () = self.job.status.asked_again() => {}
                ordered = self.job.order.changed() => if ordered.is_err() { return Ok(()); },
            }
        }
    }

    /// Tells those who asked for a sync once they have it; whether somebody still waits. `asked` is the newest request
    /// from before the last step.
    fn owes(&mut self, asked: u64, more: bool) -> bool {
        let shipper = &self.started.shipper;
        let (last, durable) = (shipper.last().txid, shipper.durable().txid);
        if let Some(met) = self.owed.looked(asked, more, last, durable) {
            self.job.status.met(met);
        }
        self.owed.presses(asked)
    }

    /// Captures what is committed and does what the log needs; whether there is more to capture.
    fn step(&mut self) -> Result<bool, FollowError> {
        let now = Instant::now();
        if now - self.checked >= CHECK_INTERVAL {
            self.checked = now;
            self.started.follower.check_files()?;
        }
        let frames = self.started.follower.observe(now_micros())?;
        self.change_pace(frames > 0, now)?;
        let more = frames > 0 && self.capture(frames)?;
        self.maintain(more)?;
        let database_bytes = self.database_bytes();
        let Started { follower, shipper, snapshots } = &mut self.started;
        snapshots.step(follower, shipper, database_bytes)?;
        Ok(more)
    }

    fn capture(&mut self, frames: u32) -> Result<bool, FollowError> {
        let Started { follower, shipper, snapshots } = &mut self.started;
        if !shipper.has_room() {
            return Ok(true);
        }
        let sink = |transaction: &mut Transaction<'_>| {
            append(&self.job.status, shipper, snapshots, transaction)?;
            Ok::<_, FollowError>(shipper.has_room())
        };
        let capture = || {
            self.job.shared.with_scratch(|scratch| follower.capture(now_micros(), scratch, sink))
        };
        let captured = if frames > LONG_FRAMES { block_in_place(capture)? } else { capture()? };
        Ok(captured.more)
    }

    fn maintain(&mut self, more: bool) -> Result<(), FollowError> {
        let Started { follower, shipper, snapshots } = &mut self.started;
        let durable = !more && shipper.is_settled();
        for _ in 0..MAINTENANCE_STEPS {
            if !follower.needs_maintenance(durable) {
                break;
            }
            // A barrier's last few frames have to be taken even by a segment that is full.
            let sink = |transaction: &mut Transaction<'_>| {
                append(&self.job.status, shipper, snapshots, transaction)?;
                Ok::<_, FollowError>(true)
            };
            let shared = &self.job.shared;
            let action = block_in_place(|| {
                shared
                    .with_scratch(|scratch| follower.maintain(now_micros(), durable, scratch, sink))
            })?;
            if action == Action::Wait {
                break;
            }
        }
        Ok(())
    }

    /// Sends the open segment on its way if it may go, or if somebody waits for it; how long until it may.
    fn put(&mut self, pressing: bool) -> Result<Option<Duration>, FollowError> {
        let shipper = &mut self.started.shipper;
        if pressing {
            shipper.flush()?;
            return Ok(None);
        }
        Ok(shipper.pump(Instant::now())?)
    }

    fn change_pace(&mut self, found: bool, now: Instant) -> Result<(), FollowError> {
        let Some(mode) = self.pace.looked(found, now) else { return Ok(()) };
        let Some(wake) = &self.job.shared.wake else { return Ok(()) };
        let wal = self.started.follower.wal_path();
        let changed = match mode {
            Mode::Polling => wake.pause(&wal),
            Mode::Events => wake.resume(&wal),
        };
        if let Err(error) = changed {
            tracing::warn!(%error, "cannot watch the log; polling instead");
            self.pace = Pace::new(false, now);
        }
        // Between the last look and the watch something may have been written.
        self.woken.notify_one();
        Ok(())
    }

    fn database_bytes(&self) -> u64 {
        self.started.shipper.database_bytes()
    }
}

/// Appends a captured transaction to the open segment.
fn append(
    status: &Status,
    shipper: &mut ebbtide_shipper::Shipper,
    snapshots: &mut super::snapshots::Snapshots,
    transaction: &mut Transaction<'_>,
) -> Result<(), FollowError> {
    let pages = transaction.page_count();
    snapshots.grew(pages as u64 * transaction.page_size.offset());
    shipper.append(
        transaction.time,
        transaction.database_pages,
        pages,
        wal_position(transaction.position),
        |each| transaction.for_each_page::<FollowError>(each),
    )?;
    status.captured(shipper.last());
    Ok(())
}
