//! A database whose log is held, whatever else goes on: its commits are dated as they come, and the log is not held for
//! longer than its budget allows.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ebbtide_watcher::{Follower, Wake};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::FollowError;
use super::shared::Shared;
use crate::clock::now_micros;

/// How often the log is looked at while something else is waited for: a commit that makes no event gets its time so.
const LOOK: Duration = Duration::from_millis(5);

/// The same, once the wait is a long one.
const LOOK_LATER: Duration = Duration::from_millis(50);
const LONG_WAIT: Duration = Duration::from_secs(5);

/// A follower, and the watch on its log.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) follower: Follower,
    /// Fires when the log is written.
    pub(crate) woken: Arc<Notify>,
    /// Whether it ever does.
    pub(crate) sighted: bool,
    wake: Option<Arc<Wake>>,
    wal: PathBuf,
}

impl Held {
    /// Watches the log of a follower.
    pub(crate) fn new(follower: Follower, shared: &Shared) -> Held {
        let woken = Arc::new(Notify::new());
        let wal = follower.wal_path();
        let (notify, observer) = (Arc::clone(&woken), follower.observer());
        let wrote = move || {
            observer.see(now_micros());
            notify.notify_one();
        };
        let wake = shared.wake.clone();
        let sighted = match wake.as_ref().map(|wake| wake.watch(&wal, Arc::new(wrote))) {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                tracing::warn!(%error, log = %wal.display(), "cannot watch the log; polling instead");
                false
            }
            None => false,
        };
        Held { follower, woken, sighted, wake, wal }
    }

    /// Waits for `work`, and dates the commits that come meanwhile. `each_look` is called now and then.
    ///
    /// # Errors
    /// What `work` returns; [`FollowError::LetGo`] when the log has grown beyond `log_bytes_max` by then.
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
                return Err(FollowError::LetGo);
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
