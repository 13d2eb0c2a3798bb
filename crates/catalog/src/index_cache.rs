//! Indexes on the local disk, so that whoever looks at a replica a second time reads only what is new.
//!
//! Objects never change, so an index is kept by the replica, the name and the size of its object, and its root is checked
//! again each time. Nothing of the user's rows is kept: only headers, indexes and footers, those of an encrypted replica as
//! they are stored. It is an aid; whatever is wrong with it, the store is asked.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ebbtide_directory::{Directory, Private};
use ebbtide_replica::Manifest;
use ebbtide_replica::container::{Header, Index, Parsed};
use ebbtide_store::{Object, Store};

use crate::Fetched;
use crate::index_keys::index_keys;
use crate::read::{RawIndex, check_identity};

/// How much is kept: once there is more, the oldest files go.
const KEPT_BYTES_MAX: u64 = 256 << 20;

/// No file is read that is longer.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The indexes of any number of replicas in a directory that is the user's alone.
#[derive(Debug)]
pub struct IndexCache {
    directory: Private,
    /// For the names of files that are being written.
    written: AtomicU64,
}

impl IndexCache {
    /// The one at `directory`, which is made if it is missing. What is too much in it is removed.
    ///
    /// # Errors
    /// When it cannot be made, or others may write it.
    pub fn open(directory: &Path) -> io::Result<Arc<IndexCache>> {
        let (directory, opened, _) = Private::create(directory, None)?;
        trim(&opened)?;
        Ok(Arc::new(IndexCache { directory, written: AtomicU64::new(0) }))
    }

    /// The index of an object, if it is here and sound.
    pub(crate) async fn get(
        self: &Arc<Self>,
        store: &dyn Store,
        manifest: &Manifest,
        object: Object,
    ) -> Option<Fetched> {
        let (cache, name) = (Arc::clone(self), name(manifest, object));
        let read = move || cache.directory.read(&name, FILE_BYTES_MAX);
        let read = tokio::task::spawn_blocking(read).await;
        let raw = read.ok()?.ok()?;
        let head = raw.get(..Header::SIZE)?;
        let tail = raw.get(Header::SIZE..)?;
        let keys = index_keys(store, manifest, object.key, head).await.ok()?;
        let opened = Index::open(object.size, head, tail, &keys);
        let Ok(Parsed::Ready(index)) = opened else { return None };
        check_identity(manifest, object.key, &index).ok()?;
        Some(Fetched { index, body: None, end: None })
    }

    /// Keeps an index.
    pub(crate) async fn put(self: &Arc<Self>, manifest: &Manifest, object: Object, raw: RawIndex) {
        let (cache, name) = (Arc::clone(self), name(manifest, object));
        let write = move || cache.write(&name, &raw);
        let written = tokio::task::spawn_blocking(write).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(%error, object = %object.key, "its index cannot be kept");
        }
    }

    /// Forgets the index of an object.
    pub(crate) fn forget(&self, manifest: &Manifest, object: Object) {
        let removed = self.directory.directory().and_then(|it| it.remove(name(manifest, object)));
        if let Err(error) = removed {
            tracing::debug!(%error, object = %object.key, "its index cannot be removed");
        }
    }

    fn write(&self, name: &str, RawIndex { head, tail }: &RawIndex) -> io::Result<()> {
        if (head.len() + tail.len()) as u64 >= FILE_BYTES_MAX {
            return Ok(());
        }
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let unfinished = format!("{}-{number}.tmp", std::process::id());
        self.directory.replace(name, &unfinished, &[head, tail])
    }
}

fn name(manifest: &Manifest, object: Object) -> String {
    let key = object.key.to_string().replace('/', "-");
    format!("{}-{key}-{:x}", manifest.replica, object.size)
}

/// Removes the oldest files once there is too much.
fn trim(directory: &Directory) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in directory.entries()? {
        let name = entry?;
        if let Some((size, modified)) = directory.size(&name)? {
            files.push((modified, size, name));
        }
    }
    let mut bytes: u64 = files.iter().map(|(_, size, _)| size).sum();
    files.sort();
    let mut oldest = files.into_iter();
    while bytes > KEPT_BYTES_MAX
        && let Some((_, size, name)) = oldest.next()
    {
        if directory.remove(&name)? {
            bytes -= size;
        }
    }
    Ok(())
}
