//! An object that came into the log: whoever decides what a restore begins with knows from these what one reads, without
//! listing the replica.

use ebbtide_replica::{Key, Txid};

/// The number of segments in a full pack. A restore reads those that are in none yet one by one, so there are not many more
/// of them than this; and the larger a pack, the less each commit in it costs.
pub const PACK_SEGMENTS: usize = 256;

/// A larger segment is not merged: one request for it is cheap relative to its size, and it must fit in memory…
pub(crate) const SEGMENT_BYTES_MAX: u64 = 4 << 20;

/// …nor is one of more than [`SMALL_BYTES`] whose entries are larger on average: the pages of large transactions seldom
/// come back.
const ENTRY_BYTES_MAX: u64 = 64 * 1024;

/// See [`ENTRY_BYTES_MAX`].
pub(crate) const SMALL_BYTES: u64 = 256 * 1024;

/// A segment or pack that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogObject {
    /// Its first entry.
    pub first: Txid,
    /// Its last entry.
    pub last: Txid,
    /// Its length.
    pub bytes: u64,
    /// The length of all segments in a pack; nothing for a segment.
    pub merged: Option<u64>,
}

impl LogObject {
    /// A segment.
    pub(crate) fn segment(key: Key, last: Txid, bytes: u64) -> LogObject {
        let first = match key {
            Key::Log(first) => first,
            _ => last,
        };
        LogObject { first, last, bytes, merged: None }
    }

    /// Whether it is a segment that becomes part of a pack.
    #[must_use]
    pub fn is_packed_later(&self) -> bool {
        let entries = self.last.get().saturating_sub(self.first.get()) + 1;
        self.merged.is_none() && is_small(self.bytes, entries)
    }
}

/// Whether a segment of `bytes` with `entries` entries is merged.
pub(crate) fn is_small(bytes: u64, entries: u64) -> bool {
    bytes <= SMALL_BYTES || (bytes <= SEGMENT_BYTES_MAX && bytes / entries <= ENTRY_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_of_many_small_commits_is_merged_whatever_its_size() {
        assert!(is_small(SMALL_BYTES, 1) && !is_small(SMALL_BYTES + 1, 1));
        assert!(is_small(SEGMENT_BYTES_MAX, 100) && !is_small(SEGMENT_BYTES_MAX, 10));
        assert!(!is_small(SEGMENT_BYTES_MAX + 1, 10_000));
    }
}
