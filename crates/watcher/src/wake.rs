//! Wake-ups: file events of a log. An event is only a hint: the wal-index says which frames are committed, so a reader
//! that polls it finds a commit whose event was lost.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::log_event::{Callback, Cause};
use crate::mutex::lock;
use crate::poller::{PollInterval, Poller};

type Callbacks = Arc<Mutex<HashMap<PathBuf, Callback>>>;

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
            let table = lock(&table);
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
        let mut callbacks = lock(&self.callbacks);
        callbacks.insert(path.clone(), callback);
        drop(callbacks);
        self.resume(&path)
    }

    /// Polls a file every few milliseconds instead of watching it, until [`Wake::resume`]. For a file that is polled
    /// already, `interval` replaces the one before.
    ///
    /// # Errors
    /// When the file was not watched.
    pub fn poll(&self, path: &Path, interval: PollInterval) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        if self.poller.change(&path, interval) {
            return Ok(());
        }
        let callbacks = lock(&self.callbacks);
        let callback = callbacks.get(&path).cloned().ok_or_else(notify::Error::watch_not_found)?;
        drop(callbacks);
        lock(&self.watcher).unwatch(&path)?;
        self.poller.add(path, interval, callback);
        Ok(())
    }

    /// Watches a file again. Writes since the last poll cause no event.
    ///
    /// # Errors
    /// As [`Wake::watch`].
    pub fn resume(&self, path: &Path) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        self.poller.remove(&path);
        let mut watcher = lock(&self.watcher);
        watcher.watch(&path, RecursiveMode::NonRecursive)
    }

    /// Forgets a file. When this returns, its callback is not running and will not be called again.
    pub fn forget(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            lock(&self.callbacks).remove(&path);
            self.poller.remove(&path);
        }
        let mut watcher = lock(&self.watcher);
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
        let watched = lock(&self.callbacks).len();
        f.debug_struct("Wake").field("watched", &watched).finish_non_exhaustive()
    }
}
