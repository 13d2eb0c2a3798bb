//! Which directory it is: that in which the replica was begun, or found.
//!
//! A disk that is not mounted leaves an empty directory under the same path, and a put into that would be called durable
//! and be gone when the disk is back. So a directory is known by its device and its number on it once a replica was seen
//! in it, and nothing is made again afterwards. The numbers of some file systems change from mount to mount, and with
//! others while they are mounted: then it is the same directory if it has the same manifest and what was put last.

use std::fs::DirBuilder;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::error::{ErrorKind, StoreError};
use super::super::probe;
use ebbtide_directory::{Directory, Identity, Private, Refused, kind_of};
use ebbtide_replica::{Key, KeyPrefix};

/// A longer file is no manifest.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024;

/// Where a replica lies.
#[derive(Debug, Clone)]
pub(super) enum Root {
    /// Where the user wants it.
    Chosen(PathBuf, Arc<Mutex<Option<Known>>>),
    /// Within a private directory, under this name.
    Private(PathBuf, &'static str),
}

/// What distinguishes a directory from another one under the same path.
#[derive(Debug)]
pub(super) struct Known {
    identity: Identity,
    manifest: Option<Vec<u8>>,
    /// What was put last, and its size.
    last: Option<(String, u64)>,
}

impl Known {
    /// Whether it is the same directory, although it has another number.
    fn is_in(&self, directory: &Directory) -> io::Result<bool> {
        if self.manifest.is_none() || manifest(directory)? != self.manifest {
            return Ok(false);
        }
        let Some((name, size)) = &self.last else { return Ok(true) };
        let (place, name) = name.split_once('/').unwrap_or(("", name));
        let found = match place {
            "" => directory.read(name),
            _ => directory.within(place).and_then(|directory| directory.read(name)),
        };
        match found {
            Ok((_, metadata)) => Ok(metadata.len() == *size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn manifest(directory: &Directory) -> io::Result<Option<Vec<u8>>> {
    match directory.read(Key::Manifest.to_string()) {
        Ok((file, _)) => {
            let mut bytes = Vec::new();
            file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        // It is told when it is read as an object.
        Err(error) if Refused::of(&error).is_some() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Root {
    pub(super) fn path(&self) -> PathBuf {
        match self {
            Root::Chosen(path, _) => path.clone(),
            Root::Private(within, name) => within.join(name),
        }
    }

    /// Opens it, if it is there.
    pub(super) fn open(&self, what: &str) -> Result<Option<Directory>, StoreError> {
        match self {
            Root::Chosen(path, known) => open_chosen(path, known, what),
            Root::Private(within, name) => {
                let Some(private) = private(within, what)? else { return Ok(None) };
                let found =
                    private.within(name).map_err(|error| fail(what, &self.path(), error))?;
                Ok(found.map(|(_, directory)| directory))
            }
        }
    }

    /// Opens one of its directories, if it is there.
    pub(super) fn directory(
        &self,
        name: &str,
        what: &str,
    ) -> Result<Option<Directory>, StoreError> {
        let Some(root) = self.open(what)? else { return Ok(None) };
        if name.is_empty() {
            return Ok(Some(root));
        }
        match root.within(name) {
            Ok(directory) => Ok(Some(directory)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fail(what, &root.at(&name), error)),
        }
    }

    /// Opens one of its directories to put something there.
    pub(super) fn directory_to_put(&self, name: &str, what: &str) -> Result<Directory, StoreError> {
        let root = match self.open(what)? {
            Some(root) => root,
            None => self.make_private(what)?,
        };
        if name.is_empty() {
            return Ok(root);
        }
        let path = root.at(&name);
        let failed = |error| fail(what, &path, error);
        match root.within(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => return found.map_err(failed),
        }
        // A log that is gone is a history that is gone; the others may never have been needed.
        let is_log = name == KeyPrefix::Log.name();
        let has_log = || root.within(KeyPrefix::Log.name()).is_ok();
        if matches!(self, Root::Chosen(..)) && (is_log || !has_log()) {
            return Err(away(
                what,
                &path,
                "is not there: nothing is put where no replica was begun, or its log is gone",
            ));
        }
        root.make(name).map_err(failed)?;
        root.within(name).map_err(failed)
    }

    fn make_private(&self, what: &str) -> Result<Directory, StoreError> {
        let path = self.path();
        let failed = |error| fail(what, &path, error);
        let Root::Private(within, name) = self else {
            let why = "is not there: was it removed, or is its disk not mounted?";
            return Err(away(what, &path, why));
        };
        let Some(private) = private(within, what)? else {
            return Err(away(what, within, "is not there: was it removed?"));
        };
        private.directory().and_then(|directory| directory.make(name)).map_err(failed)?;
        match private.within(name).map_err(failed)? {
            Some((_, directory)) => Ok(directory),
            None => Err(away(what, &path, "is not there: was it removed?")),
        }
    }

    /// Makes it for a new replica, with the directory for its log. From now on it is known.
    pub(super) fn begin(&self, what: &str) -> Result<(), StoreError> {
        let Root::Chosen(path, known) = self else { return Ok(()) };
        if open_chosen(path, known, what)?.is_none() {
            make(path).map_err(|error| fail(what, path, error))?;
        }
        let failed = |error| fail(what, path, error);
        let root = Directory::open(path).and_then(Directory::for_its_owner).map_err(failed)?;
        root.make(KeyPrefix::Log.name()).map_err(failed)?;
        let identity = root.identity().map_err(failed)?;
        lock(known).get_or_insert(Known { identity, manifest: None, last: None });
        Ok(())
    }

    /// This was put.
    pub(super) fn note(&self, name: &str, size: u64, body: Option<&[u8]>) {
        let Root::Chosen(_, known) = self else { return };
        if let Some(known) = lock(known).as_mut() {
            if name == Key::Manifest.to_string() {
                known.manifest = body.map(<[u8]>::to_vec);
            } else if !name.starts_with(probe::DIRECTORY) {
                known.last = Some((name.to_owned(), size));
            }
        }
    }

    /// This was removed.
    pub(super) fn forget(&self, name: &str) {
        let Root::Chosen(_, known) = self else { return };
        if let Some(known) = lock(known).as_mut() {
            known.last.take_if(|(last, _)| last == name);
        }
    }
}

fn private(within: &Path, what: &str) -> Result<Option<Private>, StoreError> {
    ebbtide_directory::open_state_directory(within).map_err(|error| fail(what, within, error))
}

fn open_chosen(
    path: &Path,
    known: &Mutex<Option<Known>>,
    what: &str,
) -> Result<Option<Directory>, StoreError> {
    let failed = |error| fail(what, path, error);
    let mut known = lock(known);
    let directory = match Directory::open(path).and_then(Directory::for_its_owner) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound && known.is_none() => {
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(away(what, path, "is gone: is its disk mounted?"));
        }
        Err(error) => return Err(no_directory(path, what).unwrap_or_else(|| failed(error))),
    };
    let identity = directory.identity().map_err(failed)?;
    match known.as_mut() {
        Some(known) if known.identity == identity => {}
        Some(known) if known.is_in(&directory).map_err(failed)? => known.identity = identity,
        Some(_) => {
            let why =
                "is another directory than that in which the replica was: is its disk mounted?";
            return Err(away(what, path, why));
        }
        None => {
            let manifest = manifest(&directory).map_err(failed)?;
            *known =
                manifest.map(|manifest| Known { identity, manifest: Some(manifest), last: None });
        }
    }
    Ok(Some(directory))
}

/// What there is in the place of the replica's directory, if it is something else.
fn no_directory(path: &Path, what: &str) -> Option<StoreError> {
    let metadata = path.metadata().ok().filter(|metadata| !metadata.is_dir())?;
    let kind = kind_of(metadata.file_type());
    let why =
        format!("{} is {kind}, and a replica is a directory: check the address", path.display());
    Some(StoreError::new(ErrorKind::Invalid, what, why))
}

fn lock(known: &Mutex<Option<Known>>) -> MutexGuard<'_, Option<Known>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The place of the replica is not there for now; it may come back.
fn away(what: &str, path: &Path, why: &str) -> StoreError {
    StoreError::new(ErrorKind::Unavailable, what, format!("{} {why}", path.display()))
}

/// A failed operation; a link or something else in the place of a directory is for a person to look at.
pub(super) fn fail(what: &str, path: &Path, error: io::Error) -> StoreError {
    match Refused::of(&error) {
        Some(refused) => StoreError::new(ErrorKind::Invalid, what, refused.to_string()),
        None => StoreError::io(what, path, error),
    }
}

/// Creates a directory and those above it, each durably.
fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => path.parent().map_or(Ok(()), |parent| Directory::open(parent)?.sync()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Those of an automounter and of /proc take no directory although they are there.
            let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) else {
                return Err(error);
            };
            make(parent)?;
            make(path)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}
