//! The end of a history that grows while it is looked for.
//!
//! A listing may lag behind, so a plan for the newest state looks for the segment after its last one by name, and if that is
//! there, for the next. Beside a writer that puts segments as fast as they are read this would never end, and it need not: a
//! listing that shows what was only just found does not lag, and it shows all that was durable when the plan was asked for.

use ebbtide_replica::{Key, KeyPrefix, Txid};
use ebbtide_store::Object;

use super::Survey;
use crate::plan_error::Result;

/// So many segments are found one by one before the log is listed again.
const LOOKS: u32 = 32;

/// How often it is listed before a listing that still does not show them is waited for no longer.
const LISTINGS_MAX: u32 = 32;

/// How far the end of the history was followed for one plan.
#[derive(Debug, Default)]
pub(super) struct Chase {
    looks: u32,
    listings: u32,
    is_over: bool,
}

impl Survey {
    /// Whether there is more after `last`, the newest entry of a plan, that belongs to the newest state.
    pub(super) async fn has_grown(&mut self, last: Txid) -> Result<bool> {
        let next = Key::Log(last.next());
        if self.chase.is_over || !self.look_for(next).await? {
            return Ok(false);
        }
        self.chase.looks += 1;
        if self.chase.looks < LOOKS {
            return Ok(true);
        }
        let listed = self.store.list(KeyPrefix::Log, Some(&Key::Log(last))).await?;
        self.chase = Chase {
            looks: 0,
            listings: self.chase.listings + 1,
            is_over: listed.first().is_some_and(|object| object.key == next)
                || self.chase.listings + 1 >= LISTINGS_MAX,
        };
        // The first one is known, by a time of its own.
        let news = listed.into_iter().filter(|object| object.key != next);
        news.for_each(|object| self.known.found(object));
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
