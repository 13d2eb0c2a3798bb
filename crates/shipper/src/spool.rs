//! The spool: complete segments on the local disk, used when an outage lasts longer than the log may grow.
//!
//! It lies in the directory of the local state and has the layout of a replica's log, so a [`DirectoryStore`] writes and
//! reads it: an object is complete or absent, and durable before the log is released. The spooled segments continue the
//! replica's log: the same bytes are put later under the same names. `end.json` beside the segments has the log
//! position of the last one. Without it, or with an outdated one, a start compares pages instead of reading on in the
//! log.
//!
//! Those of an encrypted replica are encrypted here, too, and beside them lie the page keys that they name, wrapped: the
//! store may have neither of them yet, and what is in memory ends with the process.
//!
//! Segments that do not continue the replica's log are removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyDocument, KeyPrefix, Manifest};
use ebbtide_state::Position;
use ebbtide_store::{DirectoryStore, KeyedStore, Store, StoreError, WrappedKey};

use crate::destination::Destination;
use crate::error::Error;
use crate::key_put::try_put_key_of;
use crate::outgoing::Sealed;
use crate::spool_directory::{self, spool_directory};
use crate::spool_end::{spooled_end, write_spooled_end};
use crate::spooled::{QueuedBody, SpooledSegment, SpooledSegments};
use crate::store_health::{Spooled, StoreHealth};

/// The limit of page hashes in memory that belong to spooled segments, about 45 bytes each.
const PAGES_MAX: u64 = 1_000_000;

/// The spooled segments of one database.
#[derive(Debug)]
pub(crate) struct Spool {
    /// The local disk. Its health is not that of the replica's store.
    disk: Destination,
    state_directory: PathBuf,
    bytes_max: u64,
    spooled: Spooled,
    pages: u64,
    /// The fill level is reported here.
    health: Arc<StoreHealth>,
    /// A write to the local disk failed: nothing is written until the next start.
    failed: bool,
}

impl Spool {
    /// The spool in `state_directory` of what goes to `to`, with at most `bytes_max`. The first write creates its
    /// directory.
    pub(crate) fn new(
        state_directory: &Path,
        bytes_max: u64,
        to: &Destination,
    ) -> Result<Spool, StoreError> {
        let store = DirectoryStore::within(state_directory, spool_directory::NAME)?;
        let mut store: Arc<dyn Store> = Arc::new(store);
        if let Some(keyring) = to.store.keyring() {
            store = Arc::new(KeyedStore::new(store, Arc::clone(keyring)));
        }
        Ok(Spool {
            disk: Destination::new(store, Arc::default()).encrypted(to.encryption.clone()),
            state_directory: state_directory.to_path_buf(),
            bytes_max,
            spooled: Spooled::default(),
            pages: 0,
            health: Arc::clone(&to.health),
            failed: false,
        })
    }

    /// Whether there is room for another segment of about `expected` bytes.
    pub(crate) fn has_room(&self, expected: u64) -> bool {
        !self.failed
            && self.spooled.bytes.saturating_add(expected) <= self.bytes_max
            && self.pages <= PAGES_MAX
    }

    /// The local disk as a store.
    pub(crate) fn disk(&self) -> &Destination {
        &self.disk
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.disk.store
    }

    /// Counts the page hashes of a segment that is being spooled.
    pub(crate) fn count_pages(&mut self, pages: u64) {
        self.pages += pages;
    }

    fn count(&mut self, bytes: u64) {
        self.spooled.segments += 1;
        self.spooled.bytes += bytes;
        self.health.note_spooled(self.spooled);
    }

    /// Counts a spooled segment, or notes that the write failed.
    pub(crate) fn note_written(&mut self, queued: &QueuedBody) {
        match queued {
            QueuedBody::Spooled(bytes) => self.count(*bytes),
            QueuedBody::Memory(_) => self.failed = true,
        }
    }

    /// Removes a segment that the store has confirmed.
    pub(crate) fn release(&mut self, key: Key, bytes: u64, pages: u64) {
        let Spooled { segments, bytes: before } = self.spooled;
        self.spooled =
            Spooled { segments: segments.saturating_sub(1), bytes: before.saturating_sub(bytes) };
        self.health.note_spooled(self.spooled);
        self.pages = self.pages.saturating_sub(pages);
        // Blocks for one unlink on the local disk. A file that stays is removed by the next start.
        let key = key.to_string();
        let name = key.rsplit('/').next().unwrap_or_default();
        let removed =
            spool_directory(&self.state_directory).and_then(|directory| match directory {
                Some((directory, _)) => directory.within(KeyPrefix::Log.name())?.remove(name),
                None => Ok(false),
            });
        if let Err(error) = removed {
            tracing::warn!(%error, %key, "cannot remove a segment from the spool");
        }
    }

    /// Writes a complete segment, after which the replica is at `position`. If the write fails the segment stays in memory, unless it was streamed into the
    /// spool.
    pub(crate) fn write(
        &self,
        sealed: Sealed,
        key: Key,
        position: &Position,
    ) -> impl Future<Output = Result<QueuedBody, Error>> + Send + 'static {
        let (disk, state_directory) = (self.disk.clone(), self.state_directory.clone());
        let (last, wal) = (position.state.txid(), position.wal);
        async move {
            let queued = match sealed {
                Sealed::Whole(body) => match write(&disk, &key, body.clone()).await {
                    Ok(()) => QueuedBody::Spooled(body.len() as u64),
                    Err(error) => {
                        tracing::error!(%error, "cannot spool on the local disk; the log waits");
                        return Ok(QueuedBody::Memory(body));
                    }
                },
                Sealed::Streamed(task, _) => {
                    task.await??;
                    QueuedBody::Spooled(disk.store.size(&key).await?.unwrap_or_default())
                }
            };
            if let Some(wal) = wal
                && let Err(error) = write_spooled_end(&state_directory, last, wal)
            {
                tracing::warn!(%error, "cannot note the end of the spool");
            }
            Ok(queued)
        }
    }

    /// The spooled segments that continue `position`, and the others. Only reads.
    pub(crate) async fn find_continuing(
        &self,
        manifest: &Manifest,
        position: &Position,
    ) -> Result<SpooledSegments, Error> {
        let (mut found, mut last) = (SpooledSegments::default(), position.clone());
        let keys = self.disk.store.list(KeyPrefix::Wrapped, None).await?;
        found.keys = keys.iter().map(|object| object.key).collect();
        for object in self.disk.store.list(KeyPrefix::Log, None).await? {
            let next = SpooledSegment::read(&*self.disk.store, manifest, object, &last).await;
            match next.filter(|next| found.has_key_of(next)) {
                Some(next) => {
                    last = next.position.clone();
                    found.continuing.push(next);
                }
                None => found.others.push(object.key),
            }
        }
        if let (Some(found), Some((txid, wal))) =
            (found.continuing.last_mut(), spooled_end(&self.state_directory))
            && txid == found.position.state.txid()
        {
            found.position.wal = Some(wal);
        }
        Ok(found)
    }

    /// Goes on with the segments that continue the replica, and removes the others.
    pub(crate) async fn keep(&mut self, found: &SpooledSegments) -> Result<(), Error> {
        if found.continuing.is_empty() {
            return self.clear().await;
        }
        self.disk.store.sweep().await?;
        for key in &found.others {
            self.disk.store.delete(key).await?;
        }
        for &key in &found.keys {
            let (Some(encryption), Key::Wrapped { id, .. }) = (&self.disk.encryption, key) else {
                continue;
            };
            let body = self.disk.store.get(&key, KeyDocument::WRAPPED_MAX as u64).await?;
            encryption.take_over(WrappedKey::found(id, body));
        }
        for segment in &found.continuing {
            self.count(segment.object.size);
            self.pages += segment.pages();
        }
        Ok(())
    }

    /// Removes all spooled segments.
    pub(crate) async fn clear(&mut self) -> Result<(), Error> {
        self.disk.store.sweep().await?;
        for prefix in [KeyPrefix::Log, KeyPrefix::Wrapped] {
            for object in self.disk.store.list(prefix, None).await? {
                self.disk.store.delete(&object.key).await?;
            }
        }
        (self.spooled, self.pages) = (Spooled::default(), 0);
        self.health.note_spooled(self.spooled);
        Ok(())
    }
}

/// Writes a complete segment, once the key that it names is there.
async fn write(disk: &Destination, key: &Key, body: Bytes) -> Result<(), Error> {
    try_put_key_of(disk, key, &body).await?;
    Ok(disk.store.put(key, body).await?)
}
