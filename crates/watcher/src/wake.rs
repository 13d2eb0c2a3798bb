//! Wake-ups: something was written to a log. Only a hint: what was committed stands in the wal-index, and a look at it
//! finds what a lost hint would have told.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use crate::poller::Poller;

/// What is called when a log may have been written. It answers how many commits are new, or more than that
/// if they are to be looked for sooner.
pub type Callback = Arc<dyn Fn(Cause) -> u32 + Send + Sync>;

type Callbacks = Arc<Mutex<HashMap<PathBuf, Callback>>>;

/// Why a [`Callback`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The log was written, or may have been.
    Written,
    /// It was opened.
    Opened,
    /// Somebody who could have written it has closed it.
    Closed,
    /// It is looked at every few milliseconds, and this is such a moment.
    Poll,
}

/// Calls back when a log is written, for any number of databases. Events come with absolute paths, so the callbacks are
/// kept under those.
///
/// Each log is watched by itself rather than its folder, so that one that is written all the time can be looked at in
/// rounds instead ([`Wake::poll`]), which costs the same however often it is written, while its neighbours still
/// wake.
pub struct Wake {
    watcher: Mutex<RecommendedWatcher>,
    callbacks: Callbacks,
    poller: Poller,
}

impl Wake {
    /// Begins to watch nothing yet.
    ///
    /// # Errors
    /// When the system has no watches left.
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
                // Events were lost, so it may have been any of them.
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
    /// When the system has no watches left, or the file is not there.
    pub fn watch(&self, path: &Path, callback: Callback) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.insert(path.clone(), callback);
        drop(callbacks);
        self.resume(&path)
    }

    /// Looks at a file in rounds, every few milliseconds, instead of watching it, until [`Wake::resume`].
    ///
    /// # Errors
    /// When it was not watched.
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

    /// Watches a file again. What was written meanwhile has to be looked for.
    ///
    /// # Errors
    /// As [`Wake::watch`].
    pub fn resume(&self, path: &Path) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        self.poller.remove(&path);
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.watch(&path, RecursiveMode::NonRecursive)
    }

    /// Forgets a file: its callback is not called any more, nor is it being called.
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

/// What an event says of a log; nothing if that is of no interest.
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
