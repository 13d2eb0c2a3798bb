//! A session: from taking hold of the log to letting go of it.

use std::time::{Duration, Instant};

use ebbtide_shipper::{self as shipper, Appended, Blocking, Commit, Consent, Safety};
use ebbtide_watcher::{Action, Kept, Transaction};
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

use super::end::End;
use super::error::FollowError;
use super::held::Held;
use super::look::Seen;
use super::owed::Owed;
use super::pace::{HELD_BACK_MIN, Mode, Pace, together};
use super::solitude::Solitude;
use super::start::{Started, start};
use super::{Job, Order, Phase, Status};
use crate::clock::now_micros;

/// More frames than this to read, and the other tasks of this thread are moved elsewhere first.
const LONG_FRAMES: u32 = 256;

/// A checkpoint takes a few steps: hand over, copy, hand over. More than these at once would be no progress.
const MAINTENANCE_STEPS: usize = 6;

/// How long to capture before the log is looked after.
const CAPTURE_MAX: Duration = Duration::from_millis(10);

/// The same while writers outrun it: the log soon needs the next thing.
const OUTRUN_CAPTURE_MAX: Duration = Duration::from_millis(2);

/// After so long without a commit descriptors are given back.
const REST_AFTER: Duration = Duration::from_secs(10);

/// A process that is to end as soon as all is durable waits for so long for a store that refuses it.
const HOPE: Duration = Duration::from_secs(10);

/// How often the files are looked at: are they still those that were opened?
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Follows until ordered to finish. The hold stays in `held` whatever happens.
pub(crate) async fn run(job: &mut Job, held: &mut Option<Held>) -> Result<(), FollowError> {
    let started = start(job, held).await?;
    // It was given for what was found then, and not for what may become of it.
    job.consent = Consent::default();
    job.status.set(Phase::Following);
    let shipper = &started.shipper;
    job.status.stand(shipper.last(), shipper.durable().state.point, shipper.durable().state.chain);
    tracing::info!(
        database = %job.database.path.display(),
        replica = job.status.get().replica,
        txid = %shipper.last().txid,
        "following"
    );
    let held = held.as_mut().expect("a start holds the log");
    let now = Instant::now();
    // A session before this one may have left the log to the polling thread.
    let pace = Pace::new(held.has_events && held.change(Mode::Events), now);
    let is_once = *job.order.borrow() == Order::Finish && job.is_once;
    let mut session = Session {
        job,
        held,
        started,
        pace,
        checked: now,
        answered: 0,
        checkpoint: None,
        owed: Owed::default(),
        met: None,
        solitude: Solitude::default(),
        end: End::new(is_once),
    };
    session.job.status.rests(false);
    let result = session.follow().await;
    if let Some(checkpoint) = session.checkpoint.take() {
        // It has a connection that the follower misses.
        checkpoint.await.map_err(shipper::Error::from)?;
        session.held.follower.end_checkpoint()?;
    }
    if let Err(FollowError::LogReleased) = result {
        session.started.shipper.drain().await?;
    }
    result
}

pub(super) struct Session<'a> {
    pub(super) job: &'a mut Job,
    pub(super) held: &'a mut Held,
    pub(super) started: Started,
    pace: Pace,
    checked: Instant,
    /// The newest request for a sync that the files were looked at for.
    answered: u64,
    /// The checkpoint that runs beside.
    pub(super) checkpoint: Option<JoinHandle<()>>,
    owed: Owed,
    /// A request for a sync that is met but for the rest that it waits for.
    met: Option<u64>,
    pub(super) solitude: Solitude,
    end: End,
}

impl Session<'_> {
    async fn follow(&mut self) -> Result<(), FollowError> {
        loop {
            let finishing = *self.job.order.borrow_and_update() == Order::Finish;
            if self.end.is_once
                && let Some(why) = self.job.status.hopeless(HOPE)
            {
                return Err(FollowError::Undurable(why));
            }
            let asked = self.job.status.asked();
            let more = self.step(asked)?;
            self.vouch()?;
            let pressing = self.owes(asked, more) || finishing;
            let put_in = self.put(pressing)?;
            self.relieve_log()?;
            let now = Instant::now();
            let rest_in = self.rest_in(now);
            let Started { shipper, snapshots } = &mut self.started;
            if finishing
                && !more
                && shipper.safety() == Safety::Durable
                && self.end.is_reached(shipper, snapshots)?
            {
                return Ok(());
            }
            let mut interval = together(self.pace.interval(now), self.job.shared.began, now);
            if (more || self.held.follower.waits_for_capture())
                && shipper.has_room(Blocking::Allowed)
            {
                interval = Duration::ZERO;
            }
            let wait = [put_in, rest_in].into_iter().flatten().fold(interval, Duration::min);
            // What comes until the next put may go needs no look of its own.
            let held_back = put_in.is_some_and(|put_in| put_in > HELD_BACK_MIN);
            self.held.update_attention(held_back);
            tokio::select! {
                biased;
                landed = shipper.landed() => {
                    let landed = landed?;
                    self.job.status.durable(landed, shipper.durable().state.chain);
                }
                () = snapshots.landed() => {}
                seen = self.end.look.ended() => self.seen(seen?, finishing)?,
                () = self.held.woken.notified() => self.pace.woken(Instant::now()),
                ended = ended(&mut self.checkpoint) => {
                    self.checkpoint = None;
                    ended?;
                    self.held.follower.end_checkpoint()?;
                }
                () = tokio::time::sleep(wait) => {}
                () = self.job.status.asked_again() => {}
                ordered = self.job.order.changed() => if ordered.is_err() { return Ok(()); },
            }
        }
    }

    /// A snapshot that is done becomes part of the history.
    fn vouch(&mut self) -> Result<(), FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        snapshots.vouch(shipper, &self.job.shared.owner)
    }

    /// Tells those who asked for a sync once they have it; whether somebody still waits. `asked` is the newest request
    /// from before the last step.
    fn owes(&mut self, asked: u64, more: bool) -> bool {
        let shipper = &self.started.shipper;
        let (last, durable) = (shipper.last().txid, shipper.durable().state.txid());
        if let Some(met) = self.owed.looked(asked, more, last, durable) {
            self.met = Some(met);
            self.solitude.press();
        }
        // Whoever has waited may move the file next, and it should be the whole database then.
        if !self.solitude.is_pressing()
            && let Some(met) = self.met.take()
        {
            self.end.owes(met);
        }
        self.end.answer(&self.started.shipper);
        self.owed.presses(asked)
    }

    /// A look at the replica has ended: tells those who waited for it.
    fn seen(&mut self, seen: Seen, finishing: bool) -> Result<(), FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        if let Some(met) = self.end.seen(seen, finishing, shipper, snapshots)? {
            self.job.status.met(met);
        }
        Ok(())
    }

    /// Captures what is committed and does what the log needs; whether there is more to capture. `asked` is the newest
    /// request for a sync.
    fn step(&mut self, asked: u64) -> Result<bool, FollowError> {
        let now = Instant::now();
        if self.held.follower.is_resting() && !self.rouse()? {
            return Ok(false);
        }
        // Who asks for a sync asks for the file that has the name now.
        if now - self.checked >= CHECK_INTERVAL || asked > self.answered {
            (self.checked, self.answered) = (now, asked);
            self.held.follower.check_files()?;
        }
        let frames = self.look()?;
        self.change_pace(frames > 0, now);
        if self.pace.idle(now) >= REST_AFTER {
            self.started.shipper.close_files();
            self.held.follower.trim();
        }
        let more = frames > 0 && self.capture(frames)?;
        self.maintain(more)?;
        let finishing = *self.job.order.borrow() == Order::Finish;
        let Started { shipper, snapshots } = &mut self.started;
        // Who is about to end begins none that it would not finish.
        let may_begin = !finishing || self.end.is_once || shipper.presence().lacks_base();
        snapshots.step(&mut self.held.follower, shipper, may_begin)?;
        self.rest(frames > 0, more, now)?;
        Ok(more)
    }

    /// How many frames there are to capture, at least.
    fn look(&mut self) -> Result<u32, FollowError> {
        let follower = &mut self.held.follower;
        if !self.pace.is_alert() {
            return Ok(follower.observe(now_micros())?);
        }
        let Some(frames) = follower.observe_written(now_micros())? else { return Ok(0) };
        // What the write was for is over.
        self.pace.calm();
        Ok(frames)
    }

    fn capture(&mut self, frames: u32) -> Result<bool, FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        let follower = &mut self.held.follower;
        if !shipper.has_room(Blocking::Allowed) {
            return Ok(true);
        }
        let began = Instant::now();
        let capture_max = if follower.is_outrun() { OUTRUN_CAPTURE_MAX } else { CAPTURE_MAX };
        let sink = |transaction: &mut Transaction<'_>| {
            append(&self.job.status, shipper, snapshots, transaction, Blocking::Allowed)?;
            Ok::<_, FollowError>(
                shipper.has_room(Blocking::Allowed) && began.elapsed() < capture_max,
            )
        };
        let capture = || {
            self.job.shared.with_scratch(|scratch| follower.capture(now_micros(), scratch, sink))
        };
        let captured = if frames > LONG_FRAMES { block_in_place(capture)? } else { capture()? };
        self.started.shipper.encode()?;
        Ok(captured.more)
    }

    fn maintain(&mut self, more: bool) -> Result<(), FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        let follower = &mut self.held.follower;
        let log_bytes_max = self.job.database.log_bytes_max;
        let kept = match shipper.safety() {
            Safety::Durable | Safety::Settled if !more => Kept::Durable,
            Safety::NeedsLog if follower.log_bytes()? <= log_bytes_max => Kept::Nowhere,
            _ => Kept::Elsewhere,
        };
        for _ in 0..MAINTENANCE_STEPS {
            let has_room = shipper.has_room(Blocking::Forbidden);
            let action = follower.due(kept, has_room)?;
            if action == Action::Wait {
                break;
            }
            // In an exclusive checkpoint the application's writers wait, so this must not block.
            let sink = |transaction: &mut Transaction<'_>| {
                append(&self.job.status, shipper, snapshots, transaction, Blocking::Forbidden)?;
                Ok::<_, FollowError>(shipper.has_room(Blocking::Forbidden))
            };
            let shared = &self.job.shared;
            block_in_place(|| {
                shared.with_scratch(|scratch| {
                    follower.perform(action, now_micros(), kept, scratch, sink)
                })
            })?;
            shipper.encode()?;
            tracing::debug!(
                ?action,
                ?kept,
                has_room,
                more,
                log_bytes = follower.log_bytes()?,
                "maintained"
            );
            if matches!(action, Action::ExclusiveCheckpoint | Action::Brake) {
                self.pace.stopped(Instant::now());
            }
            if let Some(checkpoint) = follower.take_checkpoint() {
                self.checkpoint = Some(spawn_blocking(|| checkpoint.run()));
                break;
            }
        }
        Ok(())
    }

    /// A log that has become too long is not held for a snapshot any more. If it is the store that it waits for, it goes
    /// through the spool; once that is full, it is let go.
    fn relieve_log(&mut self) -> Result<(), FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        let waits = !shipper.has_room(Blocking::Allowed) || snapshots.hold_the_log();
        if self.held.follower.is_resting()
            || !waits
            || self.held.follower.log_bytes()? <= self.job.database.log_bytes_max
        {
            return Ok(());
        }
        snapshots.give_up();
        if !shipper.has_room(Blocking::Allowed) {
            if shipper.is_spool_full() {
                return Err(FollowError::LogReleased);
            }
            shipper.start_spooling();
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

    fn change_pace(&mut self, found: bool, now: Instant) {
        let Some(mode) = self.pace.looked(found, self.held.count(), now) else { return };
        if !self.held.change(mode) {
            self.pace = Pace::new(false, now);
        }
        // Between the last look and the watch something may have been written.
        self.held.woken.notify_one();
    }
}

/// Waits for the checkpoint that runs beside; for ever if none does.
async fn ended(checkpoint: &mut Option<JoinHandle<()>>) -> Result<(), FollowError> {
    match checkpoint {
        Some(running) => Ok(running.await.map_err(shipper::Error::from)?),
        None => std::future::pending().await,
    }
}

/// Appends a captured transaction to the open segment.
fn append(
    status: &Status,
    shipper: &mut ebbtide_shipper::Shipper,
    snapshots: &mut super::snapshots::Snapshots,
    transaction: &mut Transaction<'_>,
    blocking: Blocking,
) -> Result<(), FollowError> {
    let pages = transaction.page_count();
    snapshots.grew(pages as u64 * transaction.page_size.offset());
    let commit = Commit {
        time: transaction.time,
        database_pages: transaction.database_pages,
        page_count: pages,
        wal: transaction.position,
    };
    let appended =
        shipper.append(commit, blocking, |each| transaction.for_each_page::<FollowError>(each))?;
    match appended {
        Appended::Taken => status.captured(shipper.last()),
        Appended::SpoolFull => return Err(FollowError::LogReleased),
    }
    Ok(())
}
