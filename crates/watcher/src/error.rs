//! The errors of following a database.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ebbtide_wal::{HeaderError, IndexError, Stop, Unfollowable};

/// Why a database is not, or no longer, followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is of a kind that cannot be followed; a retry is useless until the database is changed.
    #[error("cannot follow {}: {refusal}", path.display())]
    Refused {
        /// The database.
        path: PathBuf,
        /// The reason, by name.
        refusal: Refusal,
    },
    /// The path no longer names the file that was opened.
    #[error("{} {moved}", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
        /// How the file changed.
        moved: Moved,
    },
    /// The log contradicts the wal-index. The commits captured before are right; later ones cannot be proved, so the
    /// next session begins with the state of the database.
    #[error("the log of {} broke at frame {frame}: {cause}", path.display())]
    Broken {
        /// The database.
        path: PathBuf,
        /// The first frame that could not be proved.
        frame: u32,
        /// Why the frame could not be proved.
        cause: Break,
    },
    /// SQLite refused.
    #[error("{doing} {}", path.display())]
    Sqlite {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// SQLite's error.
        source: rusqlite::Error,
    },
    /// The operating system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Why a database cannot be followed at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The file does not exist. It may be created later.
    Missing,
    /// The file is no database that can be followed. An empty file may become one.
    Unfollowable(Unfollowable),
    /// This path, of the database, its log or its wal-index, names no regular file.
    Kind(PathBuf, &'static str),
    /// The database is in rollback-journal mode.
    RollbackJournal,
    /// Another process has locked the database exclusively.
    Exclusive,
    /// The locks and shared memory that WAL mode needs do not work on this file system.
    NetworkFileSystem(&'static str),
    /// The wal-index cannot be opened for locking.
    Locks(String),
    /// The database's directory, in which SQLite would have to create files, cannot be written.
    Directory(PathBuf),
    /// The wal-index has an unknown format.
    WalIndex(IndexError),
    /// The database claims to have more pages than its file and its log have.
    Claims {
        /// The number of pages that it claims.
        pages: u64,
        /// The number of pages that its file and its log have at most.
        present: u64,
    },
}

/// How a file changed that was being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// The path names another file.
    Replaced,
    /// The path names no file.
    Deleted,
    /// The content was changed during a rest, otherwise than by commits in the log.
    Overwritten,
}

/// In what way a log contradicts its wal-index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A frame that was committed does not continue the chain.
    Frame(Stop),
    /// The log's header is damaged, or of another WAL generation than the wal-index.
    Header(Option<HeaderError>),
    /// The checksum or database size of the last committed frame differs from the wal-index.
    LastFrame,
    /// The log was restarted while it was held.
    Restarted,
    /// The log has fewer committed frames than were captured.
    Rewound,
    /// A frame of the lock-byte page.
    Page(u32),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Missing => f.write_str("there is no such file"),
            Refusal::Unfollowable(reason) => reason.fmt(f),
            Refusal::Kind(path, kind) => write!(
                f,
                "{} is {kind} and no regular file: look who has put it there, and remove it",
                path.display()
            ),
            Refusal::RollbackJournal => f.write_str(
                "it is in rollback-journal mode; switch it with `PRAGMA journal_mode=WAL` in the application, \
                 or let ebbtide do it with --enable-wal",
            ),
            Refusal::Exclusive => f.write_str(
                "another process has it locked (locking_mode=EXCLUSIVE, the unix-excl VFS, or a long schema change); \
                 only a database that is shared can be followed",
            ),
            Refusal::NetworkFileSystem(name) => write!(
                f,
                "it lies on {name}, where SQLite's locks and shared memory do not work; \
                 move it to a local disk"
            ),
            Refusal::Locks(reason) => {
                write!(f, "its -shm file cannot be opened for reading and locking: {reason}")
            }
            Refusal::Directory(directory) => write!(
                f,
                "the directory {} cannot be written, and SQLite has to create -wal and -shm there, which are missing; run \
                 ebbtide as the application's user, or while the application has the database open",
                directory.display()
            ),
            Refusal::Claims { pages, present } => write!(
                f,
                "it claims to have {pages} pages, and there are no more than {present} in its file and its log: it is \
                 damaged; restore its last good state"
            ),
            Refusal::WalIndex(reason) => write!(f, "its wal-index cannot be read: {reason}"),
        }
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Moved::Replaced => f.write_str("was replaced by another file"),
            Moved::Deleted => f.write_str("was deleted"),
            Moved::Overwritten => f.write_str("was overwritten while no application had it open"),
        }
    }
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Break::Frame(Stop::Short) => f.write_str("the log ends before what was committed"),
            Break::Frame(Stop::Salts) => f.write_str("it belongs to another WAL generation"),
            Break::Frame(Stop::Page) => f.write_str("it has page number 0"),
            Break::Frame(Stop::Checksum) => f.write_str("its checksum is wrong"),
            Break::Header(Some(reason)) => reason.fmt(f),
            Break::Header(None) => f.write_str("the log's header is of another WAL generation"),
            Break::LastFrame => {
                f.write_str("it is not the frame that the wal-index names as the last")
            }
            Break::Restarted => f.write_str("the log was restarted although it was held"),
            Break::Rewound => f.write_str("the log is shorter than what was read from it"),
            Break::Page(page) => {
                write!(f, "it holds page {page}, which the database does not have")
            }
        }
    }
}
