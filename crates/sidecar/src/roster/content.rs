//! What a file is, by its first bytes and its size.

use ebbtide_wal::{DatabaseHeader, Unfollowable};

/// So much of a file is read.
pub(super) const START_BYTES: u64 = 100;

/// Where the header has the counter of changes, the size in pages, and the counter for which that size is right.
const CHANGES: usize = 24;
const PAGES: usize = 28;
const PAGES_VALID_FOR: usize = 92;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// A database with a write-ahead log.
    Wal,
    /// A database in rollback-journal mode.
    Journal,
    /// It may become a database: it is empty, or shorter than it says.
    Unfinished,
    /// No database, or none that can be followed.
    Other,
}

/// What a file of `file_bytes` is that begins with `start`. `has_log` says that there is something in a log beside it, which
/// may have the pages that the file lacks.
pub(super) fn content(start: &[u8], file_bytes: u64, has_log: bool) -> Content {
    let header = match DatabaseHeader::parse(start) {
        Ok(header) => header,
        Err(Unfollowable::Empty) => return Content::Unfinished,
        // Whoever copies a file may make all of it first, or write less than a header at first.
        Err(Unfollowable::NotADatabase)
            if (start.len() as u64) < START_BYTES || start.iter().all(|&byte| byte == 0) =>
        {
            return Content::Unfinished;
        }
        Err(_) => return Content::Other,
    };
    let word = |at: usize| start.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes);
    let is_valid = word(CHANGES) == word(PAGES_VALID_FOR);
    let pages = word(PAGES).filter(|_| is_valid).unwrap_or(0);
    let is_short = u64::from(pages) * header.page_size.offset() > file_bytes;
    match header.is_wal {
        _ if is_short && !has_log => Content::Unfinished,
        true => Content::Wal,
        false => Content::Journal,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn database(mode: &str) -> Vec<u8> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let sql = format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (b); INSERT INTO t VALUES (zeroblob(9000))"
        );
        let application = rusqlite::Connection::open(&path).unwrap();
        application.execute_batch(&sql).unwrap();
        application.close().unwrap();
        fs::read(&path).unwrap()
    }

    #[test]
    fn a_file_is_a_database_once_all_of_it_is_there() {
        for (mode, whole) in [("WAL", Content::Wal), ("DELETE", Content::Journal)] {
            let bytes = database(mode);
            let of = |length: usize, has_log| {
                let start = &bytes[..length.min(100)];
                content(start, length as u64, has_log)
            };
            assert_eq!(of(bytes.len(), false), whole, "{mode}");
            for length in [0, 1, 99, 100, 4096, bytes.len() - 1] {
                assert_eq!(of(length, false), Content::Unfinished, "{mode}: {length} bytes");
            }
            assert_eq!(of(4096, true), whole, "{mode}: the log has the rest");
        }
    }

    #[test]
    fn what_is_no_database_is_told_from_what_may_become_one() {
        assert_eq!(content(&[7; 100], 8192, false), Content::Other);
        assert_eq!(content(&[0; 100], 8192, false), Content::Unfinished);
        assert_eq!(content(b"SQLite for", 10, false), Content::Unfinished);
        let mut newer = database("WAL");
        newer[19] = 9;
        assert_eq!(content(&newer[..100], newer.len() as u64, false), Content::Other);
    }
}
