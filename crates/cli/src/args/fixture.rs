//! The arguments of `ebbtide fixture`.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::Read;

/// `ebbtide fixture`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide fixture -o tests/app.db app.db                   all of it
  ebbtide fixture -o tests/app.db --at '2026-11-21' --table orders --where 'orders: id < 100' ./backup

The file is made from the schema and the rows, in journal mode DELETE: the same rows give the same bytes, whatever their \
history, with the same ebbtide. Rows that chosen rows refer to by foreign keys come along; rowids that no column names are \
numbered again.

Exit codes: 0 done; 1 failed; 2 wrong use, or OUT exists; 3 there is nothing; 4 damaged.")]
pub struct Fixture {
    /// Of what.
    #[command(flatten)]
    pub read: Read,
    /// The database file to write, which appears when it is whole.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Only this table, and what its rows refer to; may be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Only rows of a table for which this SQL is true, as 'TABLE: EXPRESSION', or the expression alone with one --table;
    /// may be given several times.
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<String>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}
