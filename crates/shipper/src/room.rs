//! Backpressure: how many bytes the shipper buffers before new commits must stay in the log.

use std::time::{Duration, Instant};

use crate::outgoing::STREAM_BYTES;
use crate::segment::FULL_BYTES;
use crate::shipper::Shipper;

/// The limit of the open segment, in encoded bytes, while a put is in flight.
const BESIDE_BYTES: usize = 2 * FULL_BYTES;

/// The limit of the open segment, in encoded bytes, while the application's writers are blocked.
const NON_BLOCKING_BYTES: usize = 2 * STREAM_BYTES;

/// A put that takes longer may be an outage: from then on new commits stay in the log instead of in memory.
const SLOW_PUT: Duration = Duration::from_secs(1);

impl Shipper {
    /// Whether the open segment has room. If not, new commits stay in the log until the segment is sealed.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.has_room_up_to(if self.is_putting() { BESIDE_BYTES } else { FULL_BYTES })
    }

    /// Whether a put is in flight that began less than [`SLOW_PUT`] ago.
    fn is_putting(&self) -> bool {
        let recently = |put: Instant| put.elapsed() < SLOW_PUT;
        !self.is_spooling() && !self.queue.is_empty() && self.last_put.is_some_and(recently)
    }

    /// Whether the open segment has room for more commits inside [`Shipper::without_waiting`].
    #[must_use]
    pub fn has_room_without_waiting(&self) -> bool {
        self.has_room_up_to(NON_BLOCKING_BYTES)
    }

    fn has_room_up_to(&self, bytes_max: usize) -> bool {
        !self.spool_is_full() && self.open.as_ref().is_none_or(|open| open.has_room(bytes_max))
    }

    /// Runs `work`, during which appending does not block on the store: entries stay in memory, whatever their size.
    pub fn without_waiting<T>(&mut self, work: impl FnOnce(&mut Shipper) -> T) -> T {
        self.non_blocking = true;
        let done = work(self);
        self.non_blocking = false;
        done
    }
}
