//! Children that have ended: all of them are waited for, whoever started them, so that no zombie stays.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getpgid, getpgrp};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Code, Failure};

/// A helper in our own process group is waited for by whoever started it, or by us after so long.
const HELPER_WAIT: Duration = Duration::from_secs(2);

/// When to look again for what its own parent waits for.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What is left after those that have ended were waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// No child.
    Nobody,
    /// At least one.
    Somebody,
    /// One that has ended is still to be waited for, by the part of this process that started it.
    Helper,
}

/// Waits for children.
#[derive(Debug, Default)]
pub(super) struct Reaper {
    helper: Option<(Pid, Instant)>,
}

impl Reaper {
    /// Waits for all that have ended or were stopped, without blocking, and tells of each.
    pub(super) fn reap(&mut self, mut tell: impl FnMut(WaitStatus)) -> Left {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG;
        loop {
            let found = match waitid(Id::All, look | WaitPidFlag::WNOWAIT) {
                Ok(found) => found,
                Err(Errno::EINTR) => continue,
                Err(Errno::ECHILD) => return Left::Nobody,
                Err(error) => {
                    tracing::warn!(%error, "cannot wait for the application");
                    return Left::Somebody;
                }
            };
            let Some(pid) = found.pid() else { return Left::Somebody };
            let is_end = !matches!(found, WaitStatus::Stopped(..));
            if is_end && self.is_of_others(pid) {
                return Left::Helper;
            }
            // Only this much: what was stopped may have ended since.
            let what = if is_end { WaitPidFlag::WEXITED } else { WaitPidFlag::WSTOPPED };
            match waitid(Id::Pid(pid), what | WaitPidFlag::WNOHANG) {
                Ok(status) => tell(status),
                // Somebody else has waited for it, or it goes on.
                Err(error) => tracing::debug!(%error, pid = pid.as_raw(), "not waited for"),
            }
        }
    }

    /// Whether a process that has ended is a helper that another part of this process waits for.
    fn is_of_others(&mut self, pid: Pid) -> bool {
        // The application has a group of its own, and orphans have theirs.
        if getpgid(Some(pid)) != Ok(getpgrp()) {
            return false;
        }
        let known = self.helper.filter(|&(helper, _)| helper == pid);
        let (_, since) = known.unwrap_or_else(|| (pid, Instant::now()));
        self.helper = Some((pid, since));
        since.elapsed() < HELPER_WAIT
    }
}

/// Waits for orphans for ever, for a process 1 that has no application.
///
/// # Errors
/// When the signal cannot be listened to.
pub(crate) fn reap_orphans() -> Result<(), Failure> {
    let mut ended =
        signal(SignalKind::child()).map_err(|error| Failure::new(Code::Failed, error))?;
    tokio::spawn(async move {
        let mut reaper = Reaper::default();
        loop {
            let left = reaper.reap(|_| ());
            tokio::select! {
                _ = ended.recv() => {}
                () = tokio::time::sleep(LOOK_AGAIN), if left == Left::Helper => {}
            }
        }
    });
    Ok(())
}
