//! Wake-ups: file events of a log. An event is only a hint: the wal-index says which frames are committed, so a reader
//! that polls it finds a commit whose event was lost.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::poller::Poller;

/// Called when a log may have been written. Returns how many commits are new, or a larger number to be polled sooner.
pub type Callback = Arc<dyn Fn(Cause) -> u32 + Send + Sync>;

type Callbacks = Arc<Mutex<HashMap<PathBuf, Callback>>>;

/// Why a [`Callback`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The log was written, or may have been.
    Written,
    /// It was opened.
    Opened,
    /// A file descriptor that was open for writing was closed.
    Closed,
    /// The log is polled ([`Wake::poll`]), and a poll is due.
    Poll,
}

/// Calls back when a log is written, for any number of databases. Events carry absolute paths, so these are the keys of
/// the callbacks.
///
/// Each log has a watch of its own, rather than its directory, so that one log with many commits can be polled instead
/// ([`Wake::poll`]), which costs the same however often it is written, while events still report the logs beside it.
pub struct Wake {
    watcher: Mutex<RecommendedWatcher>,
    callbacks: Callbacks,
    poller: Poller,
}

impl Wake {
    /// Starts without a watch.
    ///
    /// # Errors
    /// When the kernel has no watches left.
    pub fn new() -> notify::Result<Wake> {
        let callbacks = Callbacks::default();
        let table = Arc::clone(&callbacks);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let table = table.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) if !event.need_rescan() => {
                    let Some(cause) = cause_of(event.kind) else { return };
                    for callback in event.paths.iter().filter_map(|path| table.get(path)) {
                        callback(cause);
                    }
                }
                // Events were lost, and any log may have been written.
                _ => {
                    for callback in table.values() {
                        callback(Cause::Written);
                    }
                }
            }
        })?;
        let poller = Poller::begin().map_err(notify::Error::io)?;
        Ok(Wake { watcher: Mutex::new(watcher), callbacks, poller })
    }

    /// Calls `callback`, from a thread of our own, whenever the file at `path` is written.
    ///
    /// # Errors
    /// When the kernel has no watches left, or the file does not exist.
    pub fn watch(&self, path: &Path, callback: Callback) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.insert(path.clone(), callback);
        drop(callbacks);
        self.resume(&path)
    }

    /// Polls a file every few milliseconds instead of watching it, until [`Wake::resume`].
    ///
    /// # Errors
    /// When the file was not watched.
    pub fn poll(&self, path: &Path) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        if self.poller.has(&path) {
            return Ok(());
        }
        let callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        let callback = callbacks.get(&path).cloned().ok_or_else(notify::Error::watch_not_found)?;
        drop(callbacks);
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).unwatch(&path)?;
        self.poller.add(path, callback);
        Ok(())
    }

    /// Watches a file again. Writes since the last poll cause no event.
    ///
    /// # Errors
    /// As [`Wake::watch`].
    pub fn resume(&self, path: &Path) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        self.poller.remove(&path);
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.watch(&path, RecursiveMode::NonRecursive)
    }

    /// Forgets a file. When this returns, its callback is not running and will not be called again.
    pub fn forget(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
            self.poller.remove(&path);
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = watcher.unwatch(path) {
            tracing::debug!(path = %path.display(), %error, "was not watched");
        }
    }
}

/// The cause for an event; `None` for events that callbacks do not get.
fn cause_of(kind: EventKind) -> Option<Cause> {
    match kind {
        EventKind::Access(AccessKind::Open(_)) => Some(Cause::Opened),
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Cause::Closed),
        EventKind::Access(_) => None,
        _ => Some(Cause::Written),
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Wake").field("watched", &watched).finish_non_exhaustive()
    }
}
