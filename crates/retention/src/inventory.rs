//! What there is of a replica, and how old it is by the store's clock.

use std::collections::BTreeMap;
use std::sync::Arc;

use ebbtide_catalog::{Listing, Progress, StoredHorizon, Survey, first_of};
use ebbtide_replica::container::Index;
use ebbtide_replica::{Key, Timestamp};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::{PruneError, Result};

/// How many objects are asked for by their names at a time.
const ASKED_AT_ONCE: usize = 64;

/// A replica as it was found.
#[derive(Debug)]
pub(crate) struct Inventory {
    pub(crate) survey: Survey,
    /// By the store's clock.
    pub(crate) now: Timestamp,
}

impl Inventory {
    /// Looks at the replica at `now`.
    pub(crate) async fn look(store: Arc<dyn Store>, now: Timestamp) -> Result<Inventory> {
        let survey = Survey::new(store, Arc::new(Progress::default())).await?;
        let inventory = Inventory { survey, now };
        inventory.check_named().await?;
        Ok(inventory)
    }

    pub(crate) fn listing(&self) -> &Listing {
        self.survey.known().listing()
    }

    pub(crate) fn horizon(&self) -> Option<&StoredHorizon> {
        self.survey.known().stored_horizon()
    }

    /// The number of the next horizon.
    pub(crate) fn next_number(&self) -> u64 {
        self.horizon().map_or(1, |stored| stored.horizon.number + 1)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &**self.survey.store()
    }

    /// All listed objects by their names.
    pub(crate) fn by_name(&self) -> BTreeMap<Key, Object> {
        self.listing().objects().map(|object| (object.key, object)).collect()
    }

    /// Whether what the newest horizon relies on is there. Where a segment is gone, a pack serves.
    async fn check_named(&self) -> Result<()> {
        let Some(stored) = self.horizon() else { return Ok(()) };
        let listed = self.by_name();
        let named = stored.horizon.contents.objects.iter().map(|object| object.name);
        let unlisted = named.filter(|name| !listed.contains_key(name) && !self.is_packed(*name));
        let gone = self.gone(unlisted.collect()).await?;
        if gone.is_empty() { Ok(()) } else { Err(PruneError::Missing(gone)) }
    }

    /// Whether it is a segment whose first entry is in a pack.
    pub(crate) fn is_packed(&self, key: Key) -> bool {
        matches!(key, Key::Log(first) if self.listing().packs_with(first).next().is_some())
    }

    /// Whether an object begins where one with this index ends, and continues it: what nobody continues may be void, and of
    /// what is continued no segment reaches further.
    pub(crate) async fn is_continued(&self, index: &Index) -> Result<bool> {
        let next = index.footer().last.next();
        let listing = self.listing();
        let after = listing.packs_with(next).chain(listing.segment_of(next));
        for object in after.filter(|object| first_of(object.key) == Some(next)) {
            match self.survey.index(object).await {
                Ok(after) if after.index.header().chain() == Some(index.footer().chain) => {
                    return Ok(true);
                }
                Err(error) if !error.is_about_object() => return Err(error.into()),
                _ => {}
            }
        }
        Ok(false)
    }

    /// Those of these objects that are not there: each is asked for by its name, because a listing may lag.
    pub(crate) async fn gone(&self, keys: Vec<Key>) -> Result<Vec<Key>> {
        let asked = stream::iter(keys)
            .map(|key| async move { self.store().size(&key).await.map(|size| (key, size)) })
            .buffered(ASKED_AT_ONCE);
        let gone =
            asked.try_filter_map(|(key, size)| async move { Ok(size.is_none().then_some(key)) });
        Ok(gone.try_collect().await?)
    }
}
