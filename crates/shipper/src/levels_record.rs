//! How levels are written down beside the position: everything once, and then what was added. See
//! [`State::begin_journal`](ebbtide_state::State::begin_journal).
//!
//! A record states for each level the sum and the pages that were added, so sum and pages always fit to each other,
//! wherever the file ends. They may be those of a later entry than the position's: a page too many does no harm.
//!
//! ```text
//!  0 u8   version
//!  1 u8   1: everything; 2: what was added
//!  then for each level
//!    u8   whether it is known; if not, nothing follows
//!    of everything: u64 txid, i64 time, u32 database size in pages, [32] chain, [16] digest
//!    [16] sum
//!    u32  how many ranges of pages follow
//!    2u32 first page, how many pages
//! ```

use std::ops::Range;

use ebbtide_replica::{Chain, Digest, EntryState, Point, Timestamp, Txid};
use ebbtide_wal::PageNumber;

use crate::levels::{Changes, Level, Levels};
use crate::page_set::PageSet;

const VERSION: u8 = 1;
const ALL: u8 = 1;
const MORE: u8 = 2;

/// Everything that is known of the levels.
pub(crate) fn all(levels: &mut Levels) -> Vec<u8> {
    levels.restarts_journal = false;
    let mut bytes = vec![VERSION, ALL];
    for tracked in levels.tracked() {
        tracked.news.clear();
        bytes.push(u8::from(tracked.changes.is_some()));
        let Some(Changes { base, pages, sum }) = &tracked.changes else { continue };
        bytes.extend_from_slice(&base.txid().get().to_le_bytes());
        bytes.extend_from_slice(&base.time().as_micros().to_le_bytes());
        bytes.extend_from_slice(&base.database_pages.to_le_bytes());
        bytes.extend_from_slice(base.chain.as_bytes());
        bytes.extend_from_slice(base.digest.as_bytes());
        bytes.extend_from_slice(sum.as_bytes());
        push_ranges(&mut bytes, &pages.ranges(u32::MAX));
    }
    bytes
}

/// What was added since the last record; nothing if nothing was.
pub(crate) fn more(levels: &mut Levels) -> Option<Vec<u8>> {
    if levels.tracked().iter().all(|tracked| tracked.news.is_empty()) {
        return None;
    }
    let mut bytes = vec![VERSION, MORE];
    for tracked in levels.tracked() {
        bytes.push(u8::from(tracked.changes.is_some()));
        let Some(changes) = &tracked.changes else { continue };
        bytes.extend_from_slice(changes.sum.as_bytes());
        push_ranges(&mut bytes, &tracked.news);
        tracked.news.clear();
    }
    Some(bytes)
}

/// For the fuzz target `journal`: what [`all`] makes of records that can be read.
#[doc(hidden)]
#[must_use]
pub fn rewrite_levels(records: &[Vec<u8>], durable: &EntryState) -> Option<Vec<u8>> {
    read(records, durable).map(|mut levels| all(&mut levels))
}

fn push_ranges(bytes: &mut Vec<u8>, ranges: &[Range<u32>]) {
    let count = u32::try_from(ranges.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&count.to_le_bytes());
    for range in ranges {
        bytes.extend_from_slice(&range.start.to_le_bytes());
        bytes.extend_from_slice(&(range.end - range.start).to_le_bytes());
    }
}

/// The levels out of their records; nothing if those are none of this version, or of a later state than `durable`.
///
/// Pages beyond the end of the database are left out: what they had is in the sum already, and one that is there again
/// later has no hash by then that would be added. So damaged bytes do not become a set of all pages that there could be.
pub(crate) fn read(records: &[Vec<u8>], durable: &EntryState) -> Option<Levels> {
    let (first, more) = records.split_first()?;
    let mut bytes = Bytes(first.strip_prefix(&[VERSION, ALL])?);
    let mut levels = [None, None];
    for level in &mut levels {
        *level = if bytes.flag()? { Some(changes(&mut bytes, durable)?) } else { None };
    }
    for record in more {
        let mut bytes = Bytes(record.strip_prefix(&[VERSION, MORE])?);
        for level in &mut levels {
            if bytes.flag()? {
                let changes = level.as_mut()?;
                changes.sum = Digest::from_bytes(bytes.array()?);
                bytes.pages(&mut changes.pages, durable.database_pages)?;
            }
        }
    }
    let is_past = |changes: &Changes| changes.base.txid() <= durable.txid();
    debug_assert_eq!(levels.len(), Level::ALL.len(), "one of each");
    levels.iter().flatten().all(is_past).then(|| Levels::of(levels))
}

fn changes(bytes: &mut Bytes<'_>, durable: &EntryState) -> Option<Changes> {
    let txid = Txid::new(u64::from_le_bytes(bytes.array()?))?;
    let time = Timestamp::from_micros(i64::from_le_bytes(bytes.array()?))?;
    let database_pages = u32::from_le_bytes(bytes.array()?);
    let chain = Chain::from_bytes(bytes.array()?);
    let digest = Digest::from_bytes(bytes.array()?);
    let sum = Digest::from_bytes(bytes.array()?);
    let mut pages = PageSet::default();
    bytes.pages(&mut pages, durable.database_pages)?;
    let base = EntryState { point: Point { txid, time }, chain, digest, database_pages };
    Some(Changes { base, pages, sum })
}

/// What is not read yet.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn flag(&mut self) -> Option<bool> {
        Some(self.array::<1>()? == [1])
    }

    /// Adds pages up to `last`.
    fn pages(&mut self, pages: &mut PageSet, last: u32) -> Option<()> {
        for _ in 0..u32::from_le_bytes(self.array()?) {
            let first = u32::from_le_bytes(self.array()?);
            let count = u32::from_le_bytes(self.array()?);
            let end = first.checked_add(count)?.min(last.saturating_add(1));
            for page in (first..end).filter_map(PageNumber::new) {
                pages.insert(page);
            }
        }
        Some(())
    }
}
