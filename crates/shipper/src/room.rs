//! How much more the shipper takes before the log has to keep what comes.

use std::time::{Duration, Instant};

use crate::segment::Segment;
use crate::shipper::Shipper;

/// A put that takes longer is waited for by the log alone: the store may be away, and memory is for all databases.
const SLOW_PUT: Duration = Duration::from_secs(1);

impl Shipper {
    /// Whether the open segment takes more. If not, the log keeps what comes until the segment is on its way.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let takes = |open: &Segment| match self.is_putting() {
            true => open.has_room_beside(),
            false => !open.is_full(),
        };
        !self.spool_is_full() && self.open.as_ref().is_none_or(takes)
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
        !self.spool_is_full() && self.open.as_ref().is_none_or(Segment::has_room_at_once)
    }

    /// While `work` appends, nothing is waited for: what would be streamed stays in memory.
    pub fn at_once<T>(&mut self, work: impl FnOnce(&mut Shipper) -> T) -> T {
        self.at_once = true;
        let done = work(self);
        self.at_once = false;
        done
    }
}
