//! The spool: complete segments on the local disk, for when the store is away longer than the log can wait.
//!
//! It lies in the folder of the local state and is laid out like a replica's log, so it is written and read as a store
//! in a folder is: whole or not at all, and durable before anything relies on it. What it holds continues the
//! replica's history: the same bytes are put later under the same names. Beside the segments stands `end.json`, where
//! in the database's log the last of them ends; without it, or with an older one, a start compares pages instead of
//! reading on.
//!
//! What does not continue the replica's history is of no use to anybody and is removed.

use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use ebbtide_directory::Directory;
use ebbtide_replica::container::Index;
use ebbtide_replica::{Folder, Key, Manifest, PageHash, Txid};
use ebbtide_state::{Position, WalPosition, state_directory};
use ebbtide_store::{FolderStore, Object, Store, StoreError};
use ebbtide_wal::PageNumber;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::outage::{Outage, Spooled};
use crate::part::{PART_BYTES, Parts, STREAM_BYTES, Sealed};
use crate::put::{pause, put};

/// No more page hashes than this wait in memory for spooled segments to be confirmed, about 45 bytes each.
const PAGES_MAX: u64 = 1_000_000;

const END: &str = "end.json";
const NEW_END: &str = "end.json.new";
const END_BYTES_MAX: u64 = 1024;

/// Where the spooled segments of one database lie, and how much of them there is.
#[derive(Debug)]
pub(crate) struct Spool {
    store: Arc<dyn Store>,
    state_folder: PathBuf,
    bytes_max: u64,
    spooled: Spooled,
    pages: u64,
    /// Where it is told how much there is.
    outage: Arc<Outage>,
    /// The disk refused: no more is written until the next start.
    failed: bool,
    /// What is wrong with the disk while a segment is streamed into the spool.
    pub(crate) trouble: Arc<Outage>,
}

/// A complete segment that waits for its turn.
#[derive(Debug)]
pub(crate) enum Waiting {
    /// In memory, because it could not be spooled.
    Memory(Bytes),
    /// In the spool, with so many bytes.
    Spooled(u64),
}

/// A segment that was found in the spool.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) object: Object,
    /// Where the replica stands with it.
    pub(crate) position: Position,
    /// What it changed, an entry at a time: hashes of pages and the size of the database.
    pub(crate) entries: Vec<(Vec<(PageNumber, PageHash)>, u32)>,
}

/// Where in the database's log the last spooled segment ends.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    txid: Txid,
    salts: [u8; 8],
    frame: u64,
    checksum: (u32, u32),
}

/// The name of the spool's folder, which lies in that of the local state.
const FOLDER: &str = "spool";

/// The folder of the spool beside the local state in `state_folder`, if both are there, and whose they are.
fn folder(state_folder: &Path) -> io::Result<Option<(Directory, u32)>> {
    let Some(private) = state_directory(state_folder).map_err(io::Error::other)? else {
        return Ok(None);
    };
    Ok(private.within(FOLDER)?.map(|(private, directory)| (directory, private.owner())))
}

/// Where in the database's log what is spooled ends, if anything is: the place to read on from, should the spool turn
/// out to continue the replica.
#[must_use]
pub fn spooled_end(state_folder: &Path) -> Option<(Txid, WalPosition)> {
    let end = read_end(state_folder)?;
    Some((end.txid, WalPosition { salts: end.salts, frame: end.frame, checksum: end.checksum }))
}

fn read_end(state_folder: &Path) -> Option<End> {
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

/// Not flushed: after a loss of power an older one, a torn one or none is as good as the comparison that follows from it.
fn write_end(state_folder: &Path, end: &End) -> io::Result<()> {
    let Some((folder, owner)) = folder(state_folder)? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    folder.remove(NEW_END)?;
    let mut file = folder.write(NEW_END, owner)?;
    file.write_all(&serde_json::to_vec(end)?)?;
    folder.replace(&file, NEW_END, END)
}

impl Spool {
    /// The spool beside the local state in `state_folder`, which may hold up to `bytes_max`. Nothing is created before
    /// it is needed.
    pub(crate) fn new(
        state_folder: &Path,
        bytes_max: u64,
        outage: &Arc<Outage>,
    ) -> Result<Spool, StoreError> {
        let store = Arc::new(FolderStore::within(state_folder, FOLDER)?);
        Ok(Spool {
            store,
            state_folder: state_folder.to_path_buf(),
            bytes_max,
            spooled: Spooled::default(),
            pages: 0,
            outage: Arc::clone(outage),
            failed: false,
            trouble: Arc::default(),
        })
    }

    /// Whether another segment of about `expected` bytes may come.
    pub(crate) fn has_room(&self, expected: u64) -> bool {
        !self.failed
            && self.spooled.bytes.saturating_add(expected) <= self.bytes_max
            && self.pages <= PAGES_MAX
    }

    pub(crate) fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// So many pages wait with a segment that goes into the spool.
    pub(crate) fn count_pages(&mut self, pages: u64) {
        self.pages += pages;
    }

    fn count(&mut self, bytes: u64) {
        self.spooled.segments += 1;
        self.spooled.bytes += bytes;
        self.outage.note_spooled(self.spooled);
    }

    /// A segment was spooled, or could not be.
    pub(crate) fn kept(&mut self, waiting: &Waiting) {
        match waiting {
            Waiting::Spooled(bytes) => self.count(*bytes),
            Waiting::Memory(_) => self.failed = true,
        }
    }

    /// Forgets a segment that the store has.
    pub(crate) fn release(&mut self, key: Key, bytes: u64, pages: u64) {
        let Spooled { segments, bytes: before } = self.spooled;
        self.spooled =
            Spooled { segments: segments.saturating_sub(1), bytes: before.saturating_sub(bytes) };
        self.outage.note_spooled(self.spooled);
        self.pages = self.pages.saturating_sub(pages);
        // One file on the local disk: not worth another thread, and what stays is removed by the next start.
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

    /// Writes a complete segment. One that cannot be written stays in memory, unless it was streamed here.
    pub(crate) fn keep(
        &self,
        sealed: Sealed,
        key: Key,
        last: Txid,
        wal: Option<WalPosition>,
    ) -> impl Future<Output = Result<Waiting, Error>> + Send + 'static {
        let (store, folder) = (Arc::clone(&self.store), self.state_folder.clone());
        async move {
            let waiting = match sealed {
                Sealed::Whole(body) => match store.put(&key, body.clone()).await {
                    Ok(()) => Waiting::Spooled(body.len() as u64),
                    Err(error) => {
                        tracing::error!(%error, "cannot spool on the local disk; the log waits");
                        return Ok(Waiting::Memory(body));
                    }
                },
                Sealed::Streamed(task) => {
                    task.await??;
                    Waiting::Spooled(store.size(&key).await?.unwrap_or_default())
                }
            };
            if let Some(WalPosition { salts, frame, checksum }) = wal {
                let end = End { txid: last, salts, frame, checksum };
                if let Err(error) = write_end(&folder, &end) {
                    tracing::warn!(%error, "cannot note the end of the spool");
                }
            }
            Ok(waiting)
        }
    }

    /// What the spool holds beyond `position`, in order. Whatever else lies there is removed.
    pub(crate) async fn found(
        &mut self,
        manifest: &Manifest,
        position: &Position,
    ) -> Result<Vec<Found>, Error> {
        self.store.sweep().await?;
        let objects = self.store.list(Folder::Log, None).await?;
        let end = read_end(&self.state_folder);
        let (mut found, mut last) = (Vec::new(), position.clone());
        for object in objects {
            match read(&*self.store, manifest, object, &last).await {
                Some(next) => {
                    last = next.position.clone();
                    self.count(object.size);
                    self.pages +=
                        next.entries.iter().map(|entry| entry.0.len() as u64).sum::<u64>();
                    found.push(next);
                }
                None => self.store.delete(&object.key).await?,
            }
        }
        if let (Some(found), Some(end)) = (found.last_mut(), end)
            && end.txid == found.position.txid
        {
            let End { salts, frame, checksum, .. } = end;
            found.position.wal = Some(WalPosition { salts, frame, checksum });
        }
        Ok(found)
    }

    /// Removes all of it.
    pub(crate) async fn clear(&mut self) -> Result<(), Error> {
        self.store.sweep().await?;
        for object in self.store.list(Folder::Log, None).await? {
            self.store.delete(&object.key).await?;
        }
        (self.spooled, self.pages) = (Spooled::default(), 0);
        self.outage.note_spooled(self.spooled);
        Ok(())
    }
}

/// A spooled segment, if it is whole and comes directly after `before`.
async fn read(
    store: &dyn Store,
    manifest: &Manifest,
    object: Object,
    before: &Position,
) -> Option<Found> {
    let fetched = ebbtide_catalog::read_index(store, manifest, object).await.ok()?;
    let index: &Index = &fetched.index;
    if object.key != Key::Log(before.txid.next()) || index.header().chain() != Some(before.chain) {
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
        txid: last.txid,
        chain: index.footer().chain,
        digest: last.digest,
        database_pages: last.database_pages,
        time: last.time,
        // Where it ends is known of the last one alone.
        wal: None,
        ..before.clone()
    };
    Some(Found { object, position, entries })
}

/// Puts a spooled segment into the store, for as long as that takes.
pub(crate) async fn send(
    spool: &Arc<dyn Store>,
    store: &Arc<dyn Store>,
    key: Key,
    bytes: u64,
    outage: &Arc<Outage>,
) -> Result<(), Error> {
    // As it would have been sent without the spool.
    if bytes <= STREAM_BYTES as u64 {
        let body = spool.get(&key, bytes).await?;
        return put(&**store, &key, body, outage).await;
    }
    let part_bytes = PART_BYTES as u64;
    let mut failures = 0;
    loop {
        let mut parts = Parts::begin(Arc::clone(store), key, bytes, None, Arc::clone(outage));
        let mut at = 0;
        while bytes - at > part_bytes {
            parts.feed(spool.get_range(&key, at..at + part_bytes).await?).await;
            at += part_bytes;
        }
        let ended = parts.end(spool.get_range(&key, at..bytes).await?).await;
        match ended.await? {
            Err(Error::Lost(error)) => {
                outage.note(&**store, &error);
                failures += 1;
                pause(failures, error.kind()).await;
            }
            ended => return ended,
        }
    }
}
