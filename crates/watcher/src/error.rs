//! What can go wrong while following a database.

use std::fmt;
use std::io;
use std::path::PathBuf;

use ebbtide_wal::{HeaderError, IndexError, Stop, Unfollowable};

/// Why a database is not, or no longer, followed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is of a kind that cannot be followed; trying again changes nothing until somebody changes the database.
    #[error("cannot follow {}: {refusal}", path.display())]
    Refused {
        /// The database.
        path: PathBuf,
        /// The reason, by name.
        refusal: Refusal,
    },
    /// A file is not the one that was opened any more.
    #[error("{} {moved}", path.display())]
    Moved {
        /// The file.
        path: PathBuf,
        /// What became of it.
        moved: Moved,
    },
    /// The log is not what the wal-index says it is. What was captured before stands; nothing after it can be trusted,
    /// so history is taken up anew from the state of the database.
    #[error("the log of {} broke at frame {frame}: {cause}", path.display())]
    Broken {
        /// The database.
        path: PathBuf,
        /// The first frame that could not be proved.
        frame: u32,
        /// What was wrong with it.
        cause: Break,
    },
    /// SQLite refused.
    #[error("{doing} {}", path.display())]
    Sqlite {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The database.
        path: PathBuf,
        /// SQLite's own words.
        source: rusqlite::Error,
    },
    /// The operating system refused.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's own words.
        source: io::Error,
    },
}

/// Why a database cannot be followed at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such file. It may come.
    Missing,
    /// The file is no database that can be followed. An empty one may become one.
    Unfollowable(Unfollowable),
    /// What stands at this path of the database, its log or its wal-index is no regular file.
    Kind(PathBuf, &'static str),
    /// It keeps a rollback journal instead of a write-ahead log.
    RollbackJournal,
    /// Another process has it to itself.
    Exclusive,
    /// Its file system does not keep the promises on which SQLite's log relies.
    NetworkFileSystem(&'static str),
    /// Its wal-index cannot be opened for locking.
    Locks(String),
    /// This folder of its, in which SQLite would have to make files, cannot be written.
    Folder(PathBuf),
    /// Its wal-index has a form that this does not know.
    WalIndex(IndexError),
    /// It claims to have more pages than there can be.
    Claims {
        /// How many it claims.
        pages: u64,
        /// How many its file and its log can have at most.
        present: u64,
    },
}

/// What became of a file that was being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// Another file stands at its path.
    Replaced,
    /// Nothing stands at its path.
    Deleted,
    /// Its content was changed while nothing of ours held its log, by something else than commits that are in the log.
    Overwritten,
}

/// In what way a log contradicts its wal-index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A frame that was committed does not continue the chain.
    Frame(Stop),
    /// The log's header is not that of the generation which the wal-index names.
    Header(Option<HeaderError>),
    /// The last committed frame is another than the wal-index names.
    LastFrame,
    /// The log was restarted while it was held.
    Restarted,
    /// There are fewer committed frames than were captured already.
    Rewound,
    /// A page beyond the end of the database, or the page of the locks.
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
            Refusal::Folder(folder) => write!(
                f,
                "the folder {} cannot be written, and SQLite has to make -wal and -shm there, which are missing; run \
                 ebbtide as the application's user, or while the application has the database open",
                folder.display()
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
            Break::Frame(Stop::Salts) => f.write_str("it belongs to another generation"),
            Break::Frame(Stop::Page) => f.write_str("it has page number 0"),
            Break::Frame(Stop::Checksum) => f.write_str("its checksum is wrong"),
            Break::Header(Some(reason)) => reason.fmt(f),
            Break::Header(None) => f.write_str("the log's header is of another generation"),
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
