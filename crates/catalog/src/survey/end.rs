//! The end of the history: segments that a listing does not show.

use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::Object;

use super::Survey;
use crate::plan_error::Result;

impl Survey {
    /// Whether there is more after `last`, the newest entry of a plan, that belongs to the newest state.
    pub(super) async fn has_grown(&mut self, last: Txid) -> Result<bool> {
        let next = Key::Log(last.next());
        if self.chase.is_over() || !self.look_for(next).await? {
            return Ok(false);
        }
        if self.chase.found() {
            let listed = self.store.list(KeyPrefix::Log, Some(&Key::Log(last))).await?;
            self.chase.listed(listed.first().is_some_and(|object| object.key == next));
            // The first one is known, by a time of its own.
            let news = listed.into_iter().filter(|object| object.key != next);
            news.for_each(|object| self.known.found(object));
        }
        Ok(true)
    }

    /// Looks for a segment that the listing does not show, because listings may lag behind.
    pub(super) async fn look_for(&mut self, key: Key) -> Result<bool> {
        let listed = self.known.listing().log.iter().any(|object| object.key == key);
        if listed || self.known.fault(key).is_some() {
            return Ok(false);
        }
        let Some(size) = self.store.size(&key).await? else { return Ok(false) };
        self.known.found(Object::new(key, size));
        Ok(true)
    }
}
