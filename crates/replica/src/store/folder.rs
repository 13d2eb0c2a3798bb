//! A store in a folder: a second disk, a mounted share, or a test.
//!
//! An object is written to a temporary file beside its place, made durable, and then given its name in one step that
//! fails when the name is taken (`renameat2` with `RENAME_NOREPLACE`, or `link`). Then the folder is made durable. The
//! orders in which a crash can strike:
//! 1. before the name is given: a temporary file is left, which [`sweep`](Store::sweep) removes;
//! 2. after the name is given, before the folder is durable: the object is there whole or not at all, and the put was
//!    never confirmed.
//!
//! A temporary file is locked while it is written, so that a sweep can tell what is abandoned from what is not.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use ebbtide_fault::point;
use futures::stream::{self, StreamExt as _};
use nix::libc;
use tempfile::NamedTempFile;

use super::api::{ByteStream, Object, Store, Upload};
use super::error::{ErrorKind, StoreError};
use super::listing::{Listing, beyond_end, check_length};
use super::probe::{self, Conditional};
use crate::{Folder, Key};

/// How the names of temporary files begin. No key begins so.
const TEMPORARY: &str = ".tmp-";

/// So many bytes are read at a time for those who take them as they come: they are still in the processor's cache then.
const PIECE: u64 = 1024 * 1024;

/// A store in a folder.
#[derive(Debug, Clone)]
pub struct FolderStore {
    /// Absolute; need not exist before the first put.
    root: PathBuf,
}

impl FolderStore {
    /// The store in this folder. Nothing is created before the first put.
    pub fn new(root: impl AsRef<Path>) -> Result<FolderStore, StoreError> {
        let root = root.as_ref();
        let absolute = std::path::absolute(root)
            .map_err(|error| StoreError::io("open the replica's folder", root, error))?;
        Ok(FolderStore { root: absolute })
    }

    /// Runs `work` where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Path, &str) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let root = self.root.clone();
        blocking(move || work(&root, &what)).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(StoreError::new(
            ErrorKind::Unavailable,
            "use the replica's folder",
            "the work was broken off",
        )
        .caused_by(error)),
    }
}

#[async_trait]
impl Store for FolderStore {
    async fn put(&self, key: &Key, body: Bytes) -> Result<(), StoreError> {
        let name = key.to_string();
        self.blocking(format!("put {key}"), move |root, what| create(root, &name, what, &body))
            .await
    }

    async fn upload(&self, key: &Key, _expected: u64) -> Result<Box<dyn Upload>, StoreError> {
        let (what, path) = (format!("put {key}"), self.root.join(key.to_string()));
        let file = self.blocking(what.clone(), {
            let path = path.clone();
            move |_, what| temporary(&path, what)
        });
        Ok(Box::new(FolderUpload { file: Some(file.await?), path, what }))
    }

    async fn get(&self, key: &Key, limit: u64) -> Result<Bytes, StoreError> {
        let key = *key;
        self.blocking(format!("get {key}"), move |root, what| {
            let path = root.join(key.to_string());
            let (mut file, size) = open(&path, what)?;
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
            let path = root.join(key.to_string());
            let mut file = open_at(&key, &path, &range, what)?;
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
        let path = self.root.join(key.to_string());
        let opened = self.blocking(what.clone(), {
            let path = path.clone();
            move |_, what| open_at(&key, &path, &range, what)
        });
        let reading = Reading { file: opened.await?, left, path, what };
        Ok(stream::try_unfold(reading, |reading| blocking(move || reading.next())).boxed())
    }

    async fn size(&self, key: &Key) -> Result<Option<u64>, StoreError> {
        let name = key.to_string();
        self.blocking(format!("look for {key}"), move |root, what| {
            match open(&root.join(name), what) {
                Ok((_, size)) => Ok(Some(size)),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn list(&self, under: Folder, after: Option<&Key>) -> Result<Vec<Object>, StoreError> {
        let listing = Listing::new(under, after);
        self.blocking(format!("list {under}/"), move |root, what| {
            list(&root.join(under.name()), under, listing, what)
        })
        .await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let name = key.to_string();
        self.blocking(format!("delete {key}"), move |root, what| remove(&root.join(name), what))
            .await
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
        self.blocking("probe the store".to_owned(), move |root, what| {
            remove(&root.join(name), what)
        })
        .await?;
        outcome
    }

    async fn sweep(&self) -> Result<u64, StoreError> {
        self.blocking("remove abandoned files".to_owned(), sweep).await
    }

    fn describe(&self) -> String {
        self.root.display().to_string()
    }
}

/// A part of an object that is being read.
struct Reading {
    file: File,
    left: u64,
    path: PathBuf,
    what: String,
}

impl Reading {
    fn next(mut self) -> Result<Option<(Bytes, Reading)>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        let piece = read(&mut self.file, self.left.min(PIECE))
            .map_err(|error| StoreError::io(&self.what, &self.path, error))?;
        self.left -= piece.len() as u64;
        Ok(Some((piece, self)))
    }
}

/// An object on its way into a folder.
struct FolderUpload {
    /// Gone while a piece is being written and after a piece failed.
    file: Option<NamedTempFile>,
    path: PathBuf,
    what: String,
}

impl FolderUpload {
    fn file(&mut self) -> Result<NamedTempFile, StoreError> {
        self.file.take().ok_or_else(|| {
            StoreError::new(ErrorKind::Invalid, &self.what, "an earlier piece was not written")
        })
    }
}

#[async_trait]
impl Upload for FolderUpload {
    async fn write(&mut self, part: Bytes) -> Result<(), StoreError> {
        let (mut file, what) = (self.file()?, self.what.clone());
        let file = blocking(move || match file.write_all(&part) {
            Ok(()) => Ok(file),
            Err(error) => Err(StoreError::io(&what, file.path(), error)),
        });
        self.file = Some(file.await?);
        Ok(())
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let file = self.file()?;
        blocking(move || publish(file, &self.path, &self.what)).await
    }

    async fn abort(self: Box<Self>) {}
}

fn create(root: &Path, name: &str, what: &str, body: &[u8]) -> Result<(), StoreError> {
    let path = root.join(name);
    let mut file = temporary(&path, what)?;
    file.write_all(body).map_err(|error| StoreError::io(what, file.path(), error))?;
    publish(file, &path, what)
}

/// A new locked file beside `path`, which only its owner can read.
fn temporary(path: &Path, what: &str) -> Result<NamedTempFile, StoreError> {
    let folder = path.parent().unwrap_or(path);
    let attempt = || {
        make_folder(folder)?;
        let file = NamedTempFile::with_prefix_in(TEMPORARY, folder)?;
        file.as_file().lock()?;
        Ok(file)
    };
    attempt().map_err(|error| StoreError::io(what, folder, error))
}

/// Creates a folder and those above it, each durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => folder.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            folder.parent().map_or(Err(error), make_folder)?;
            make_folder(folder)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives the file its name, unless it is taken.
fn publish(file: NamedTempFile, path: &Path, what: &str) -> Result<(), StoreError> {
    let fail = |error| StoreError::io(what, path, error);
    point("folder.put.written");
    file.as_file().sync_all().map_err(fail)?;
    point("folder.put.synced");
    file.persist_noclobber(path).map_err(|error| match error.error.kind() {
        io::ErrorKind::AlreadyExists => {
            StoreError::new(ErrorKind::Exists, what, "the name is taken")
        }
        _ => fail(error.error),
    })?;
    point("folder.put.named");
    path.parent().map_or(Ok(()), sync_folder).map_err(fail)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Opens an object; a link, a folder or a pipe in its place is none.
fn open(path: &Path, what: &str) -> Result<(File, u64), StoreError> {
    let fail = |error| StoreError::io(what, path, error);
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC);
    let file = options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::new(ErrorKind::NotFound, what, "no such object"),
        _ => fail(error),
    })?;
    let metadata = file.metadata().map_err(fail)?;
    if metadata.is_file() {
        Ok((file, metadata.len()))
    } else {
        Err(StoreError::new(ErrorKind::Damaged, what, "there is something that is not a file"))
    }
}

/// Opens an object to read this range of it, which it has.
fn open_at(key: &Key, path: &Path, range: &Range<u64>, what: &str) -> Result<File, StoreError> {
    let (mut file, size) = open(path, what)?;
    if range.end > size {
        return Err(beyond_end(key, range, size));
    }
    let sought = file.seek(SeekFrom::Start(range.start));
    sought.map_err(|error| StoreError::io(what, path, error))?;
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
    folder: &Path,
    under: Folder,
    mut listing: Listing,
    what: &str,
) -> Result<Vec<Object>, StoreError> {
    let fail = |error| StoreError::io(what, folder, error);
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(listing.finish()),
        entries => entries.map_err(fail)?,
    };
    for entry in entries {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(TEMPORARY) {
            continue;
        }
        match entry.metadata() {
            // What is removed while we list was not there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            metadata => listing.add(&format!("{under}/{name}"), metadata.map_err(fail)?.len())?,
        }
    }
    Ok(listing.finish())
}

fn remove(path: &Path, what: &str) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| StoreError::io(what, path, error)),
    }
}

/// Removes temporary files that nobody holds.
fn sweep(root: &Path, what: &str) -> Result<u64, StoreError> {
    let mut removed = 0;
    let folders = Folder::ALL.into_iter().map(|folder| root.join(folder.name()));
    for folder in folders.chain([root.join(probe::FOLDER), root.to_owned()]) {
        let fail = |error| StoreError::io(what, &folder, error);
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(fail)?,
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            if entry.file_name().to_string_lossy().starts_with(TEMPORARY)
                && is_abandoned(&entry.path()).map_err(fail)?
            {
                remove(&entry.path(), what)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

/// A file that is gone by now is nobody's business any more.
fn is_abandoned(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        file => file?,
    };
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}
