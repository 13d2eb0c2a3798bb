//! Where pages and their hashes go: the file that becomes the database, and the local state.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_replica::PageHash;
use ebbtide_replica::container::BlockScratch;
use ebbtide_state::Fill;
use ebbtide_wal::{PageNumber, PageSize};

use crate::error::{Error, Result};

/// The file and the table of hashes. Any number of threads may write to it.
#[derive(Debug)]
pub(crate) struct Sink {
    /// Nothing: the pages are proved and forgotten.
    file: Option<Arc<File>>,
    path: PathBuf,
    page_size: PageSize,
    fill: Option<Arc<Fill>>,
    /// The system lets one at a time write to a file, and has the others wait for it without sleeping.
    turn: Mutex<()>,
    /// Memory that nobody uses at the moment.
    scratch: Mutex<Vec<Scratch>>,
}

/// Memory for one block.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// As it is in the object, if it did not come in one piece.
    pub(crate) stored: Vec<u8>,
    /// Decoded.
    pub(crate) decoded: BlockScratch,
}

impl Sink {
    /// For the file at `path` and, if one is to be left, a local state.
    pub(crate) fn new(
        file: &Arc<File>,
        path: &Path,
        page_size: PageSize,
        fill: Option<Arc<Fill>>,
    ) -> Sink {
        let (file, path) = (Some(Arc::clone(file)), path.to_path_buf());
        Sink { file, path, page_size, fill, turn: Mutex::default(), scratch: Mutex::default() }
    }

    /// For pages that are only to be proved.
    pub(crate) fn nowhere(page_size: PageSize) -> Sink {
        let (turn, scratch) = (Mutex::default(), Mutex::default());
        Sink { file: None, path: PathBuf::new(), page_size, fill: None, turn, scratch }
    }

    /// Writes consecutive pages from `first` on.
    pub(crate) fn write(
        &self,
        first: PageNumber,
        images: &[u8],
        hashes: &[PageHash],
    ) -> Result<()> {
        let offset = first.offset(self.page_size);
        if let Some(file) = &self.file {
            let written = {
                let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
                file.write_all_at(images, offset)
            };
            written.map_err(Error::io("write", &self.path))?;
        }
        match &self.fill {
            Some(fill) => Ok(fill.set(first, hashes)?),
            None => Ok(()),
        }
    }

    /// Has the disk write back what lies in the cache.
    pub(crate) fn write_back(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_data().map_err(Error::io("write back", &self.path))
    }

    /// Memory for a block; give it back with [`Sink::keep_scratch`].
    pub(crate) fn scratch(&self) -> Scratch {
        let mut kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    /// Keeps memory for the next request.
    pub(crate) fn keep_scratch(&self, scratch: Scratch) {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
    }
}
