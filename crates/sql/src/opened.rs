//! A moment as a file that SQLite has open: what it reads, and what it could not read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ebbtide_moment::{Error, Moment, Page};
use ebbtide_wal::PageNumber;

use crate::cancel::Cancel;
use crate::page_set::PageSet;

/// A moment that a connection has as `main` or attached.
#[derive(Debug)]
pub struct Opened {
    moment: Moment,
    cancel: Cancel,
    reads: Mutex<PageSet>,
    failure: Mutex<Option<Error>>,
}

/// How a read went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// All bytes are there.
    Whole,
    /// Those beyond the end are zeros.
    Short,
    /// Somebody wants it to end.
    Cancelled,
    /// The cause is kept.
    Failed,
}

impl Opened {
    pub(crate) fn new(moment: Moment, cancel: Cancel) -> Opened {
        let (reads, failure) = (Mutex::default(), Mutex::default());
        Opened { moment, cancel, reads, failure }
    }

    /// The moment.
    #[must_use]
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// The pages that SQLite asked for since the last call.
    pub fn take_reads(&self) -> PageSet {
        std::mem::take(&mut *lock(&self.reads))
    }

    /// Why a read failed last, if one did since the last call.
    pub fn take_failure(&self) -> Option<Error> {
        lock(&self.failure).take()
    }

    /// What `PRAGMA ebbtide` says.
    pub(crate) fn describe(&self) -> String {
        let (txid, time) = (self.moment.txid(), self.moment.time());
        format!("txid {txid} of {time}, {}", self.moment.proof())
    }

    /// Fills `bytes` from the offset `at` on.
    pub(crate) fn read(&self, bytes: &mut [u8], at: u64) -> Read {
        if self.cancel.is_cancelled() {
            return Read::Cancelled;
        }
        let there = usize::try_from(self.moment.bytes().saturating_sub(at)).unwrap_or(usize::MAX);
        let is_whole = there >= bytes.len();
        let (there, beyond) = bytes.split_at_mut(there.min(bytes.len()));
        beyond.fill(0);
        let (mut at, mut rest) = (at, there);
        while !rest.is_empty() {
            let page_size = self.moment.page_size();
            let within = usize::try_from(at % page_size.offset()).unwrap_or(0);
            let number = u32::try_from(at / page_size.offset() + 1).ok().and_then(PageNumber::new);
            let Some(number) = number else { return Read::Failed };
            let page = match self.page(number) {
                Ok(Some(page)) => page,
                Ok(None) => return Read::Cancelled,
                Err(error) => {
                    tracing::debug!(%error, page = %number, "a page cannot be read");
                    *lock(&self.failure) = Some(error);
                    return Read::Failed;
                }
            };
            let count = rest.len().min(page_size.bytes() - within);
            let (now, later) = rest.split_at_mut(count);
            now.copy_from_slice(&page[within..within + count]);
            (at, rest) = (at + count as u64, later);
        }
        if is_whole { Read::Whole } else { Read::Short }
    }

    /// A page, or nothing if somebody wants it to end.
    fn page(&self, number: PageNumber) -> Result<Option<Page>, Error> {
        lock(&self.reads).insert(number);
        if let Some(page) = self.moment.page_at_hand(number) {
            return Ok(Some(page));
        }
        let wait = || {
            self.moment.replica().runtime().block_on(async {
                tokio::select! {
                    page = self.moment.page(number) => page.map(Some),
                    () = self.cancel.cancelled() => Ok(None),
                }
            })
        };
        // A runtime that is shut down panics, and so does one that is asked to wait on a thread of its own: neither may
        // unwind into SQLite.
        catch_unwind(AssertUnwindSafe(wait)).unwrap_or(Err(Error::BrokenOff))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
