//! The arguments of `ebbtide log`.

use clap::Args as Arguments;

use super::Access;
use crate::when::When;

/// `ebbtide log`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
A line for each entry: a commit; a resync, which brought the replica up to date after history was missed; or a claim, by \
which a process took the replica over. A gap is what was missed before a resync; a fork is a resync to a database that \
had lost what the replica had. On a terminal the newest come first, with local times and without claims; in a pipe, from the \
first to the last with times in UTC, and the last lines sum up what is shown.")]
pub struct Log {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Print an object a line.
    #[arg(long)]
    pub json: bool,
    /// Say of each commit which tables it changed, and by how many rows: +inserted, -deleted, ~updated.
    #[arg(long)]
    pub tables: bool,
    /// Only entries that changed this table, with what --tables says of them.
    #[arg(long, value_name = "TABLE")]
    pub changed: Option<String>,
    /// Only entries at or after this time, or this entry (txid:N).
    #[arg(long, value_name = "WHEN", visible_alias = "since")]
    pub from: Option<When>,
    /// Only entries at or before this time, or this entry.
    #[arg(long, value_name = "WHEN", visible_alias = "until")]
    pub to: Option<When>,
    /// Only the newest N of them; on a terminal 20 if nothing is said.
    #[arg(short = 'n', long, value_name = "N")]
    pub newest: Option<usize>,
    /// On a terminal, all of them, with those by which processes took the replica over.
    #[arg(long, conflicts_with = "newest")]
    pub all: bool,
    /// On a terminal, show times in UTC instead of the local zone.
    #[arg(long)]
    pub utc: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
