//! A store in a directory: a second disk, a mounted share, or a test.
//!
//! An object is written to a temporary file beside its place, made durable, and then given its name in one step that
//! fails when the name is taken (`renameat2` with `RENAME_NOREPLACE`, or `link`). Then the directory is made durable. The
//! orders in which a crash can strike:
//! 1. before the name is given: a temporary file is left, which [`sweep`](Store::sweep) removes;
//! 2. after the name is given, before the directory is durable: the object is there whole or not at all, and the put was
//!    never confirmed.
//!
//! A temporary file is locked while it is written, so that a sweep can tell what is abandoned from what is not. Where the
//! file system has no locks, nothing is swept.

mod blocking;
mod branch;
mod root;
mod temporary;

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt as _};

use self::blocking::blocking;
pub(crate) use self::branch::branch;
use self::root::{Root, fail};
use self::temporary::{TEMPORARY, Temporary};
use super::api::{ByteStream, Object, Store, Upload};
use super::error::{ErrorKind, StoreError};
use super::listing::{Listing, beyond_end, check_length};
use super::probe::{self, Conditional};
use ebbtide_directory::{Directory, Refused, is_unsupported};
use ebbtide_replica::{Key, KeyPrefix, Timestamp};

/// So many bytes are read at a time for those who take them as they come: they are still in the CPU's cache then.
const PIECE: u64 = 1024 * 1024;

/// A store in a directory.
#[derive(Debug, Clone)]
pub struct DirectoryStore {
    root: Root,
}

impl DirectoryStore {
    /// The store in this directory. Nothing is created before [`Store::begin`].
    pub fn new(root: impl AsRef<Path>) -> Result<DirectoryStore, StoreError> {
        let root = root.as_ref();
        let absolute = std::path::absolute(root)
            .map_err(|error| StoreError::io("open the replica's directory", root, error))?;
        Ok(DirectoryStore { root: Root::Chosen(absolute, Arc::default()) })
    }

    /// The store in the directory of this name within `private`, which is a directory of the local state: all of it is ours
    /// and nobody else's to write, or it is refused. It is made by the first put.
    pub fn within(
        private: impl AsRef<Path>,
        name: &'static str,
    ) -> Result<DirectoryStore, StoreError> {
        let private = private.as_ref();
        let absolute = std::path::absolute(private)
            .map_err(|error| StoreError::io("open the directory", private, error))?;
        Ok(DirectoryStore { root: Root::Private(absolute, name) })
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Root, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = self.root.clone();
        blocking(move || work(&root, &what)).await
    }
}

#[async_trait]
impl Store for DirectoryStore {
    async fn begin(&self) -> Result<(), StoreError> {
        self.blocking("begin a replica".to_owned(), |root, what| root.begin(what)).await
    }

    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let name = key.to_string();
        self.blocking(format!("put {key}"), move |root, what| create(root, &name, what, &body))
            .await
    }

    async fn upload(&self, key: &Key, _expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        let (what, name) = (format!("put {key}"), key.to_string());
        let file = self.blocking(what.clone(), {
            let name = name.clone();
            move |root, what| Temporary::new(root, split(&name).0, what)
        });
        let root = self.root.clone();
        Ok(Box::new(DirectoryUpload { file: Some(file.await?), root, name, what }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let key = *key;
        self.blocking(format!("get {key}"), move |root, what| {
            let path = root.path().join(key.to_string());
            let (mut file, size) = open(root, &key.to_string(), what)?;
            check_length(&key, size, limit)?;
            read(&mut file, size).map_err(|error| StoreError::io(what, &path, error))
        })
        .await
    }

    async fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Bytes, StoreError> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let key = *key;
        self.blocking(format!("get {key}"), move |root, what| {
            let path = root.path().join(key.to_string());
            let mut file = open_at(root, &key, &range, what)?;
            read(&mut file, range.end - range.start)
                .map_err(|error| StoreError::io(what, &path, error))
        })
        .await
    }

    async fn get_stream(&self, key: &Key, range: Range<u64>) -> Result<ByteStream, StoreError> {
        let left = range.end.saturating_sub(range.start);
        if left == 0 {
            return Ok(stream::empty().boxed());
        }
        let (key, what) = (*key, format!("get {key}"));
        let path = self.root.path().join(key.to_string());
        let opened =
            self.blocking(what.clone(), move |root, what| open_at(root, &key, &range, what));
        let reading = OpenObject { file: opened.await?, left, path, what };
        Ok(stream::try_unfold(reading, |reading| blocking(move || reading.next())).boxed())
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let name = key.to_string();
        self.blocking(format!("look for {key}"), move |root, what| match open(root, &name, what) {
            Ok((_, size)) => Ok(Some(size)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn list(&self, under: KeyPrefix, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let listing = Listing::new(under, after);
        self.blocking(format!("list {under}/"), move |root, what| list(root, under, listing, what))
            .await
    }

    async fn list_some(
        &self,
        under: KeyPrefix,
        after: Option<&Key>,
        most: usize,
    ) -> Result<Vec<Object>, StoreError> {
        let listing = Listing::new(under, after).first(most);
        self.blocking(format!("list {under}/"), move |root, what| list(root, under, listing, what))
            .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let name = key.to_string();
        self.blocking(format!("delete {key}"), move |root, what| remove(root, &name, what)).await
    }

    async fn probe(&self) -> Result<Conditional, StoreError> {
        let name = probe::name()?;
        let outcome = probe::race(|| {
            let name = name.clone();
            self.blocking("probe the store".to_owned(), move |root, what| {
                create(root, &name, what, &[])
            })
        })
        .await;
        self.blocking("probe the store".to_owned(), move |root, what| remove(root, &name, what))
            .await?;
        outcome
    }

    async fn now(&self) -> Result<Timestamp, StoreError> {
        let name = probe::name()?;
        self.blocking(probe::ASKING_TIME.to_owned(), move |root, what| now(root, &name, what)).await
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.blocking("remove abandoned files".to_owned(), sweep).await
    }

    fn describe(&self) -> String {
        self.root.path().display().to_string()
    }

    fn address(&self) -> String {
        self.describe()
    }
}

/// A part of an object that is being read.
struct OpenObject {
    file: File,
    left: u64,
    path: PathBuf,
    what: String,
}

impl OpenObject {
    fn next(mut self) -> Result<Option<(Bytes, OpenObject)>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = read(&mut self.file, self.left.min(PIECE))
            .map_err(|error| StoreError::io(&self.what, &self.path, error))?;
        self.left -= piece.len() as u64;
        Ok(Some((piece, self)))
    }
}

/// An object on its way into a directory.
struct DirectoryUpload {
    /// Gone while a piece is being written and after a piece failed.
    file: Option<Temporary>,
    root: Root,
    name: String,
    what: String,
}

impl DirectoryUpload {
    fn file(&mut self) -> Result<Temporary, StoreError> {
        self.file.take().ok_or_else(|| {
            StoreError::new(ErrorKind::Invalid, &self.what, "an earlier piece was not written")
        })
    }
}

#[async_trait]
impl Upload for DirectoryUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        let (mut file, what) = (self.file()?, self.what.clone());
        self.file = Some(blocking(move || file.write(&part, &what).map(|()| file)).await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let file = self.file()?;
        blocking(move || {
            let size = file.publish(split(&self.name).1, &self.what)?;
            self.root.note(&self.name, size, None);
            Ok(())
        })
        .await
    }

    async fn abort(self: Box<Self>) {}
}

/// The directory of an object, which is empty for the root, and its name in it.
fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

fn create(root: &Root, name: &str, what: &str, body: &[u8]) -> Result<(), StoreError> {
    let (directory, own) = split(name);
    let mut file = Temporary::new(root, directory, what)?;
    file.write(body, what)?;
    let size = file.publish(own, what)?;
    root.note(name, size, Some(body));
    Ok(())
}

/// Opens an object; a link, a directory or a pipe in its place is none.
fn open(root: &Root, name: &str, what: &str) -> Result<(File, u64), StoreError> {
    let none = || StoreError::new(ErrorKind::NotFound, what, "no such object");
    let (directory, own) = split(name);
    let directory = root.directory(directory, what)?.ok_or_else(none)?;
    match directory.read(own) {
        Ok((file, metadata)) => Ok((file, metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(none()),
        Err(error) => Err(match Refused::of(&error) {
            Some(refused) => StoreError::new(ErrorKind::Damaged, what, refused.to_string()),
            None => StoreError::io(what, &directory.at(&own), error),
        }),
    }
}

/// Opens an object to read this range of it, which it has.
fn open_at(root: &Root, key: &Key, range: &Range<u64>, what: &str) -> Result<File, StoreError> {
    let (mut file, size) = open(root, &key.to_string(), what)?;
    if range.end > size {
        return Err(beyond_end(key, range, size));
    }
    let sought = file.seek(SeekFrom::Start(range.start));
    sought.map_err(|error| StoreError::io(what, &root.path(), error))?;
    Ok(file)
}

/// Exactly `length` bytes from here; the caller has checked that the file has them.
fn read(file: &mut File, length: u64) -> io::Result<Bytes> {
    let capacity = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let mut bytes = Vec::with_capacity(capacity);
    // Into memory that was not set to zero before.
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() < capacity {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

fn list(
    root: &Root,
    under: KeyPrefix,
    mut listing: Listing,
    what: &str,
) -> Result<Vec<Object>, StoreError> {
    let Some(directory) = root.directory(under.name(), what)? else { return Ok(listing.finish()) };
    let failed = |error| fail(what, directory.path(), error);
    for name in directory.entries().map_err(failed)? {
        let name = name.map_err(failed)?;
        let text = name.to_string_lossy();
        let key = format!("{under}/{text}");
        // A day of history may be a hundred thousand segments, each of which would be looked up for its length.
        if text.starts_with(TEMPORARY) || listing.is_behind(&key) {
            continue;
        }
        // What is removed while we list was not there.
        if let Some((size, modified)) = directory.size(&name).map_err(failed)? {
            let modified = Timestamp::from_micros(modified).unwrap_or(Timestamp::MAX);
            listing.add(&key, size, modified)?;
        }
    }
    Ok(listing.finish())
}

fn remove(root: &Root, name: &str, what: &str) -> Result<(), StoreError> {
    let (directory, own) = split(name);
    let Some(directory) = root.directory(directory, what)? else { return Ok(()) };
    directory.remove(own).map_err(|error| fail(what, &directory.at(&own), error))?;
    root.forget(name);
    Ok(())
}

/// When a file is changed that is made now.
fn now(root: &Root, name: &str, what: &str) -> Result<Timestamp, StoreError> {
    create(root, name, what, &[])?;
    let (directory, own) = split(name);
    let directory = root.directory(directory, what)?;
    let found = match &directory {
        Some(directory) => {
            directory.size(own).map_err(|error| fail(what, &directory.at(&own), error))?
        }
        None => None,
    };
    remove(root, name, what)?;
    let time = found.and_then(|(_, modified)| Timestamp::from_micros(modified));
    time.ok_or_else(|| StoreError::new(ErrorKind::Damaged, what, probe::NO_TIME))
}

/// Removes temporary files that nobody holds.
fn sweep(root: &Root, what: &str) -> Result<u64, StoreError> {
    let mut removed = 0;
    let directories = KeyPrefix::ALL.into_iter().map(KeyPrefix::name);
    for name in directories.chain([probe::DIRECTORY, ""]) {
        let Some(directory) = root.directory(name, what)? else { continue };
        let failed = |error| fail(what, directory.path(), error);
        for name in directory.entries().map_err(failed)? {
            let name = name.map_err(failed)?;
            if name.to_string_lossy().starts_with(TEMPORARY)
                && is_abandoned(&directory, &name).map_err(failed)?
            {
                removed += u64::from(directory.remove(&name).map_err(failed)?);
            }
        }
    }
    Ok(removed)
}

/// A file that is gone by now is nobody's business any more, and neither is what no upload of ours has made.
fn is_abandoned(directory: &Directory, name: &OsStr) -> io::Result<bool> {
    let file = match directory.read(name) {
        Ok((file, _)) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => match Refused::of(&error) {
            Some(refused) => {
                tracing::warn!(%refused, "not swept");
                return Ok(false);
            }
            None => return Err(error),
        },
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) if is_unsupported(&error) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
