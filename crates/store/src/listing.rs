//! What all stores check of what they found: names against the grammar, lengths against what was asked.

use std::ops::Range;

use super::api::{LIST_MAX, Object};
use super::error::{ErrorKind, StoreError};
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// So many names are kept before those that are not wanted are given up.
const KEPT_MIN: usize = 4096;

/// Takes the names of a directory as a store gives them, in any order and perhaps more than once.
pub(super) struct Listing {
    under: KeyPrefix,
    after: Option<String>,
    objects: Vec<Object>,
    foreign: usize,
    /// How many are wanted, the first of all.
    most: usize,
}

impl Listing {
    pub(super) fn new(under: KeyPrefix, after: Option<&Key>) -> Listing {
        let after = after.map(Key::to_string);
        Listing { under, after, objects: Vec::new(), foreign: 0, most: usize::MAX }
    }

    /// The same, of which only the first `most` are wanted.
    pub(super) fn first(self, most: usize) -> Listing {
        Listing { most, ..self }
    }

    /// Whether there are as many as are wanted, if they came in order.
    #[cfg(feature = "s3")]
    pub(super) fn is_full(&self) -> bool {
        self.objects.len() >= self.most
    }

    /// Whether a name, relative to the replica's prefix, lies before what is asked for, so that nothing else need be known
    /// of it.
    pub(super) fn is_behind(&self, name: &str) -> bool {
        self.after.as_deref().is_some_and(|after| name <= after)
    }

    /// Adds the object with this name, relative to the replica's prefix. A name of another directory is none of ours.
    pub(super) fn add(
        &mut self,
        name: &str,
        size: u64,
        modified: Timestamp,
    ) -> Result<(), StoreError> {
        match Key::parse(name) {
            Some(key) if key.prefix() == Some(self.under) => {
                if self.after.as_deref().is_none_or(|after| name > after) {
                    self.objects.push(Object { key, size, modified });
                    if self.objects.len() >= self.most.saturating_mul(2).max(KEPT_MIN) {
                        self.keep_first();
                    }
                }
            }
            Some(_) => return Ok(()),
            None => self.foreign += 1,
        }
        if self.objects.len() + self.foreign > LIST_MAX {
            return Err(StoreError::new(
                ErrorKind::Invalid,
                format!("list {}/", self.under),
                format!("more than {LIST_MAX} names"),
            ));
        }
        Ok(())
    }

    /// Gives up what is beyond those that are wanted.
    fn keep_first(&mut self) {
        self.objects.sort_unstable();
        self.objects.dedup_by_key(|object| object.key);
        self.objects.truncate(self.most);
    }

    /// The objects in order, each once.
    pub(super) fn finish(mut self) -> Vec<Object> {
        if self.foreign > 0 {
            let (directory, names) = (self.under, self.foreign);
            tracing::warn!(%directory, names, "passed over names that are none of ours");
        }
        self.keep_first();
        self.objects
    }
}

/// Whether an object of `size` bytes may be read whole.
pub(super) fn check_length(key: &Key, size: u64, limit: u64) -> Result<(), StoreError> {
    if size <= limit {
        return Ok(());
    }
    let why = format!("it has {size} bytes, and at most {limit} are expected");
    Err(StoreError::new(ErrorKind::Damaged, format!("get {key}"), why))
}

/// The object ends before the range does.
pub(super) fn beyond_end(key: &Key, range: &Range<u64>, size: u64) -> StoreError {
    let why = format!("bytes {} to {} are asked for, and it has {size}", range.start, range.end);
    StoreError::new(ErrorKind::Damaged, format!("get {key}"), why)
}
