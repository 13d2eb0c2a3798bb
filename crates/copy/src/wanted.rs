//! What is to be copied, in its order: wrapped keys, the history, the marks, and the horizons, which promise what comes
//! before them.

use std::collections::{BTreeSet, HashMap};

use ebbtide_catalog::{StoredHorizon, list, newest_horizon, read_marks};
use ebbtide_replica::{Horizon, Key, KeyPrefix, Manifest};
use ebbtide_store::{Object, Store, StoreError};

use crate::error::CopyError;
use crate::order::{Item, in_order};
use crate::since::Part;

/// What is to be copied.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) items: Vec<Item>,
    /// The newest segment.
    pub(crate) newest: Option<Object>,
}

/// Where a copy begins, if earlier history is left out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beginning<'a> {
    pub(crate) horizon: &'a Horizon,
    /// The horizons of the source are the copy's, too.
    pub(crate) has_horizons: bool,
}

impl Wanted {
    /// What the source has. The newest horizon is read first: what it names was put before it, so that it is in what is
    /// listed after that.
    pub(crate) async fn list(
        from: &dyn Store,
        manifest: &Manifest,
        beginning: Option<Beginning<'_>>,
    ) -> Result<Wanted, CopyError> {
        let failed = |error: StoreError| CopyError::Source(error.into());
        let newest = newest_horizon(from, manifest).await.map_err(CopyError::Source)?;
        let mut horizons = from.list(KeyPrefix::Horizon, None).await.map_err(failed)?;
        horizons.retain(|object| {
            newest.as_ref().is_some_and(|newest| object.key <= newest.horizon.key())
        });
        let listing = list(from).await.map_err(failed)?;
        let marks = from.list(KeyPrefix::Mark, None).await.map_err(failed)?;
        let doomed = match newest {
            Some(newest) if !marks.is_empty() => {
                let claimed = claims_back(from, manifest, &newest).await?;
                if claimed { BTreeSet::new() } else { condemned(&newest) }
            }
            Some(newest) => condemned(&newest),
            None => BTreeSet::new(),
        };
        // What is listed by now names no key that came later.
        let keys = match manifest.encryption {
            Some(_) => from.list(KeyPrefix::Wrapped, None).await.map_err(failed)?,
            None => Vec::new(),
        };
        let alone = |object| Item { object, instead: Vec::new() };
        let mut items: Vec<Item> = keys.into_iter().map(alone).collect();
        items.extend(in_order(&listing));
        items.retain(|item| !doomed.contains(&item.object.key));
        items.extend(marks.into_iter().chain(horizons).map(alone));
        if let Some(Beginning { horizon, has_horizons }) = beginning {
            let part = Part::of(horizon, &listing);
            let is_horizon = |item: &Item| matches!(item.object.key, Key::Horizon(_));
            items.retain(|item| part.needs(item.object) || has_horizons && is_horizon(item));
        }
        Ok(Wanted { items, newest: listing.log.last().copied() })
    }
}

impl Wanted {
    /// Leaves out what has no place in a copy in another form: the keys of the source.
    pub(crate) fn keep_recast(&mut self) {
        self.items.retain(|item| !matches!(item.object.key, Key::Wrapped { .. }));
    }
}

/// What is to be deleted: nobody relies on it.
fn condemned(newest: &StoredHorizon) -> BTreeSet<Key> {
    newest.horizon.contents.condemned.iter().map(|object| object.name).collect()
}

/// Whether a mark may rely on what is condemned, because the horizon does not keep its state yet.
async fn claims_back(
    from: &dyn Store,
    manifest: &Manifest,
    newest: &StoredHorizon,
) -> Result<bool, CopyError> {
    let horizon = &newest.horizon;
    let marks = read_marks(from, manifest).await.map_err(CopyError::Source)?.marks;
    let is_kept = |txid| horizon.contents.states.iter().any(|state| state.txid == txid);
    let mut marked = marks.iter().map(|stored| stored.mark.txid);
    Ok(marked.any(|txid| txid < horizon.window && !is_kept(txid)))
}

/// All that a store has, by its names, with the sizes.
pub(crate) async fn names(store: &dyn Store) -> Result<HashMap<Key, u64>, StoreError> {
    let (listing, marks, horizons, keys) = futures::try_join!(
        list(store),
        store.list(KeyPrefix::Mark, None),
        store.list(KeyPrefix::Horizon, None),
        store.list(KeyPrefix::Wrapped, None),
    )?;
    let listed = listing.objects().chain(listing.junk.iter().copied());
    let objects = listed.chain(marks).chain(horizons).chain(keys);
    Ok(objects.map(|object| (object.key, object.size)).collect())
}
