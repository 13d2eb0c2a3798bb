//! The arguments of `ebbtide diff`.

use clap::{Args as Arguments, ValueEnum};

use super::between::Between;

/// `ebbtide diff`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide diff old.db new.db                               how many rows of which table differ
  ebbtide diff --format rows old.db new.db                 the rows: - only in OLD, + only in NEW, ~ in both
  ebbtide diff --format sql old.db new.db >patch.sql       what makes OLD like NEW: sqlite3 old.db <patch.sql
  ebbtide diff --format changeset old.db new.db >changes   for SQLite's session extension
  ebbtide diff --json --table orders old.db new.db         an object a line
  ebbtide diff --exit-code old.db new.db && echo the same
  ebbtide diff --txid 2a --format rows ./backup            what one transaction did
  ebbtide diff --from 'yesterday 14:00' --to now s3://bucket/app

Values are compared by storage class and bytes: 1 and 1.0 differ, and so do 'abc' and 'ABC' whatever the collation. Rows are \
the same if they have the same INTEGER PRIMARY KEY, key of a table WITHOUT ROWID, or rowid; rowids that no column shows are \
given out again by VACUUM, and then the declared key or the whole row is what counts. Neither file is written, nor anything \
beside it; a table that is not compared is named.

Exit codes: 0 compared; 1 a database cannot be read; 3 there is no such state; 4 the replica is damaged; 6 they differ (--exit-code), or something was not compared (--strict).")]
pub struct Diff {
    /// Which states.
    #[command(flatten)]
    pub between: Between,
    /// Only this table, with its indexes and triggers; may be given several times.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// What is printed.
    #[arg(long, value_enum, default_value_t = DiffFormat::Summary)]
    pub format: DiffFormat,
    /// Print an object a line, the same as --format json.
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
    /// By what rows are paired, where a table has both.
    #[arg(long, value_enum, default_value_t = PairBy::Rowid, value_name = "KEY")]
    pub key: PairBy,
    /// Prove each page of a replica against the digest of its state before it is used.
    #[arg(long)]
    pub prove: bool,
    /// End with exit code 6 if they differ.
    #[arg(long)]
    pub exit_code: bool,
    /// End with exit code 6 if something was not compared, or cannot be said in the format.
    #[arg(long)]
    pub strict: bool,
}

/// What `ebbtide diff` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// How many rows of each table.
    Summary,
    /// Each row.
    Rows,
    /// A script that makes the old database the new one.
    Sql,
    /// A changeset of SQLite's session extension.
    Changeset,
    /// An object a line.
    Json,
}

/// By what rows are paired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PairBy {
    /// The rowid.
    Rowid,
    /// The declared primary key.
    Pk,
}
