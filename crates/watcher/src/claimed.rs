//! A check of the number of pages that a database claims to have against its file and its log.
//!
//! One row with a damaged overflow page number makes SQLite write a pointer-map entry for that page, wherever it is: a
//! database of five pages then claims to have three terabytes, and every scan of all its pages takes hours. The pages
//! do not exist, so the size of the file shows the damage.

use std::os::unix::fs::MetadataExt as _;

use ebbtide_wal::{Index, PageSize};

use crate::error::{Error, Refusal};
use crate::files::Paths;

/// The size from which on a database is checked for holes.
const HOLLOW_BYTES_MIN: u64 = 16 << 30;
/// A file with less than this share of allocated blocks was never written. No file system compresses pages that well.
const HOLLOW_SHARE: u64 = 1024;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// The size of the file.
#[derive(Debug, Clone, Copy)]
struct Taken {
    bytes: u64,
    /// The size of the allocated blocks, without holes.
    allocated: u64,
}

/// Refuses a database that claims, as of its last commit, to have more pages than its file and its log have.
pub(crate) fn check_size(paths: &Paths, size: PageSize, index: &Index) -> Result<(), Error> {
    let path = &paths.database;
    let metadata = std::fs::metadata(path).map_err(|source| Error::Io {
        doing: "look at",
        path: path.clone(),
        source,
    })?;
    let taken =
        Taken { bytes: metadata.len(), allocated: metadata.blocks().saturating_mul(BLOCK_BYTES) };
    match excess(taken, size, index) {
        Some((pages, present)) => Err(paths.refuse(Refusal::Claims { pages, present })),
        None => Ok(()),
    }
}

/// The number of claimed pages and of pages that can exist, if the latter is smaller.
fn excess(taken: Taken, size: PageSize, index: &Index) -> Option<(u64, u64)> {
    let logged = u64::from(index.frames);
    let in_file = taken.bytes / size.offset();
    let claimed = match (index.frames, index.database_pages) {
        (0, _) | (_, 0) => in_file,
        (_, pages) => u64::from(pages),
    };
    let present = in_file + logged;
    if claimed > present {
        return Some((claimed, present));
    }
    let written = taken.allocated / size.offset() + logged;
    let is_hollow = claimed * size.offset() >= HOLLOW_BYTES_MIN && written < claimed / HOLLOW_SHARE;
    is_hollow.then_some((claimed, written))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excess_of(bytes: u64, allocated: u64, frames: u32, database_pages: u32) -> Option<u64> {
        let size = PageSize::new(4096).expect("a size of pages");
        let index = Index { frames, database_pages, ..Index::default() };
        excess(Taken { bytes, allocated }, size, &index).map(|(_, present)| present)
    }

    #[test]
    fn o11_pages_must_be_in_the_file_or_in_the_log() {
        assert_eq!(excess_of(5 * 4096, 5 * 4096, 0, 0), None);
        assert_eq!(excess_of(5 * 4096, 5 * 4096, 10, 15), None);
        assert_eq!(excess_of(5 * 4096, 5 * 4096, 10, 16), Some(15));
        assert_eq!(excess_of(0, 0, 3, 3), None, "nothing was copied yet");
        assert_eq!(excess_of(5 * 4096, 5 * 4096, 20, 755_004_342), Some(25));
    }

    #[test]
    fn o11_a_file_of_terabytes_that_takes_a_few_blocks_was_not_written() {
        let claimed = 755_004_342 * 4096;
        assert_eq!(excess_of(claimed, 9 * 4096, 0, 0), Some(9));
        assert_eq!(excess_of(claimed, 9 * 4096, 20, 755_004_342), Some(29));
        assert_eq!(excess_of(claimed, claimed / 100, 0, 0), None, "compressed by its file system");
        assert_eq!(excess_of(1 << 30, 4096, 0, 0), None, "a hole where the application wanted one");
    }
}
