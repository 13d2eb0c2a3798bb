//! The arguments of `ebbtide export`.

use std::path::PathBuf;

use clap::{Args as Arguments, ValueEnum};
use ebbtide_export::Cast;

use super::Read;

/// `ebbtide export`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide export --format csv --table orders app.db >orders.csv
  ebbtide export --format json --output tables --at '5m ago' ./backup   a file for each table
  ebbtide export --format sql --table orders app.db         as `ebbtide dump`
  ebbtide export --format postgres app.db | psql -1 -v ON_ERROR_STOP=1 postgres://localhost/app
  ebbtide export --format postgres --cast 'orders.created=timestamptz:epoch-ms' --report report.json -o app.sql app.db

CSV is that of RFC 4180, with a line of names; an empty text stands in quotes, NULL does not. Blobs are hexadecimal digits. \
JSON has an object a line; blobs are {\"blob\":\"hex\"}.

PostgreSQL: types are chosen from the values that are there, which are all looked at first. What is another type on the \
other side, or is not there, is said on standard error and in the --report; what only a person can decide is refused, and \
then nothing is written. The script is loaded whole or not at all.

Exit codes: 0 done; 1 failed; 2 wrong use; 3 there is nothing; 4 damaged; 6 something needs a word (--cast, --nul, \
--broken-keys), and nothing was written.")]
pub struct Export {
    /// Of what.
    #[command(flatten)]
    pub read: Read,
    /// As what.
    #[arg(long, value_enum)]
    pub format: ExportFormat,
    /// Only this table; may be given several times. A view for csv and json.
    #[arg(long = "table", value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Write into this file, which appears when it is whole; for several tables as csv or json a directory, with a file
    /// for each.
    #[arg(short, long, value_name = "PATH")]
    pub output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long, requires = "output")]
    pub force: bool,
    /// csv: what stands for NULL.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub null: String,
    /// csv, postgres: what becomes of text with NUL, which neither can have.
    #[arg(long, value_enum, default_value_t = Nul::Refuse, value_name = "HOW")]
    pub nul: Nul,
    /// postgres: the type of a column, and how its values are read (epoch, epoch-ms, epoch-us, julian, utc); may be given
    /// several times.
    #[arg(long = "cast", value_name = "TABLE.COLUMN=TYPE[:READING]")]
    pub casts: Vec<Cast>,
    /// postgres: what becomes of keys that rows break, or that PostgreSQL cannot have.
    #[arg(long, value_enum, default_value_t = Broken::Refuse, value_name = "HOW")]
    pub broken_keys: Broken,
    /// Write all that is to be said into this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long, requires = "output")]
    pub json: bool,
}

/// Forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    /// RFC 4180.
    Csv,
    /// An object a line.
    Json,
    /// SQLite's own SQL.
    Sql,
    /// A script for psql.
    Postgres,
}

impl ExportFormat {
    /// How the names of its files end.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            ExportFormat::Csv => "csv",
            ExportFormat::Json => "jsonl",
            ExportFormat::Sql | ExportFormat::Postgres => "sql",
        }
    }
}

/// What becomes of text with NUL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Nul {
    /// Nothing is written.
    Refuse,
    /// It becomes bytes.
    Bytea,
    /// The NULs are taken out.
    Strip,
}

/// What becomes of keys that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Broken {
    /// Nothing is written.
    Refuse,
    /// They are left out.
    LeaveOut,
}
