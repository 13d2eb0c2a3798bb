//! How far a restore or a verification is, for whoever shows it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters that only grow, but for the totals, which are set once they are known. Reading them costs nothing.
#[derive(Debug, Default)]
pub struct Progress {
    pages_total: AtomicU64,
    pages_done: AtomicU64,
    bytes_fetched: AtomicU64,
    objects_total: AtomicU64,
    objects_done: AtomicU64,
}

/// The counters at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many pages there will be; 0 while that is not known.
    pub pages_total: u64,
    /// How many of them are written, or proved.
    pub pages_done: u64,
    /// How many bytes of objects came from the store.
    pub bytes_fetched: u64,
    /// How many objects have to be looked at, as far as is known.
    pub objects_total: u64,
    /// How many of them are done.
    pub objects_done: u64,
}

impl Progress {
    /// The counters now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            pages_total: get(&self.pages_total),
            pages_done: get(&self.pages_done),
            bytes_fetched: get(&self.bytes_fetched),
            objects_total: get(&self.objects_total),
            objects_done: get(&self.objects_done),
        }
    }

    /// Begins to count pages, of which there are `total`.
    pub fn start_pages(&self, total: u64) {
        self.pages_done.store(0, Ordering::Relaxed);
        self.pages_total.store(total, Ordering::Relaxed);
    }

    /// So many pages more are to be done.
    pub fn add_pages_total(&self, count: u64) {
        self.pages_total.fetch_add(count, Ordering::Relaxed);
    }

    /// So many pages more are done.
    pub fn add_pages(&self, count: u64) {
        self.pages_done.fetch_add(count, Ordering::Relaxed);
    }

    /// So many bytes more were fetched.
    pub fn add_bytes(&self, count: u64) {
        self.bytes_fetched.fetch_add(count, Ordering::Relaxed);
    }

    /// So many objects more are to be looked at.
    pub fn add_objects_total(&self, count: u64) {
        self.objects_total.fetch_add(count, Ordering::Relaxed);
    }

    /// So many objects more are done.
    pub fn add_objects(&self, count: u64) {
        self.objects_done.fetch_add(count, Ordering::Relaxed);
    }
}
