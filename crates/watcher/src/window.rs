//! A part of the log in memory: consecutive whole frames.

use std::fs::File;

use ebbtide_wal::{FRAME_HEADER_BYTES, PageSize, frame_offset};

use crate::error::Error;
use crate::files::{Paths, read_up_to};

/// How many bytes of the log are in memory at the same time.
pub(crate) const WINDOW_BYTES: usize = 1 << 20;

/// Consecutive whole frames in memory, from frame `first` on.
#[derive(Debug, Default)]
pub(crate) struct Window {
    first: u32,
    bytes: Vec<u8>,
}

impl Window {
    /// The first frame in memory.
    pub(crate) fn first(&self) -> u32 {
        self.first
    }

    /// All frames in memory.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Forgets all frames.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The frames from `frame` on, of `whole` bytes each; none if the window does not have them.
    pub(crate) fn from(&self, frame: u32, whole: usize) -> &[u8] {
        let skip = frame.checked_sub(self.first).map(|frames| frames as usize * whole);
        skip.and_then(|skip| self.bytes.get(skip..)).unwrap_or_default()
    }

    /// Reads frames from `first` up to `last`, as many as a window holds.
    pub(crate) fn fill(
        &mut self,
        file: &File,
        paths: &Paths,
        size: PageSize,
        first: u32,
        last: u32,
    ) -> Result<(), Error> {
        let whole = FRAME_HEADER_BYTES + size.bytes();
        let frames = (last.saturating_sub(first) as usize + 1).min((WINDOW_BYTES / whole).max(1));
        self.first = first;
        self.bytes.resize(frames * whole, 0);
        let offset = frame_offset(first, size).unwrap_or(0);
        let read = read_up_to(file, &mut self.bytes, offset).map_err(|source| Error::Io {
            doing: "read",
            path: paths.wal.clone(),
            source,
        })?;
        self.bytes.truncate(read);
        Ok(())
    }
}
