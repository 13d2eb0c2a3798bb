//! Events of directories: what is made, moved and removed in them. What is written into a file makes no event here, because
//! each commit of each database would.

use std::io;
use std::path::{Path, PathBuf};

/// So many times something may be told of that nobody has looked at yet; the kernel keeps what comes then, and tells when it
/// cannot.
#[cfg(target_os = "linux")]
const QUEUE: usize = 64;

/// What has happened in the directories.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Something at these paths.
    At(Vec<PathBuf>),
    /// More than could be told.
    Overflow,
}

#[cfg(target_os = "linux")]
pub(super) use linux::DirectoryEvents;
#[cfg(not(target_os = "linux"))]
pub(super) use without::DirectoryEvents;

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

    use nix::errno::Errno;
    use nix::fcntl::OFlag;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
    use tokio::sync::mpsc;

    use super::{Path, PathBuf, QUEUE, Seen, io};
    use crate::roster::walk::may_be_database;

    /// The events of any number of directories, until it is dropped. Cheap to clone.
    #[derive(Debug, Clone)]
    pub(in crate::roster) struct DirectoryEvents {
        watches: Arc<Watches>,
        /// The thread ends once this is closed.
        _end: Arc<OwnedFd>,
    }

    #[derive(Debug)]
    struct Watches {
        inotify: Inotify,
        directories: Mutex<HashMap<i32, PathBuf>>,
    }

    impl DirectoryEvents {
        /// With the queue that the events come into, from a thread of their own.
        ///
        /// # Errors
        /// When the kernel has none to give.
        pub(in crate::roster) fn new() -> io::Result<(DirectoryEvents, mpsc::Receiver<Seen>)> {
            let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            let watches = Arc::new(Watches { inotify, directories: Mutex::default() });
            let (ended, end) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
            let (sender, queue) = mpsc::channel(QUEUE);
            let read = Arc::clone(&watches);
            let thread = std::thread::Builder::new().name("directories".to_owned());
            thread.spawn(move || {
                if let Err(error) = read.forward(&ended, &sender) {
                    tracing::warn!(%error, "no events of directories any more");
                }
            })?;
            Ok((DirectoryEvents { watches, _end: Arc::new(end) }, queue))
        }

        /// Watches a directory. One that is watched already, under whichever name, is watched under this one.
        ///
        /// # Errors
        /// When the kernel has no watches left, or there is no such directory.
        pub(in crate::roster) fn watch(&self, directory: &Path) -> io::Result<()> {
            let wanted = AddWatchFlags::IN_CREATE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ONLYDIR;
            let watch = self.watches.inotify.add_watch(directory, wanted)?;
            self.watches.directories().insert(watch.as_raw(), directory.to_owned());
            Ok(())
        }
    }

    impl Watches {
        /// Puts events into the queue until `ended`, or nobody reads it any more.
        fn forward(&self, ended: &OwnedFd, queue: &mpsc::Sender<Seen>) -> io::Result<()> {
            loop {
                let mut both = [self.inotify.as_fd(), ended.as_fd()]
                    .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN));
                match poll(&mut both, PollTimeout::NONE) {
                    Err(Errno::EINTR) => continue,
                    polled => polled?,
                };
                if both[1].any() == Some(true) {
                    return Ok(());
                }
                let events = match self.inotify.read_events() {
                    Err(Errno::EAGAIN | Errno::EINTR) => continue,
                    events => events?,
                };
                let seen = self.seen(events);
                if seen != Seen::At(Vec::new()) && queue.blocking_send(seen).is_err() {
                    return Ok(());
                }
            }
        }

        fn seen(&self, events: Vec<nix::sys::inotify::InotifyEvent>) -> Seen {
            let mut paths = Vec::new();
            let mut directories = self.directories();
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    return Seen::Overflow;
                }
                let Some(directory) = directories.get(&event.wd.as_raw()) else { continue };
                let path = match event.name {
                    Some(name) => directory.join(name),
                    None => directory.clone(),
                };
                if event.mask.contains(AddWatchFlags::IN_IGNORED) {
                    directories.remove(&event.wd.as_raw());
                }
                // An application makes and removes these all the time.
                if may_be_database(&path) {
                    paths.push(path);
                }
            }
            Seen::At(paths)
        }

        fn directories(&self) -> MutexGuard<'_, HashMap<i32, PathBuf>> {
            self.directories.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    /// Why a directory cannot be watched, if that is because there are no watches left.
    pub(in crate::roster) fn is_exhausted(error: &io::Error) -> bool {
        error.raw_os_error() == Some(Errno::ENOSPC as i32)
    }

    #[cfg(test)]
    mod tests {
        use std::fs;

        use super::*;

        #[tokio::test]
        async fn what_is_made_moved_and_removed_is_told_and_what_is_written_is_not() {
            let directory = tempfile::tempdir().unwrap();
            let path = |name: &str| directory.path().join(name);
            let (events, mut queue) = DirectoryEvents::new().unwrap();
            events.watch(directory.path()).unwrap();
            fs::write(path("a.db"), "x").unwrap();
            assert_eq!(queue.recv().await, Some(Seen::At(vec![path("a.db")])));
            fs::write(path("a.db"), "xyz").unwrap();
            fs::write(path("a.db-wal"), "xyz").unwrap();
            fs::remove_file(path("a.db")).unwrap();
            assert_eq!(queue.recv().await, Some(Seen::At(vec![path("a.db")])));
            assert!(is_exhausted(&Errno::ENOSPC.into()));
            drop(events);
            assert_eq!(queue.recv().await, None, "the thread has ended");
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) use linux::is_exhausted;
#[cfg(not(target_os = "linux"))]
pub(super) use without::is_exhausted;

/// Where there are no events, walks find everything.
#[cfg(not(target_os = "linux"))]
mod without {
    use tokio::sync::mpsc;

    use super::{Path, Seen, io};

    #[derive(Debug, Clone)]
    pub(in crate::roster) struct DirectoryEvents;

    impl DirectoryEvents {
        pub(in crate::roster) fn new() -> io::Result<(DirectoryEvents, mpsc::Receiver<Seen>)> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in crate::roster) fn watch(&self, _: &Path) -> io::Result<()> {
            Ok(())
        }
    }

    pub(in crate::roster) fn is_exhausted(_: &io::Error) -> bool {
        false
    }
}
