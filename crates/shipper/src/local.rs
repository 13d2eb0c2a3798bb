//! The database that a replica is opened for.

use std::path::PathBuf;

use ebbtide_replica::ClaimedFile;
use ebbtide_state::{FileIdentity, Position, State};
use ebbtide_wal::PageSize;

/// The database and its local state.
#[derive(Debug)]
pub struct Local {
    /// The local state of an earlier run, if its page hashes add up.
    pub state: Option<State>,
    /// The durable position of an earlier run, even if its page hashes do not add up.
    pub remembered: Option<Position>,
    /// The directory of the local state.
    pub directory: PathBuf,
    /// The database's file.
    pub database: Option<FileIdentity>,
    /// The database's file, as a claim names it.
    pub file: Option<ClaimedFile>,
    /// The name of this host, as a claim has it.
    pub host: String,
    /// The page size of the database.
    pub page_size: PageSize,
}
