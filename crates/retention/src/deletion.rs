//! Deletes by the names that were decided on, a batch at a time, and says what stays nevertheless.

use ebbtide_catalog::StoredHorizon;
use ebbtide_fault::point;
use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_store::{NotDeleted, Object, Store};

use crate::error::{PruneError, Result};

/// How many objects are deleted between two looks at the horizons.
const BATCH: usize = 1000;

/// What was deleted.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Deleted {
    /// How many objects.
    pub objects: u64,
    /// Of how many bytes.
    pub bytes: u64,
    /// What the store did not let go, and why: no permission, or an object lock.
    pub retained: Vec<NotDeleted>,
}

impl Deleted {
    fn add(&mut self, batch: &[Object], left: Vec<NotDeleted>) {
        let stays = |object: &&Object| left.iter().any(|(key, _)| *key == object.key);
        let gone = batch.iter().filter(|object| !stays(object));
        let (objects, bytes) =
            gone.fold((0, 0), |(objects, bytes), object| (objects + 1, bytes + object.size));
        self.objects += objects;
        self.bytes += bytes;
        self.retained.extend(left);
    }
}

/// Deletes these objects in their order.
pub(crate) async fn delete(store: &dyn Store, objects: &[Object]) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    for batch in objects.chunks(BATCH) {
        delete_batch(store, batch, &mut deleted).await?;
    }
    Ok(deleted)
}

/// The same for what `horizon` has condemned, as long as it is the newest one.
pub(crate) async fn delete_condemned(
    store: &dyn Store,
    horizon: &StoredHorizon,
    objects: &[Object],
) -> Result<Deleted> {
    let mut deleted = Deleted::default();
    let newest = horizon.horizon.key();
    for batch in objects.chunks(BATCH) {
        if !store.list(KeyPrefix::Horizon, Some(&newest)).await?.is_empty() {
            return Err(PruneError::Overtaken);
        }
        delete_batch(store, batch, &mut deleted).await?;
    }
    Ok(deleted)
}

async fn delete_batch(store: &dyn Store, batch: &[Object], deleted: &mut Deleted) -> Result<()> {
    point("prune.delete.batch");
    let keys: Vec<Key> = batch.iter().map(|object| object.key).collect();
    let left = store.delete_many(&keys).await?;
    deleted.add(batch, left);
    point("prune.delete.done");
    Ok(())
}

/// Segments and packs the oldest first, deltas the newest first, snapshots last: what is left over by a kill is refused or
/// planned around, because it lacks a beginning.
pub(crate) fn in_order(mut objects: Vec<Object>) -> Vec<Object> {
    objects.sort_by_key(|object| match object.key {
        Key::Log(first) => (0, first.get(), object.key),
        Key::Pack { first, .. } => (1, first.get(), object.key),
        Key::Delta { first, .. } => (2, u64::MAX - first.get(), object.key),
        _ => (3, 0, object.key),
    });
    objects
}
