//! Arguments of the commands that ask when something changed.

use clap::Args as Arguments;

use super::Access;
use crate::when::When;

/// `ebbtide when`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide when ./backup 'SELECT count(*) FROM orders WHERE customer = 7' --from '2d ago'
  ebbtide when --falls ./backup 'SELECT count(*) FROM orders'     only where it became less
  ebbtide when ./backup 'SELECT name FROM sqlite_schema'          when the schema changed

A line for each transaction at which the answer to the query changed, the newest first, with the answer before and after. \
It is exact: the query is asked wherever a page that it reads was changed, and nowhere else. A query whose answer the \
database alone does not decide is refused: one with random() or 'now', for example.")]
pub struct Asking {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The query.
    #[arg(value_name = "SELECT")]
    pub sql: String,
    /// Only where the answer, a single number, became less.
    #[arg(long, conflicts_with = "rises")]
    pub falls: bool,
    /// Only where the answer, a single number, became more.
    #[arg(long)]
    pub rises: bool,
    /// How far, and how.
    #[command(flatten)]
    pub search: Search,
}

/// `ebbtide blame`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide blame ./backup orders 42              what became of the row whose key is 42, the newest change first
  ebbtide blame ./backup lines 42 3             a primary key of two columns
  ebbtide blame --limit 1 app.db orders 42      who changed it last

The table's primary key decides which row is meant, and where there is none its rowid. Who asked for a transaction no page \
says; what else it did, `ebbtide when` and `ebbtide log` show.")]
pub struct Blame {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The table.
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// The row's key: a value for each column of it. x'…' is a blob.
    #[arg(value_name = "KEY", required = true, allow_negative_numbers = true)]
    pub key: Vec<String>,
    /// How far, and how.
    #[command(flatten)]
    pub search: Search,
}

/// How far a search goes back, and how it tells.
#[derive(Debug, Arguments)]
pub struct Search {
    /// Not further back than the state at this time, or after this entry (txid:N).
    #[arg(long, value_name = "WHEN")]
    pub from: Option<When>,
    /// Only changes before this time, or up to this entry.
    #[arg(long, value_name = "WHEN")]
    pub to: Option<When>,
    /// How many changes are enough.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: u64,
    /// Prove each page that is read against the digest of its state.
    #[arg(long)]
    pub prove: bool,
    /// Print an object a line.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
