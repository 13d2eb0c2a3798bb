//! A database whose log is held, whatever else goes on: its commits are dated as they come, and the log is not held for
//! longer than its budget allows.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use ebbtide_watcher::{Cause, Follower, Wake};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::FollowError;
use super::pace::{Count, Mode};
use super::shared::Shared;
use crate::clock::now_micros;

/// How often the log is looked at while something else is waited for: a commit that makes no event gets its time so.
const LOOK: Duration = Duration::from_millis(5);

/// The same, once the wait is a long one.
const LOOK_LATER: Duration = Duration::from_millis(50);
const LONG_WAIT: Duration = Duration::from_secs(5);

/// More frames than this are captured without waiting any longer: the log should not grow for the sake of dates.
const FRAMES_MAX: u32 = 1000;

/// A follower, and the watch on its log.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) follower: Follower,
    /// Fires when the log is written.
    pub(crate) woken: Arc<Notify>,
    /// Whether it ever does.
    pub(crate) has_events: bool,
    /// What is in the log cannot be shipped commit by commit, so the next start compares instead of reading on.
    pub(crate) is_given_up: bool,
    wake: Option<Arc<Wake>>,
    wal: PathBuf,
    calls: Arc<Calls>,
}

/// What the threads that look at the log and the task tell each other.
#[derive(Debug, Default)]
struct Calls {
    writes: AtomicU32,
    commits: AtomicU32,
    are_only_noted: AtomicBool,
    are_dated_closely: AtomicBool,
    /// Somebody has opened or closed the log since this was asked last.
    touched: AtomicBool,
    /// No connection of ours has the database open, so that everything is a reason to wake up.
    at_rest: AtomicBool,
    /// Whether the last poll found, and reported, that no other process has the database open.
    told_alone: AtomicBool,
}

impl Calls {
    /// Somebody has opened or closed the log; whether that is a reason to wake up. An opening is not while the log is
    /// held, and a closing may be the last.
    fn touch(&self, cause: Cause) -> bool {
        self.touched.store(true, Ordering::Relaxed);
        cause == Cause::Closed || self.at_rest.load(Ordering::Relaxed)
    }

    /// A poll has ended. Returns whether it is the first to find that no other process has the database open.
    fn polled(&self, found: bool, is_open_elsewhere: impl Fn() -> bool) -> bool {
        let alone = !found && !is_open_elsewhere();
        alone && !self.told_alone.swap(alone, Ordering::Relaxed)
    }
}

impl Held {
    /// Watches the log of a follower.
    pub(crate) fn new(follower: Follower, shared: &Shared) -> Held {
        let woken = Arc::new(Notify::new());
        let wal = follower.wal_path();
        let (notify, observer) = (Arc::clone(&woken), follower.observer());
        let calls = Arc::new(Calls::default());
        let noted = Arc::clone(&calls);
        let called = move |cause| {
            let seen = match cause {
                Cause::Opened | Cause::Closed => {
                    if noted.touch(cause) {
                        notify.notify_one();
                    }
                    return 0;
                }
                Cause::Written => observer.see_written(now_micros()),
                Cause::Poll => Some(observer.see(now_micros())),
            };
            let found = seen.unwrap_or_default();
            let left = cause == Cause::Poll
                && noted.polled(found.frames > 0, || observer.is_open_elsewhere());
            let writes = if cause == Cause::Written { 1 } else { found.frames };
            noted.writes.fetch_add(writes, Ordering::Relaxed);
            noted.commits.fetch_add(found.commits, Ordering::Relaxed);
            // A transaction that is under way is looked after: no event comes when it is published.
            let is_urgent = found.frames > 0
                && !(found.uncaptured <= FRAMES_MAX
                    && noted.are_only_noted.load(Ordering::Relaxed));
            if seen.is_none() || is_urgent || left || noted.at_rest.load(Ordering::Relaxed) {
                notify.notify_one();
            }
            if noted.are_dated_closely.load(Ordering::Relaxed) { u32::MAX } else { found.commits }
        };
        let wake = shared.wake.clone();
        let has_events = match wake.as_ref().map(|wake| wake.watch(&wal, Arc::new(called))) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::warn!(%error, log = %wal.display(), "cannot watch the log; polling instead");
                false
            }
            None => false,
        };
        Held { follower, woken, has_events, is_given_up: false, wake, wal, calls }
    }

    /// Whether commits are only dated as they come, and not a reason to wake up: somebody will look soon anyway.
    pub(crate) fn only_note_commits(&self, only: bool) {
        self.calls.are_only_noted.store(only, Ordering::Relaxed);
    }

    /// Whether no connection of ours has the database open from now on.
    pub(crate) fn rests(&self, at_rest: bool) {
        self.calls.at_rest.store(at_rest, Ordering::Relaxed);
    }

    /// Whether somebody has opened or closed the log since this was asked last.
    pub(crate) fn take_touched(&self) -> bool {
        self.calls.told_alone.store(false, Ordering::Relaxed);
        self.calls.touched.swap(false, Ordering::Relaxed)
    }

    /// What was counted since this was asked last.
    pub(crate) fn count(&self) -> Count {
        let take = |count: &AtomicU32| count.swap(0, Ordering::Relaxed);
        Count { writes: take(&self.calls.writes), commits: take(&self.calls.commits) }
    }

    /// Watches the log as `mode` says from now on; whether that can be done.
    pub(crate) fn change(&self, mode: Mode) -> bool {
        let Some(wake) = &self.wake else { return false };
        self.calls.are_dated_closely.store(mode == Mode::ClosePolling, Ordering::Relaxed);
        let changed = match mode {
            Mode::Polling | Mode::ClosePolling => wake.poll(&self.wal),
            Mode::Events => wake.resume(&self.wal),
        };
        if let Err(error) = &changed {
            tracing::warn!(%error, log = %self.wal.display(), "cannot watch the log; polling instead");
        }
        changed.is_ok()
    }

    /// Waits for `work`, and dates the commits that come meanwhile. `each_look` is called now and then.
    ///
    /// # Errors
    /// What `work` returns; [`FollowError::LogReleased`] when the log has grown beyond `log_bytes_max` by then.
    pub(crate) async fn during<T, E>(
        &mut self,
        log_bytes_max: impl Fn() -> u64,
        work: impl Future<Output = Result<T, E>>,
        mut each_look: impl FnMut(Duration),
    ) -> Result<T, FollowError>
    where
        FollowError: From<E>,
    {
        let began = Instant::now();
        self.only_note_commits(false);
        tokio::pin!(work);
        loop {
            let waited = began.elapsed();
            let pause = if waited < LONG_WAIT { LOOK } else { LOOK_LATER };
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = self.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            each_look(waited);
            self.follower.observe(now_micros())?;
            if self.follower.log_bytes()? > log_bytes_max() {
                return Err(FollowError::LogReleased);
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(wake) = &self.wake {
            wake.forget(&self.wal);
        }
    }
}
