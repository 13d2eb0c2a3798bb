//! Wake-ups: something was written to a log. Only a hint: what was committed stands in the wal-index, and a poll finds
//! it when a hint is lost.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};

type Callbacks = Arc<Mutex<HashMap<PathBuf, Arc<dyn Fn() + Send + Sync>>>>;

/// Calls back when a log is written, for any number of databases. Events come with absolute paths, so the callbacks are
/// kept under those.
///
/// Each log is watched by itself rather than its folder, so that one that is written without a pause can be left alone
/// for a while ([`Wake::pause`]) and costs nothing, while its neighbours still wake.
pub struct Wake {
    watcher: Mutex<RecommendedWatcher>,
    callbacks: Callbacks,
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
                    for callback in event.paths.iter().filter_map(|path| table.get(path)) {
                        callback();
                    }
                }
                // Events were lost, so it may have been any of them.
                _ => table.values().for_each(|callback| callback()),
            }
        })?;
        Ok(Wake { watcher: Mutex::new(watcher), callbacks })
    }

    /// Calls `callback`, from a thread of the watcher's, whenever the file at `path` is written.
    ///
    /// # Errors
    /// When the system has no watches left, or the file is not there.
    pub fn watch(&self, path: &Path, callback: Arc<dyn Fn() + Send + Sync>) -> notify::Result<()> {
        let path = std::path::absolute(path).map_err(notify::Error::io)?;
        let mut callbacks = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner);
        callbacks.insert(path.clone(), callback);
        drop(callbacks);
        self.resume(&path)
    }

    /// Leaves a file alone until [`Wake::resume`].
    ///
    /// # Errors
    /// When it was not watched.
    pub fn pause(&self, path: &Path) -> notify::Result<()> {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).unwatch(path)
    }

    /// Watches a paused file again. What was written meanwhile has to be looked for.
    ///
    /// # Errors
    /// As [`Wake::watch`].
    pub fn resume(&self, path: &Path) -> notify::Result<()> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        watcher.watch(path, RecursiveMode::NonRecursive)
    }

    /// Forgets a file.
    pub fn forget(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).remove(&path);
        }
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = watcher.unwatch(path) {
            tracing::debug!(path = %path.display(), %error, "was not watched");
        }
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let watched = self.callbacks.lock().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Wake").field("watched", &watched).finish_non_exhaustive()
    }
}
