//! Brings sealed segments into the store, in order: directly, or through the spool during an outage that lasts longer
//! than the log may grow.

use std::sync::Arc;

use ebbtide_replica::Key;
use ebbtide_state::Position;

use crate::error::Error;
use crate::log_object::LogObject;
use crate::outgoing::Sealed;
use crate::pack::Packer;
use crate::parts::Parts;
use crate::presence::Presence;
use crate::queue::{Event, Queue};
use crate::sealed::SealedSegment;
use crate::spool::Spool;

/// Where sealed segments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Into the store.
    Direct,
    /// Into the spool on the local disk, because the log cannot wait for the store. This mode ends when the queue is
    /// empty: until then all segments go through the spool, so that they reach the store in order.
    Spooling,
}

/// The segments between the encoder and the store.
///
/// Invariants: segments become visible in the store in the order in which they are accepted, and a segment counts as
/// durable only after [`Presence::confirm`]. The segments in the spool continue the replica without a gap.
pub(crate) struct Uploader {
    presence: Arc<Presence>,
    queue: Queue,
    spool: Spool,
    mode: Mode,
    packer: Packer,
    /// The segments that became durable and that nobody has asked for yet.
    landed: Vec<LogObject>,
}

impl Uploader {
    /// An uploader into the store of `presence`, without segments.
    pub(crate) fn new(presence: Arc<Presence>, spool: Spool) -> Uploader {
        Uploader {
            presence,
            queue: Queue::default(),
            spool,
            mode: Mode::Direct,
            packer: Packer::new(),
            landed: Vec::new(),
        }
    }

    /// The replica that segments are put into.
    pub(crate) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    /// Whether every accepted segment is durable.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether segments go into the spool.
    pub(crate) fn is_spooling(&self) -> bool {
        self.mode == Mode::Spooling
    }

    /// Whether the next segment can be written into the spool now.
    pub(crate) fn can_spool(&self) -> bool {
        self.is_spooling() && !self.queue.is_writing_spool()
    }

    /// Whether a write into the spool is in flight.
    pub(crate) fn is_writing_spool(&self) -> bool {
        self.queue.is_writing_spool()
    }

    /// Whether the spool has room for another segment of about `expected` bytes.
    pub(crate) fn has_spool_room(&self, expected: u64) -> bool {
        self.spool.has_room(expected)
    }

    /// Whether a streamed segment is in flight: if its upload fails, the transaction must be read from the log again.
    pub(crate) fn needs_log(&self) -> bool {
        self.queue.has_streamed()
    }

    /// Begins the upload of a segment of about `expected` bytes that is still being encoded.
    pub(crate) fn begin(&self, key: Key, expected: u64) -> Parts {
        match self.mode {
            Mode::Spooling => Parts::begin(self.spool.disk(), key, expected, None),
            Mode::Direct => {
                let (to, before) = (self.presence.destination(), self.queue.last_visible());
                Parts::begin(to, key, expected, before)
            }
        }
    }

    /// Accepts the segment after the last one.
    pub(crate) fn accept(&mut self, segment: SealedSegment) {
        let SealedSegment { key, position, pages, body } = segment;
        if let Some(encryption) = &self.presence.destination().encryption {
            encryption.recent().write();
        }
        let bytes = body.length();
        let is_streamed = matches!(body, Sealed::Streamed(..));
        if self.is_spooling() && (is_streamed || !self.queue.is_empty()) {
            self.spool.count_pages(pages);
            let write = self.spool.write(body, key, &position);
            self.queue.spool(key, position, (pages, bytes), write);
            return;
        }
        let whole = match &body {
            Sealed::Whole(body) => Some(body.clone()),
            Sealed::Streamed(..) => None,
        };
        let (presence, last) = (Arc::clone(&self.presence), position.state.txid());
        let land = async move {
            body.land(presence.destination(), &key).await?;
            presence.confirm(key, last).await
        };
        self.queue.send(key, position, (pages, bytes), whole, land);
    }

    /// Accepts a segment that an earlier run has spooled, with `bytes` and `pages` changed pages.
    pub(crate) fn accept_spooled(&mut self, key: Key, position: Position, pages: u64, bytes: u64) {
        self.mode = Mode::Spooling;
        self.queue.push_spooled(key, position, pages, bytes);
    }

    /// Removes a segment from the spool that an earlier run has spooled, and that is durable.
    pub(crate) fn release_spooled(&mut self, key: Key, pages: u64, bytes: u64) {
        self.spool.release(key, bytes, pages);
    }

    /// Switches to spooling, if a segment is in flight.
    pub(crate) fn start_spooling(&mut self) {
        if self.is_spooling() || self.queue.is_empty() {
            return;
        }
        self.mode = Mode::Spooling;
        tracing::warn!("the log cannot wait for the store any longer; spooling on the local disk");
        if let Some((front, body)) = self.queue.unspooled() {
            let key = front.key;
            let write = self.spool.write(Sealed::Whole(body), key, &front.position);
            self.queue.spool_also(key, write);
        }
    }

    /// Waits until the oldest segment is durable, and returns its position; nothing if a segment was spooled instead.
    /// Never returns if there is no segment. Cancel-safe.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process has taken over; [`Error::Lost`] when a streamed upload was lost.
    pub(crate) async fn landed(&mut self) -> Result<Option<Position>, Error> {
        match self.queue.next(&mut self.spool, &self.presence).await? {
            Event::Spooled => Ok(None),
            Event::Landed(landed) => {
                self.packer.landed(&self.presence, landed.key, landed.body());
                let last = landed.position.state.txid();
                self.landed.push(LogObject::segment(landed.key, last, landed.bytes));
                if self.is_spooling() && self.queue.is_empty() {
                    tracing::info!("the spool is empty again");
                    self.mode = Mode::Direct;
                }
                Ok(Some(landed.position))
            }
        }
    }

    /// Waits until no pack is being made.
    pub(crate) async fn settle_packs(&mut self) {
        self.packer.settle().await;
    }

    /// What came into the log since the last call: segments, and then packs.
    pub(crate) fn take_appended(&mut self) -> Vec<LogObject> {
        let mut appended = std::mem::take(&mut self.landed);
        appended.append(&mut self.packer.take_made());
        appended
    }

    /// Waits for the write into the spool that is in flight, if there is one.
    pub(crate) async fn spooled(&mut self) -> Result<(), Error> {
        self.queue.spooled_next(&mut self.spool).await
    }

    /// The number of segments that are not durable.
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}
