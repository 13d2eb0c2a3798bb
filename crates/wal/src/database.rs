//! The database header, as far as a follower needs it (fileformat2.html, 1.3).

use std::fmt;

use crate::PageSize;

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The fields of a database header that a follower needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatabaseHeader {
    /// The page size.
    pub page_size: PageSize,
    /// Whether the database is in WAL mode.
    pub is_wal: bool,
}

/// Why a file is not a database that can be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfollowable {
    /// The file is empty.
    Empty,
    /// The file is too short, or begins with other bytes: no database, or an encrypted one.
    NotADatabase,
    /// The database is in `wal2` mode, of a branch of SQLite.
    Wal2,
    /// The read version of the file format is newer than those that the bundled SQLite can read.
    Format(u8),
    /// The page size is invalid.
    PageSize(u16),
}

impl DatabaseHeader {
    /// Parses the first bytes of a database file.
    ///
    /// # Errors
    /// When the file cannot be followed in any journal mode.
    pub fn parse(bytes: &[u8]) -> Result<DatabaseHeader, Unfollowable> {
        if bytes.is_empty() {
            return Err(Unfollowable::Empty);
        }
        let bytes: &[u8; 100] = bytes.first_chunk().ok_or(Unfollowable::NotADatabase)?;
        if !bytes.starts_with(MAGIC) {
            return Err(Unfollowable::NotADatabase);
        }
        let is_wal = match (bytes[18], bytes[19]) {
            (1, 1) => false,
            (2, 2) => true,
            (3, 3) => return Err(Unfollowable::Wal2),
            (_, read) => return Err(Unfollowable::Format(read)),
        };
        let size = u16::from_be_bytes([bytes[16], bytes[17]]);
        let page_size = PageSize::from_database_header(size).ok_or(Unfollowable::PageSize(size))?;
        Ok(DatabaseHeader { page_size, is_wal })
    }
}

impl fmt::Display for Unfollowable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfollowable::Empty => f.write_str("the file is empty"),
            Unfollowable::NotADatabase => f.write_str(
                "not an SQLite database (or an encrypted one, which cannot be followed)",
            ),
            Unfollowable::Wal2 => {
                f.write_str("the database is in wal2 mode, which cannot be followed")
            }
            Unfollowable::Format(version) => {
                write!(f, "the database has file format {version}, which this SQLite does not know")
            }
            Unfollowable::PageSize(size) => write!(f, "{size} is not a page size"),
        }
    }
}

impl std::error::Error for Unfollowable {}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(write: u8, read: u8, size: u16) -> Vec<u8> {
        let mut bytes = vec![0; 100];
        bytes[..16].copy_from_slice(MAGIC);
        bytes[16..18].copy_from_slice(&size.to_be_bytes());
        (bytes[18], bytes[19]) = (write, read);
        bytes
    }

    #[test]
    fn journal_modes_are_told_apart() {
        assert!(DatabaseHeader::parse(&header(2, 2, 4096)).unwrap().is_wal);
        assert!(!DatabaseHeader::parse(&header(1, 1, 1)).unwrap().is_wal);
        assert_eq!(DatabaseHeader::parse(&header(3, 3, 4096)), Err(Unfollowable::Wal2));
        assert_eq!(DatabaseHeader::parse(&header(2, 9, 4096)), Err(Unfollowable::Format(9)));
        assert_eq!(DatabaseHeader::parse(&header(2, 2, 77)), Err(Unfollowable::PageSize(77)));
        assert_eq!(DatabaseHeader::parse(b""), Err(Unfollowable::Empty));
        assert_eq!(DatabaseHeader::parse(&[7; 4096]), Err(Unfollowable::NotADatabase));
    }
}
