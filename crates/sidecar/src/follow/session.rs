//! A session: from taking hold of the log to letting go of it.

use std::time::{Duration, Instant};

use ebbtide_replica::Txid;
use ebbtide_shipper::{self as shipper, Appended, Blocking, Commit, Consent, Safety};
use ebbtide_watcher::{Action, Kept, Transaction};
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

use super::end::End;
use super::error::FollowError;
use super::held::Held;
use super::job::Job;
use super::pace::{DORMANT_INTERVAL, HELD_BACK_MIN, Mode, Pace, together};
use super::phase::Phase;
use super::replica_check::CheckResult;
use super::rest_timer::RestTimer;
use super::start::{Started, start};
use super::status::Status;
use super::sync_requests::SyncRequests;
use crate::clock::now;

/// With more frames than this to read, the other tasks of this thread are moved to another one first.
const LONG_FRAMES: u32 = 256;

/// The most steps of maintenance at a time. A checkpoint takes a few: hand over, backfill, hand over.
const MAINTENANCE_STEPS: usize = 6;

/// How long to capture before the log is looked after.
const CAPTURE_MAX: Duration = Duration::from_millis(10);

/// The same while writers outrun it: the log soon needs the next thing.
const OUTRUN_CAPTURE_MAX: Duration = Duration::from_millis(2);

/// Descriptors are closed after this long without a commit.
const REST_AFTER: Duration = Duration::from_secs(10);

/// How long a process that ends once everything is durable waits for a store that refuses it.
const HOPE: Duration = Duration::from_secs(10);

/// How often a database at rest is looked at, of which an event tells when somebody opens it.
const REST_INTERVAL: Duration = Duration::from_secs(30);

/// How often the files are looked at: are they still those that were opened?
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Follows until ordered to finish. The hold stays in `held` whatever happens.
pub(crate) async fn run(job: &mut Job, held: &mut Option<Held>) -> Result<(), FollowError> {
    let started = start(job, held).await?;
    // It was given for what was found then, and not for what may become of it.
    job.consent = Consent::default();
    let shipper = &started.shipper;
    // Before the phase, so that whoever waits for that finds both.
    job.status.stand(shipper.last(), shipper.durable().state.point, shipper.durable().state.chain);
    job.status.set(Phase::Following);
    tracing::info!(
        database = %job.database.path.display(),
        replica = job.status.noted(|noted| noted.replica.clone()),
        txid = %shipper.last().txid,
        "following"
    );
    let held = held.as_mut().expect("a start holds the log");
    let now = Instant::now();
    // A session before this one may have left the log to the polling thread.
    let pace = Pace::new(held.has_events && held.change(Mode::Events), now);
    let is_once = job.order.borrow().ends() && job.is_once;
    let mut session = Session {
        job,
        held,
        started,
        pace,
        checked: now,
        answered: 0,
        checkpoint: None,
        sync_requests: SyncRequests::default(),
        met: None,
        rest_timer: RestTimer::default(),
        end: End::new(is_once),
    };
    session.job.status.rests(false);
    let result = session.follow().await;
    if let Err(error) = &result
        && (error.is_gone() || session.goes_with_its_directory(error).await)
    {
        session.ship_the_rest().await;
    }
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
    pub(super) pace: Pace,
    checked: Instant,
    /// The newest request for a sync before which the files were checked.
    answered: u64,
    /// The checkpoint that runs on a thread of its own.
    pub(super) checkpoint: Option<JoinHandle<()>>,
    sync_requests: SyncRequests,
    /// The newest request that is met but for a rest of the database, which it waits for.
    met: Option<u64>,
    pub(super) rest_timer: RestTimer,
    end: End,
}

impl Session<'_> {
    async fn follow(&mut self) -> Result<(), FollowError> {
        loop {
            let finishing = self.job.order.borrow_and_update().ends();
            if self.end.is_once
                && let Some(why) = self.job.status.hopeless(HOPE)
            {
                return Err(FollowError::Undurable(why));
            }
            let asked = self.job.status.asked();
            let more = self.step(asked)?;
            self.vouch()?;
            let awaited = self.answer_syncs(asked, more);
            let put_in = self.put(awaited.or_else(|| finishing.then_some(Txid::FIRST)))?;
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
            let mut interval = self.pace.interval(now);
            if interval >= DORMANT_INTERVAL && self.held.follower.is_resting() {
                interval = REST_INTERVAL;
            }
            let mut interval = together(interval, self.job.shared.began, now);
            if (more || self.held.follower.waits_for_capture())
                && shipper.has_room(Blocking::Allowed)
            {
                interval = Duration::ZERO;
            }
            let wait = [put_in, rest_in].into_iter().flatten().fold(interval, Duration::min);
            // Commits before the next put are dated as they come, and captured together then.
            let held_back = put_in.is_some_and(|put_in| put_in > HELD_BACK_MIN);
            self.held.update_attention(held_back);
            tokio::select! {
                biased;
                landed = shipper.landed() => {
                    let landed = landed?;
                    snapshots.appended(shipper.take_appended());
                    self.job.status.durable(landed, shipper.durable().state.chain);
                }
                () = snapshots.landed() => {}
                seen = self.end.check.ended() => self.seen(seen?, finishing)?,
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

    /// A snapshot or delta that is done becomes part of the history.
    fn vouch(&mut self) -> Result<(), FollowError> {
        let Started { shipper, snapshots } = &mut self.started;
        snapshots.vouch(shipper, &self.job.shared.owner)
    }

    /// Answers the requests for a sync that are met. Returns the entry that a client still waits for. `asked` is the newest
    /// request from before the last step.
    fn answer_syncs(&mut self, asked: u64, more: bool) -> Option<Txid> {
        let shipper = &self.started.shipper;
        let (last, durable) = (shipper.last().txid, shipper.durable().state.txid());
        if let Some(met) = self.sync_requests.on_scan(asked, more, last, durable) {
            self.met = Some(met);
            self.rest_timer.request();
        }
        // The client may move the file next, so its file alone should be the database by then.
        if !self.rest_timer.is_requested()
            && let Some(met) = self.met.take()
        {
            self.end.answer_after_check(met);
        }
        self.end.answer(&self.started.shipper);
        self.sync_requests.awaited(asked)
    }

    /// A check of the replica has ended: answers the requests that waited for it.
    fn seen(&mut self, seen: CheckResult, finishing: bool) -> Result<(), FollowError> {
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
        // A sync is about the file that has the name now.
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
        let finishing = self.job.order.borrow().ends();
        let Started { shipper, snapshots } = &mut self.started;
        // A process that is about to end makes no snapshot that it would not wait for.
        let may_begin = !finishing || self.end.is_once || shipper.presence().lacks_base();
        snapshots.step(&mut self.held.follower, shipper, may_begin, self.job)?;
        self.rest(frames > 0, more, now)?;
        Ok(more)
    }

    /// How many frames there are to capture, at least.
    fn look(&mut self) -> Result<u32, FollowError> {
        let follower = &mut self.held.follower;
        if !self.pace.is_alert() {
            return Ok(follower.observe(now())?);
        }
        let Some(frames) = follower.observe_written(now())? else { return Ok(0) };
        // The write has ended.
        self.pace.calm();
        Ok(frames)
    }

    pub(super) fn capture(&mut self, frames: u32) -> Result<bool, FollowError> {
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
        let capture =
            || self.job.shared.with_scratch(|scratch| follower.capture(now(), scratch, sink));
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
                shared.with_scratch(|scratch| follower.perform(action, now(), kept, scratch, sink))
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

    /// Relieves a log that is over its limit: it is not held for a snapshot or delta any more, and if it waits for the store, segments
    /// go into the spool. Once the spool is full, the log is released.
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

    /// Puts the open segment if a client waits for it or the put budget allows it. Returns how long until it does.
    fn put(&mut self, awaited: Option<Txid>) -> Result<Option<Duration>, FollowError> {
        let shipper = &mut self.started.shipper;
        if let Some(through) = awaited {
            shipper.flush_through(through)?;
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

/// Waits for the end of the running checkpoint. Never returns if there is none.
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
        Appended::Taken => {
            let counts = status.counts();
            counts.commits.add(1);
            counts.pages.add(pages as u64);
            counts.bytes.add(pages as u64 * transaction.page_size.offset());
            status.captured(shipper.last());
        }
        Appended::SpoolFull => return Err(FollowError::LogReleased),
    }
    Ok(())
}
