//! What a database was after each of its commits, byte for byte.
//!
//! The oracle asks SQLite alone, never the log or anything of ours, so that what is restored can be judged by it.

use std::fs::File;
use std::io;
use std::path::Path;
use std::str::FromStr;

use rusqlite::{Connection, OpenFlags};

/// The bytes of a database, by their number and their hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The size of the file.
    pub bytes: u64,
    /// BLAKE3 of all of it.
    pub hash: blake3::Hash,
}

impl Image {
    /// The image that is `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Image {
        Image { bytes: bytes.len() as u64, hash: blake3::hash(bytes) }
    }

    /// The image that lies in a file. Not for a database that this process has open: reading one drops SQLite's locks
    /// on it as soon as the file is closed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn of_file(path: &Path) -> io::Result<Image> {
        let mut hasher = blake3::Hasher::new();
        let bytes = io::copy(&mut File::open(path)?, &mut hasher)?;
        Ok(Image { bytes, hash: hasher.finalize() })
    }
}

impl std::fmt::Display for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.bytes, self.hash)
    }
}

impl FromStr for Image {
    type Err = String;

    fn from_str(text: &str) -> Result<Image, String> {
        let image = || {
            let (bytes, hash) = text.split_once(' ')?;
            Some(Image { bytes: bytes.parse().ok()?, hash: hash.parse().ok()? })
        };
        image().ok_or_else(|| format!("not the size and the hash of an image: {text}"))
    }
}

/// What the file would be if everything committed so far were checkpointed into it, the page of SQLite's locks being
/// zeros. It comes from a connection that lives no longer than this call, so that no cache is in between.
///
/// # Errors
///
/// When SQLite cannot read the database.
pub fn committed(path: &Path) -> rusqlite::Result<Vec<u8>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(30))?;
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection.serialize("main")?.to_vec())
}

/// The images of a database, one for each commit that changed it, in their order.
#[derive(Debug)]
pub struct Oracle {
    images: Vec<Image>,
    bodies: Option<Vec<Vec<u8>>>,
}

/// How much an [`Oracle`] remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The hash of each image, which is enough to tell which commit a file is.
    Hashes,
    /// All bytes of each, which tells where a file differs.
    Bodies,
}

impl Oracle {
    /// An oracle that has seen nothing.
    #[must_use]
    pub fn new(keep: Keep) -> Oracle {
        let bodies = match keep {
            Keep::Hashes => None,
            Keep::Bodies => Some(Vec::new()),
        };
        Oracle { images: Vec::new(), bodies }
    }

    /// Looks at the database after a commit. `None` means that nothing has changed since the last look.
    ///
    /// # Errors
    ///
    /// When SQLite cannot read the database.
    pub fn capture(&mut self, path: &Path) -> rusqlite::Result<Option<usize>> {
        let body = committed(path)?;
        let image = Image::of(&body);
        if self.images.last() == Some(&image) {
            return Ok(None);
        }
        if let Some(bodies) = &mut self.bodies {
            bodies.push(body);
        }
        Ok(Some(self.push(image)))
    }

    /// Adds an image that was captured elsewhere.
    pub fn push(&mut self, image: Image) -> usize {
        self.images.push(image);
        self.images.len() - 1
    }

    /// Which commit left these bytes; the last one if there are several.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        self.find_image(Image::of(bytes))
    }

    /// Which commit left this file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read.
    pub fn find_file(&self, path: &Path) -> io::Result<Option<usize>> {
        Image::of_file(path).map(|image| self.find_image(image))
    }

    /// Which commit left this image; the last one if there are several.
    #[must_use]
    pub fn find_image(&self, image: Image) -> Option<usize> {
        self.images.iter().rposition(|known| *known == image)
    }

    /// All images so far.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// The bytes that a commit left, if they are kept.
    #[must_use]
    pub fn body(&self, index: usize) -> Option<&[u8]> {
        self.bodies.as_ref()?.get(index).map(Vec::as_slice)
    }
}
