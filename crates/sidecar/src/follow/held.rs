//! A hold on a log, with the watch on it. While the task waits for something else, commits are dated as they come, and
//! the log is released when it grows over its budget.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use ebbtide_watcher::{Cause, Follower, Observer, PollInterval, Seen, Wake};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::FollowError;
use super::log_event::{Attention, LogEvent, Reaction, on_log_event};
use super::pace::{Count, Mode};
use super::shared::Shared;
use crate::clock::now;

/// The poll interval of the log while the task waits for something else: a commit without an event is dated by a poll.
const LOOK: Duration = Duration::from_millis(5);

/// The poll interval once the wait is longer than [`LONG_WAIT`].
const LOOK_LATER: Duration = Duration::from_millis(50);
const LONG_WAIT: Duration = Duration::from_secs(5);

/// A follower, and the watch on its log.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) follower: Follower,
    /// Fires when the log is written.
    pub(crate) woken: Arc<Notify>,
    /// Whether there are events of the log.
    pub(crate) has_events: bool,
    /// The commits in the log cannot be shipped one by one, so the next start compares pages.
    pub(crate) is_given_up: bool,
    wake: Option<Arc<Wake>>,
    wal: PathBuf,
    calls: Arc<Calls>,
}

/// State shared between the task and the threads that watch and poll the log.
#[derive(Debug, Default)]
struct Calls {
    writes: AtomicU32,
    commits: AtomicU32,
    /// An [`Attention`], as [`Calls::set_attention`] stores it.
    attention: AtomicU8,
    /// Whether another process has opened or closed the log since the task's last call of [`Held::take_touched`].
    touched: AtomicBool,
    /// Whether the last poll found, and reported, that no other process has the database open.
    told_alone: AtomicBool,
}

impl Calls {
    fn attention(&self) -> Attention {
        match self.attention.load(Ordering::Relaxed) {
            0 => Attention::Commits,
            1 => Attention::Puts,
            _ => Attention::Everything,
        }
    }

    fn set_attention(&self, attention: Attention) {
        let stored = match attention {
            Attention::Commits => 0,
            Attention::Puts => 1,
            Attention::Everything => 2,
        };
        self.attention.store(stored, Ordering::Relaxed);
    }

    /// Looks at the log because of an event: what it has shown.
    fn look(&self, cause: Cause, observer: &Observer) -> LogEvent {
        let seen = match cause {
            Cause::Opened => return LogEvent::Opened,
            Cause::Closed => return LogEvent::Closed,
            Cause::Written => match observer.see_written(now()) {
                Some(seen) => seen,
                None => return LogEvent::Unfinished,
            },
            Cause::Poll => observer.see(now()),
        };
        let is_alone = cause == Cause::Poll && seen.frames == 0 && !observer.is_open_elsewhere();
        match is_alone && !self.told_alone.swap(true, Ordering::Relaxed) {
            true => LogEvent::LeftAlone,
            false => LogEvent::Observed(seen),
        }
    }

    /// Counts an event. Returns how many commits it has shown.
    fn count(&self, cause: Cause, event: LogEvent) -> u32 {
        let found = match event {
            LogEvent::Opened | LogEvent::Closed => {
                self.touched.store(true, Ordering::Relaxed);
                return 0;
            }
            LogEvent::Observed(seen) => seen,
            LogEvent::Unfinished | LogEvent::LeftAlone => Seen::default(),
        };
        let writes = if cause == Cause::Written { 1 } else { found.frames };
        self.writes.fetch_add(writes, Ordering::Relaxed);
        self.commits.fetch_add(found.commits, Ordering::Relaxed);
        found.commits
    }
}

impl Held {
    /// Watches the log of a follower.
    pub(crate) fn new(follower: Follower, shared: &Shared) -> Held {
        let woken = Arc::new(Notify::new());
        let wal = follower.wal_path();
        let (notify, observer) = (Arc::clone(&woken), follower.observer());
        let calls = Arc::new(Calls::default());
        let told = Arc::clone(&calls);
        let called = move |cause| {
            let event = told.look(cause, &observer);
            let commits = told.count(cause, event);
            if on_log_event(event, told.attention()) == Reaction::Wake {
                notify.notify_one();
            }
            commits
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

    /// Decides what to wake the task for from now on. `commits_wait` says that commits are captured together before the
    /// next put, which is not due soon.
    pub(crate) fn update_attention(&self, commits_wait: bool) {
        self.calls.set_attention(match (self.follower.is_resting(), commits_wait) {
            (true, _) => Attention::Everything,
            (false, true) => Attention::Puts,
            (false, false) => Attention::Commits,
        });
    }

    /// Whether another process has opened or closed the log since the last call.
    pub(crate) fn take_touched(&self) -> bool {
        self.calls.told_alone.store(false, Ordering::Relaxed);
        self.calls.touched.swap(false, Ordering::Relaxed)
    }

    /// The events and commits since the last call.
    pub(crate) fn count(&self) -> Count {
        let take = |count: &AtomicU32| count.swap(0, Ordering::Relaxed);
        Count { writes: take(&self.calls.writes), commits: take(&self.calls.commits) }
    }

    /// Changes how the log is watched. Returns whether that succeeded.
    pub(crate) fn change(&self, mode: Mode) -> bool {
        let Some(wake) = &self.wake else { return false };
        let changed = match mode {
            Mode::Polling => wake.poll(&self.wal, PollInterval::ByCommits),
            Mode::ClosePolling => wake.poll(&self.wal, PollInterval::Shortest),
            Mode::Events => wake.resume(&self.wal),
        };
        if let Err(error) = &changed {
            tracing::warn!(%error, log = %self.wal.display(), "cannot watch the log; polling instead");
        }
        changed.is_ok()
    }

    /// Waits for `work`, and dates the commits that come meanwhile. `each_look` is called at each poll with the time since
    /// the beginning.
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
        self.update_attention(false);
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
            self.follower.observe(now())?;
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
