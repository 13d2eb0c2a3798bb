//! `ebbtide verify`.

use clap::Args as Arguments;
use ebbtide_restore::Share;

use super::Access;
use crate::number::Number;
use crate::when::When;

/// `ebbtide verify`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide verify ./backup                                  every object, and that together they are one history
  ebbtide verify --restore app.db                          also restore the newest state of a database of ebbtide.toml
  ebbtide verify --restore --mark before-migration ./backup
  ebbtide verify --restore --timestamp '30d ago' ./backup
  ebbtide verify --sample 5% ./backup                      one twentieth each day, from cron

Exit codes: 0 sound; 3 the state that was to be restored is not there; 4 something is damaged or missing.")]
pub struct Verify {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Also restore a state, the newest unless another is named, to a temporary file, and check it with SQLite.
    #[arg(long, conflicts_with = "sample")]
    pub restore: bool,
    /// The state to restore: as `ebbtide restore --timestamp` takes it.
    #[arg(long, value_name = "WHEN", requires = "restore", conflicts_with = "txid")]
    pub timestamp: Option<When>,
    /// The state to restore: the one after this transaction.
    #[arg(long, value_name = "N", requires = "restore")]
    pub txid: Option<Number>,
    /// The state to restore: the one that is marked so.
    #[arg(long, value_name = "NAME", requires = "restore", conflicts_with_all = ["timestamp", "txid"])]
    pub mark: Option<String>,
    /// Prove only the day's share of the bytes, such as 5% or 1/30: run each day, everything is read once in 20 or 30 days.
    #[arg(long, value_name = "SHARE")]
    pub sample: Option<Share>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
