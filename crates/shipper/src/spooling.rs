//! The spooling mode. It begins when the log may not grow any further during an outage, and ends when the spool is
//! empty: until then all segments go through the spool, so that they reach the store in order.

use ebbtide_replica::Txid;

use crate::error::Error;
use crate::outgoing::Sealed;
use crate::shipper::Shipper;
use crate::spool::SpooledSegment;

/// Where sealed segments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Into the store.
    Direct,
    /// Into the spool on the local disk, because the log cannot wait for the store.
    Spooling,
}

impl Shipper {
    pub(crate) fn is_spooling(&self) -> bool {
        self.mode == Mode::Spooling
    }

    /// Switches to spooling, if a segment is in flight.
    pub fn start_spooling(&mut self) {
        if self.is_spooling() || self.queue.is_empty() {
            return;
        }
        self.mode = Mode::Spooling;
        tracing::warn!("the log cannot wait for the store any longer; spooling on the local disk");
        if let Some((front, body)) = self.queue.unspooled() {
            let (key, txid, wal) = (front.key, front.position.state.txid(), front.position.wal);
            let write = self.spool.write(Sealed::Whole(body), key, txid, wal);
            self.queue.spool_besides(key, write);
        }
    }

    /// Whether every appended entry is in the store or in the spool, and so survives a crash of this process.
    #[must_use]
    pub fn is_durable_or_spooled(&self) -> bool {
        let is_sealed = self.batch.is_empty() && self.open.is_none();
        self.is_durable() || self.is_spooling() && is_sealed && !self.queue.is_writing_spool()
    }

    /// Whether the shipper is spooling and the spool is full.
    #[must_use]
    pub fn spool_is_full(&self) -> bool {
        self.is_spooling() && !self.spool.has_room(0)
    }

    /// Resumes with the segments that an earlier run left in the spool. Segments up to `head`, the replica's last
    /// entry, are confirmed; later ones are queued.
    pub(crate) fn take_up(
        &mut self,
        spooled: Vec<SpooledSegment>,
        head: Txid,
    ) -> Result<(), Error> {
        for SpooledSegment { object, position, entries } in spooled {
            let mut pages = 0;
            for (changed, database_pages) in entries {
                pages += changed.len() as u64;
                self.page_hashes.record(&changed, database_pages)?;
            }
            if self.page_hashes.digest() != position.state.digest {
                let why = "its pages are not those of the entry";
                return Err(Error::Unproven { txid: position.state.txid(), why });
            }
            self.head = position.state;
            self.page_hashes.seal();
            if position.state.txid() <= head {
                self.page_hashes.confirm(position)?;
                self.spool.release(object.key, object.size, pages);
            } else {
                self.mode = Mode::Spooling;
                self.queue.push_spooled(object.key, position, pages, object.size);
            }
        }
        Ok(())
    }

    /// Writes the open segment into the spool before the log is released. The next start sends it from there.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub async fn drain(mut self) -> Result<(), Error> {
        self.encode()?;
        while self.queue.is_writing_spool() || self.open.is_some() {
            if !self.queue.is_writing_spool() {
                self.seal()?;
            }
            self.queue.spooled_next(&mut self.spool).await?;
        }
        Ok(())
    }
}
