//! What a store allows, tried by objects whose names are no keys: what a start, a restore and a prune would find out, each
//! at its own time and in the midst of something.

use std::future::Future;
use std::time::{Duration, Instant};

use ebbtide_replica::Timestamp;

use super::error::{ErrorKind, StoreError};
use super::probe::Conditional;

/// What is tried of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trial {
    /// To put an object: what every start does.
    Put,
    /// To read it: what a restore does.
    Get,
    /// To list names: what every command does.
    List,
    /// Whether a name can be taken once only, which keeps two writers apart.
    Conditional,
    /// The time of the object, by the store's clock.
    Clock,
    /// To delete it: what a prune does.
    Delete,
    /// Where the bucket is.
    Region,
    /// Whether the bucket keeps what is deleted.
    Versioning,
    /// Whether the bucket forbids deletes for a time.
    ObjectLock,
}

/// What was seen where a trial succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// It is allowed.
    Allowed,
    /// What becomes of a put whose name is taken.
    Conditional(Conditional),
    /// The store's clock.
    Clock(Timestamp),
    /// The bucket's region, if the store says one.
    Region(Option<String>),
    /// Whether the bucket does it.
    Enabled(bool),
}

/// What came of a trial.
#[derive(Debug)]
pub struct Examined {
    /// What was tried.
    pub trial: Trial,
    /// How long it took.
    pub took: Duration,
    /// What was seen, or why not.
    pub result: Result<Seen, StoreError>,
}

impl Examined {
    /// Waits for an attempt.
    pub(super) async fn wait(
        trial: Trial,
        attempt: impl Future<Output = Result<Seen, StoreError>>,
    ) -> Examined {
        let begun = Instant::now();
        let result = attempt.await;
        Examined { trial, took: begun.elapsed(), result }
    }

    /// Whether more can be learned from the store: it answered, and as a bucket that is there.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        let silent = [ErrorKind::Invalid, ErrorKind::Throttled, ErrorKind::Unavailable];
        !self.result.as_ref().is_err_and(|error| silent.contains(&error.kind()))
    }
}
