//! A database of the set.

use std::fs;

use ebbtide_config::Database;

use crate::follow::Status;
use crate::roster::{FileKey, key_of};

/// Why a database is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedBy {
    /// The configuration, or the command line, names it.
    Configuration,
    /// A pattern of the configuration does.
    Pattern(String),
    /// It was added while the process ran.
    Command,
}

/// What becomes of it.
#[derive(Debug)]
pub(super) enum Doing {
    Followed,
    /// It ends, and is followed again as this.
    Ending {
        next: Option<Box<(Database, NamedBy)>>,
    },
    /// It cannot be followed, and has ended.
    Stopped,
}

#[derive(Debug)]
pub(super) struct SetMember {
    pub(super) database: Database,
    pub(super) named_by: NamedBy,
    /// Which file it was when it was looked at last.
    pub(super) key: Option<FileKey>,
    pub(super) doing: Doing,
    pub(super) status: Status,
}

impl Doing {
    pub(super) fn is_followed(&self) -> bool {
        matches!(self, Doing::Followed)
    }

    pub(super) fn is_ending(&self) -> bool {
        matches!(self, Doing::Ending { .. })
    }

    /// Whether the task may have its files open.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self, Doing::Stopped)
    }

    /// It is told to end for good.
    pub(super) fn ends(&mut self) {
        if self.is_open() {
            *self = Doing::Ending { next: None };
        }
    }
}

impl SetMember {
    /// Whether the file, which has another name by now, will be let go under this one.
    pub(super) fn is_leaving(&self, key: FileKey) -> bool {
        let is_there = || fs::metadata(&self.database.path).is_ok_and(|it| key_of(&it) == key);
        matches!(self.doing, Doing::Ending { next: None }) || !is_there()
    }
}
