//! When the shipper uses its spool: from the moment at which the log cannot wait any longer until the spool is empty
//! again, so that nothing overtakes what lies in it.

use ebbtide_replica::Txid;

use crate::error::Error;
use crate::part::Sealed;
use crate::segment::Head;
use crate::shipper::Shipper;
use crate::spool::Found;

impl Shipper {
    /// Uses the spool from now on.
    pub fn spill(&mut self) {
        if self.spilling || self.queue.is_empty() {
            return;
        }
        self.spilling = true;
        tracing::warn!("the log cannot wait for the store any longer; spooling on the local disk");
        if let Some((front, body)) = self.queue.unspooled() {
            let (key, txid, wal) = (front.key, front.position.txid, front.position.wal);
            let keep = self.spool.keep(Sealed::Whole(body), key, txid, wal);
            self.queue.spool_besides(key, keep);
        }
    }

    /// Whether everything that was appended is durable, or in the spool if this process dies.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        let is_sealed = self.waiting.is_empty() && self.open.is_none();
        self.is_durable() || self.spilling && is_sealed && !self.queue.is_spooling()
    }

    /// Whether the spool is in use, and takes no more.
    #[must_use]
    pub fn spool_is_full(&self) -> bool {
        self.spilling && !self.spool.has_room(0)
    }

    /// Takes up what was left in the spool, `head` being the replica's last entry: what the replica has by now is
    /// confirmed, the rest is on its way.
    pub(crate) fn take_up(&mut self, spooled: Vec<Found>, head: Txid) -> Result<(), Error> {
        for Found { object, position, entries } in spooled {
            let mut pages = 0;
            for (changed, database_pages) in entries {
                pages += changed.len() as u64;
                self.ledger.record(&changed, database_pages)?;
            }
            if self.ledger.digest() != position.digest {
                let why = "its pages are not those of the entry";
                return Err(Error::Unproven { txid: position.txid, why });
            }
            self.head = Head { txid: position.txid, chain: position.chain, time: position.time };
            self.ledger.seal();
            if position.txid <= head {
                self.ledger.confirm(position)?;
                self.spool.release(object.key, object.size, pages);
            } else {
                self.spilling = true;
                self.queue.found(object.key, position, pages, object.size);
            }
        }
        Ok(())
    }

    /// Puts what is not durable into the spool, as far as that goes, because the log will not be held for it any more:
    /// it is there for the next start.
    ///
    /// # Errors
    /// As [`Shipper::append`].
    pub async fn retire(mut self) -> Result<(), Error> {
        self.encode()?;
        while self.queue.is_spooling() || self.open.is_some() {
            if !self.queue.is_spooling() {
                self.seal()?;
            }
            self.queue.spooled_next(&mut self.spool).await?;
        }
        Ok(())
    }
}
