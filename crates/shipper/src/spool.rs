//! The spool: complete segments on the local disk, used when an outage lasts longer than the log may grow.
//!
//! It lies in the directory of the local state and has the layout of a replica's log, so a [`FolderStore`] writes and
//! reads it: an object is complete or absent, and durable before the log is released. The spooled segments continue the
//! replica's log: the same bytes are put later under the same names. `end.json` beside the segments has the log
//! position of the last one. Without it, or with an outdated one, a start compares pages instead of reading on in the
//! log.
//!
//! Segments that do not continue the replica's log are removed.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_directory::Directory;
use ebbtide_replica::container::Index;
use ebbtide_replica::{EntryState, Folder, Key, Manifest, PageHash, Txid};
use ebbtide_state::{Position, state_directory};
use ebbtide_store::{FolderStore, Object, Store, StoreError};
use ebbtide_wal::{self as wal, PageNumber};
use serde::{Deserialize, Serialize};

use crate::destination::Destination;
use crate::error::Error;
use crate::outgoing::Sealed;
use crate::store_health::{Spooled, StoreHealth};

/// The limit of page hashes in memory that belong to spooled segments, about 45 bytes each.
const PAGES_MAX: u64 = 1_000_000;

const END: &str = "end.json";
const NEW_END: &str = "end.json.new";
const END_BYTES_MAX: u64 = 1024;

/// The spooled segments of one database.
#[derive(Debug)]
pub(crate) struct Spool {
    /// The local disk. Its health is not that of the replica's store.
    disk: Destination,
    state_folder: PathBuf,
    bytes_max: u64,
    spooled: Spooled,
    pages: u64,
    /// The fill level is reported here.
    health: Arc<StoreHealth>,
    /// A write to the local disk failed: nothing is written until the next start.
    failed: bool,
}

/// The bytes of a queued segment.
#[derive(Debug)]
pub(crate) enum Queued {
    /// In memory, because the write to the local disk failed.
    Memory(Bytes),
    /// In the spool, with this size.
    Spooled(u64),
}

/// A segment that an earlier run left in the spool.
#[derive(Debug)]
pub(crate) struct SpooledSegment {
    pub(crate) object: Object,
    /// The position after it.
    pub(crate) position: Position,
    /// For each entry the changed page hashes and the size of the database.
    pub(crate) entries: Vec<(Vec<(PageNumber, PageHash)>, u32)>,
}

/// The file that holds the log position of the last spooled segment.
#[derive(Debug, Serialize, Deserialize)]
struct SpoolEnd {
    txid: Txid,
    salts: [u8; 8],
    frame: u32,
    checksum: (u32, u32),
}

impl SpoolEnd {
    fn new(txid: Txid, at: wal::Position) -> SpoolEnd {
        let checksum = (at.checksum.s0, at.checksum.s1);
        SpoolEnd { txid, salts: at.salts.0, frame: at.frame, checksum }
    }

    fn position(&self) -> wal::Position {
        let (s0, s1) = self.checksum;
        let checksum = wal::Checksum { s0, s1 };
        wal::Position { salts: wal::Salts(self.salts), frame: self.frame, checksum }
    }
}

/// The name of the spool's directory, within the directory of the local state.
const FOLDER: &str = "spool";

/// The spool's directory within `state_folder`, if both exist, and the user id of the owner.
fn folder(state_folder: &Path) -> io::Result<Option<(Directory, u32)>> {
    let Some(private) = state_directory(state_folder).map_err(io::Error::other)? else {
        return Ok(None);
    };
    Ok(private.within(FOLDER)?.map(|(private, directory)| (directory, private.owner())))
}

/// The log position of the last spooled segment, if there is one. Capturing resumes there if the spool continues the
/// replica.
#[must_use]
pub fn spooled_end(state_folder: &Path) -> Option<(Txid, wal::Position)> {
    let end = read_end(state_folder)?;
    Some((end.txid, end.position()))
}

fn read_end(state_folder: &Path) -> Option<SpoolEnd> {
    let read = || -> io::Result<Option<Vec<u8>>> {
        let Some((folder, owner)) = folder(state_folder)? else { return Ok(None) };
        let file = match folder.read_ours(END, owner) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(END_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    match read() {
        Ok(bytes) => serde_json::from_slice(&bytes?).ok(),
        Err(error) => {
            tracing::warn!(%error, "cannot read where the spool ends; comparing instead");
            None
        }
    }
}

/// Without fsync: if a power failure leaves an outdated or torn file, the next start compares pages.
fn write_end(state_folder: &Path, end: &SpoolEnd) -> io::Result<()> {
    let Some((folder, owner)) = folder(state_folder)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    folder.remove(NEW_END)?;
    let mut file = folder.write(NEW_END, owner)?;
    file.write_all(&serde_json::to_vec(end)?)?;
    folder.replace(&file, NEW_END, END)
}

impl Spool {
    /// The spool in `state_folder`, with at most `bytes_max`. The first write creates its directory.
    pub(crate) fn new(
        state_folder: &Path,
        bytes_max: u64,
        health: &Arc<StoreHealth>,
    ) -> Result<Spool, StoreError> {
        let store = Arc::new(FolderStore::within(state_folder, FOLDER)?);
        Ok(Spool {
            disk: Destination { store, health: Arc::default() },
            state_folder: state_folder.to_path_buf(),
            bytes_max,
            spooled: Spooled::default(),
            pages: 0,
            health: Arc::clone(health),
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
    pub(crate) fn note_written(&mut self, queued: &Queued) {
        match queued {
            Queued::Spooled(bytes) => self.count(*bytes),
            Queued::Memory(_) => self.failed = true,
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
        let removed = folder(&self.state_folder).and_then(|folder| match folder {
            Some((folder, _)) => folder.within(Folder::Log.name())?.remove(name),
            None => Ok(false),
        });
        if let Err(error) = removed {
            tracing::warn!(%error, %key, "cannot remove a segment from the spool");
        }
    }

    /// Writes a complete segment. If the write fails the segment stays in memory, unless it was streamed into the
    /// spool.
    pub(crate) fn write(
        &self,
        sealed: Sealed,
        key: Key,
        last: Txid,
        wal: Option<wal::Position>,
    ) -> impl Future<Output = Result<Queued, Error>> + Send + 'static {
        let (store, folder) = (Arc::clone(&self.disk.store), self.state_folder.clone());
        async move {
            let queued = match sealed {
                Sealed::Whole(body) => match store.put(&key, body.clone()).await {
                    Ok(()) => Queued::Spooled(body.len() as u64),
                    Err(error) => {
                        tracing::error!(%error, "cannot spool on the local disk; the log waits");
                        return Ok(Queued::Memory(body));
                    }
                },
                Sealed::Streamed(task) => {
                    task.await??;
                    Queued::Spooled(store.size(&key).await?.unwrap_or_default())
                }
            };
            if let Some(at) = wal {
                let end = SpoolEnd::new(last, at);
                if let Err(error) = write_end(&folder, &end) {
                    tracing::warn!(%error, "cannot note the end of the spool");
                }
            }
            Ok(queued)
        }
    }

    /// The spooled segments that continue `position`, in order. Removes all other segments.
    pub(crate) async fn read_continuing(
        &mut self,
        manifest: &Manifest,
        position: &Position,
    ) -> Result<Vec<SpooledSegment>, Error> {
        self.disk.store.sweep().await?;
        let objects = self.disk.store.list(Folder::Log, None).await?;
        let end = read_end(&self.state_folder);
        let (mut found, mut last) = (Vec::new(), position.clone());
        for object in objects {
            match read(&*self.disk.store, manifest, object, &last).await {
                Some(next) => {
                    last = next.position.clone();
                    self.count(object.size);
                    self.pages +=
                        next.entries.iter().map(|entry| entry.0.len() as u64).sum::<u64>();
                    found.push(next);
                }
                None => self.disk.store.delete(&object.key).await?,
            }
        }
        if let (Some(found), Some(end)) = (found.last_mut(), end)
            && end.txid == found.position.state.txid()
        {
            found.position.wal = Some(end.position());
        }
        Ok(found)
    }

    /// Removes all spooled segments.
    pub(crate) async fn clear(&mut self) -> Result<(), Error> {
        self.disk.store.sweep().await?;
        for object in self.disk.store.list(Folder::Log, None).await? {
            self.disk.store.delete(&object.key).await?;
        }
        (self.spooled, self.pages) = (Spooled::default(), 0);
        self.health.note_spooled(self.spooled);
        Ok(())
    }
}

/// A spooled segment, if it is complete and directly follows `before`.
async fn read(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
    before: &Position,
) -> Option<SpooledSegment> {
    let fetched = ebbtide_catalog::read_index(store, manifest, object).await.ok()?;
    let index: &Index = &fetched.index;
    if object.key != Key::Log(before.state.txid().next())
        || index.header().chain() != Some(before.state.chain)
    {
        return None;
    }
    let mut entries: Vec<(Vec<(PageNumber, PageHash)>, u32)> =
        index.entries().iter().map(|entry| (Vec::new(), entry.database_pages)).collect();
    let mut hashes = ebbtide_catalog::Hashes::new(store, object.key, &fetched);
    while let Some(run) = hashes.next().await.ok()? {
        let pages = (run.first.get()..).filter_map(PageNumber::new);
        entries[run.entry].0.extend(pages.zip(run.hashes.iter().copied()));
    }
    let last = index.entries().last()?;
    let position = Position {
        state: EntryState::after(last, index.footer().chain),
        // Only the last segment's log position is stored.
        wal: None,
        ..before.clone()
    };
    Some(SpooledSegment { object, position, entries })
}
