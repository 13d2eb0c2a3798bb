//! A sealed segment: what the encoder hands to the uploader.

use ebbtide_replica::Key;
use ebbtide_state::Position;

use crate::outgoing::Sealed;

/// A complete segment that is not in the store yet.
pub(crate) struct SealedSegment {
    pub(crate) key: Key,
    /// The durable position once it is confirmed.
    pub(crate) position: Position,
    /// The number of pages that it changed.
    pub(crate) pages: u64,
    pub(crate) body: Sealed,
}
