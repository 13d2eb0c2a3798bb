//! The arguments of `ebbtide dump`.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::Read;

/// `ebbtide dump`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide dump app.db | sqlite3 new.db                     the file as it is now
  ebbtide dump --at '5m ago' -o dump.sql ./backup          any state of a replica
  ebbtide dump --at before:2a --table orders ./backup      one table, with its indexes and triggers

It prints what the .dump of SQLite's shell prints, and loses less: text with NUL or bad UTF-8, reals to the bit, the \
encoding, user_version and application_id. Page size, auto-vacuum, the journal mode, and rowids that no column names are \
not in it; --preserve-rowids keeps the last.

A script with virtual tables writes the schema itself, which shells from 3.42 on forbid: \
sqlite3 -cmd '.dbconfig defensive off' new.db < dump.sql

Exit codes: 0 done; 1 failed; 2 wrong use; 3 there is nothing; 4 damaged; 6 a table cannot be read with this SQLite.")]
pub struct Dump {
    /// Of what.
    #[command(flatten)]
    pub read: Read,
    /// Only this table, with its indexes and triggers; may be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Also write rowids that no column names.
    #[arg(long)]
    pub preserve_rowids: bool,
    /// Write into this file, which appears when it is whole.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// Print the result as JSON.
    #[arg(long, requires = "output")]
    pub json: bool,
}
