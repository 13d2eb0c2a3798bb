//! SIGINT, SIGTERM and SIGHUP for the commands that read: they end at once, whatever they compute or wait for, and what they were
//! making goes. A command that ends by itself is ended by nobody else, so there is nothing to be undone but files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, io, process, thread};

use ebbtide_wal::companion;
use nix::sys::signal::{SigSet, Signal, raise};

use crate::application::was_begun_ignoring;

/// What is being made and has not got its name yet, by numbers in the order in which it was begun.
static UNFINISHED: Mutex<BTreeMap<u64, PathBuf>> = Mutex::new(BTreeMap::new());

/// A file or directory in the making, until this is dropped.
#[derive(Debug)]
pub(crate) struct Unfinished(u64);

impl Unfinished {
    /// From now on a signal removes what is at `path`.
    pub(crate) fn begin(path: &Path) -> Unfinished {
        let mut unfinished = lock();
        let number = unfinished.last_key_value().map_or(0, |(last, _)| last + 1);
        unfinished.insert(number, path.to_path_buf());
        Unfinished(number)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        lock().remove(&self.0);
    }
}

/// From now on the signals end this process. To be called before there are other threads, which take over that these
/// signals are blocked: one of ours alone waits for them.
pub(crate) fn end_at_once() {
    let mut signals = SigSet::empty();
    let wanted = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
    // Who began us with a signal ignored wants it ignored.
    wanted.into_iter().filter(|&signal| !was_begun_ignoring(signal)).for_each(|it| signals.add(it));
    let begun = signals.thread_block().map_err(io::Error::from).and_then(|()| {
        thread::Builder::new().name("signals".to_owned()).spawn(move || wait(signals)).map(drop)
    });
    if let Err(error) = begun {
        // Then they end it as they end any other process.
        signals.thread_unblock().ok();
        tracing::debug!(%error, "what is unfinished stays after a signal");
    }
}

fn wait(signals: SigSet) {
    let Ok(signal) = signals.wait() else { return };
    // Nothing gets its name any more.
    let unfinished = lock();
    unfinished.values().for_each(|path| remove(path));
    // Ended by the signal itself, as whoever sent it expects: a shell then ends the script, too.
    if let Err(error) = signals.thread_unblock().and_then(|()| raise(signal)) {
        tracing::debug!(%error, %signal, "it does not end this process");
    }
    process::exit(128 + signal as i32)
}

fn remove(path: &Path) {
    let removed = match path.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "could not remove what is unfinished");
        }
        _ => {}
    }
    for suffix in companion::SUFFIXES {
        // SQLite's own, of a database that was being made; mostly there is none.
        fs::remove_file(companion::path(path, suffix)).ok();
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<u64, PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}
