//! How far a restore, a verification, a copy or a search is, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow, but for the total, which is set once it is known. Reading them costs nothing.
#[derive(Debug, Default)]
pub struct Progress {
    total: AtomicU64,
    done: AtomicU64,
    fetched: AtomicU64,
}

/// The counters at some moment, in bytes; those of a search in entries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// What there is to do: of the database to be written, of the objects to be proved or copied, or of the entries to be
    /// looked at; 0 while that is not known.
    pub total: u64,
    /// What of it is done.
    pub done: u64,
    /// What came from the store.
    pub fetched: u64,
}

impl Progress {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { total: get(&self.total), done: get(&self.done), fetched: get(&self.fetched) }
    }

    /// Begins again, with so much to be done.
    pub fn start(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// So much more is to be done.
    pub fn add_total(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much more is done.
    pub fn add_done(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes more were fetched.
    pub fn add_fetched(&self, bytes: u64) {
        self.fetched.fetch_add(bytes, Ordering::Relaxed);
    }
}
