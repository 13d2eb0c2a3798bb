//! Single states, for who decides which ones are kept: how each is had, and until when it was that of the database.

use ebbtide_replica::{Chain, Timestamp, Txid, Vouch};
use ebbtide_store::Object;

use super::Survey;
use crate::known::first_of;
use crate::plan::{Goal, Plan, Refusal};
use crate::plan_error::Result;

impl Survey {
    /// The state after `txid` has this chain, as a mark states it. It can be planned for from now on.
    pub fn add_mark(&mut self, txid: Txid, chain: Chain) {
        self.known.add_mark(txid, chain);
    }

    /// The way to the state after `txid`, or why there is none.
    pub async fn plan_for(&mut self, txid: Txid) -> Result<std::result::Result<Plan, Refusal>> {
        self.drive(Goal::Txid(txid)).await
    }

    /// The time of the entry after `txid`, until which the state was that of the database, if an object has that entry.
    pub async fn time_after(&self, txid: Txid) -> Result<Option<Timestamp>> {
        let next = txid.next();
        for object in self.holders(next) {
            let begins = first_of(object.key) == Some(next);
            if let Some(piece) = self.known.piece(object.key).filter(|_| begins) {
                return Ok(Some(piece.first_time));
            }
            match self.index(object).await {
                Ok(fetched) => {
                    let entries = fetched.index.entries();
                    if let Some(entry) = entries.iter().find(|entry| entry.txid == next) {
                        return Ok(Some(entry.time));
                    }
                }
                Err(error) if error.is_about_object() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// The objects that have an entry, judging by their names.
    fn holders(&self, txid: Txid) -> Vec<Object> {
        let listing = self.known.listing();
        let holders = listing.packs_with(txid).chain(listing.segment_of(txid));
        holders.filter(|object| self.known.is_usable(object.key)).collect()
    }

    /// Reads what has the entry after `txid`, which mostly vouches for a delta to that state if there is one.
    pub async fn learn_after(&mut self, txid: Txid) -> Result<()> {
        let holders = self.holders(txid.next());
        self.learn(holders).await
    }

    /// Takes note of what entries vouch for whose objects were read for something else.
    pub fn note_vouches(&mut self, vouches: impl IntoIterator<Item = Vouch>) {
        self.known.note_vouches(vouches);
    }

    /// Reads the indexes of those of these objects that were not read yet. What cannot be used is excluded.
    pub async fn learn(&mut self, objects: impl IntoIterator<Item = Object>) -> Result<()> {
        let known = &self.known;
        let unread = objects
            .into_iter()
            .filter(|object| known.piece(object.key).is_none() && known.is_usable(object.key));
        let unread: Vec<Object> = unread.collect();
        if unread.is_empty() { Ok(()) } else { self.read(unread, Vec::new()).await }
    }
}
