//! Whether the database is in a state that its replica has left behind: then it is older than the replica, and not one
//! that was changed while nobody looked.

use std::pin::pin;

use ebbtide_replica::store::Object;
use ebbtide_replica::{EntryKind, Folder, Txid, catalog};
use futures::TryStreamExt as _;

use crate::error::Error;
use crate::image::Difference;
use crate::shipper::Shipper;

impl Shipper {
    /// The newest entry among the last `segments_max` segments after which the database was as `found` says it is, if
    /// there is one. That it is the state of the last entry is not asked here.
    ///
    /// # Errors
    /// When the replica cannot be read.
    pub async fn find_older(
        &self,
        found: &Difference,
        segments_max: usize,
    ) -> Result<Option<Txid>, Error> {
        let store = &*self.store;
        let Some(manifest) = catalog::read_manifest(store).await? else { return Ok(None) };
        let log: Vec<Object> = store.list(Folder::Log, None).await?;
        let newest_first = log.into_iter().rev().take(segments_max).collect();
        let mut indexes = pin!(catalog::read_indexes(store, &manifest, newest_first));
        while let Some((_, fetched)) = indexes.try_next().await? {
            let same = fetched.index.entries().iter().rev().find(|entry| {
                entry.kind != EntryKind::Claim
                    && entry.digest == found.digest
                    && entry.database_pages == found.database_pages
            });
            if let Some(entry) = same {
                return Ok(Some(entry.txid));
            }
        }
        Ok(None)
    }
}
