//! How much more the shipper takes before the log has to keep what comes.

use std::time::{Duration, Instant};

use crate::part::STREAM_BYTES;
use crate::segment::FULL_BYTES;
use crate::shipper::Shipper;

/// Up to so many encoded bytes the open segment takes more while the one before it is being put.
const BESIDE_BYTES: usize = 2 * FULL_BYTES;

/// Up to so many it takes some more when there is no time to wait.
const AT_ONCE_BYTES: usize = 2 * STREAM_BYTES;

/// A put that takes longer is waited for by the log alone: the store may be away, and memory is for all databases.
const SLOW_PUT: Duration = Duration::from_secs(1);

impl Shipper {
    /// Whether the open segment takes more. If not, the log keeps what comes until the segment is on its way.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room_up_to(if self.is_putting() { BESIDE_BYTES } else { FULL_BYTES })
    }

    /// Whether a segment is being put and not for long: what comes meanwhile had better not wait in the log.
    fn is_putting(&self) -> bool {
        let recently = |put: Instant| put.elapsed() < SLOW_PUT;
        !self.spilling && !self.queue.is_empty() && self.last_put.is_some_and(recently)
    }

    /// Whether some megabytes more can be taken without waiting for the store, whatever else: see
    /// [`Shipper::at_once`].
    #[must_use]
    pub fn has_room_at_once(&self) -> bool {
        self.has_room_up_to(AT_ONCE_BYTES)
    }

    fn has_room_up_to(&self, bytes_max: usize) -> bool {
        !self.spool_is_full() && self.open.as_ref().is_none_or(|open| open.has_room(bytes_max))
    }

    /// While `work` appends, nothing is waited for: what would be streamed stays in memory.
    pub fn at_once<T>(&mut self, work: impl FnOnce(&mut Shipper) -> T) -> T {
        self.at_once = true;
        let done = work(self);
        self.at_once = false;
        done
    }
}
