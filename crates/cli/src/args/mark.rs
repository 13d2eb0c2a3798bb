//! Arguments of the commands that give states names.

use std::time::Duration;

use clap::Args as Arguments;
use ebbtide_retention::Period;

use super::Access;
use crate::number::Number;
use crate::when::When;

/// `ebbtide mark`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide mark before-migration app.db                     what is committed now, made durable first
  ebbtide mark --for 90d release-7 app.db                  kept for 90 days
  ebbtide mark --timestamp 'yesterday 14:00' audit s3://bucket/app

The state is kept by every policy until the mark ends or is removed. Where a running `ebbtide replicate` follows the \
database, it ships what is committed first; otherwise the newest state of the replica is marked.

Exit codes: 0 marked; 1 what is committed did not become durable in time, or the store failed; 3 there is no such state, or \
it may be deleted any moment.")]
pub struct Mark {
    /// What the mark is called.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The database, as it is followed or as the configuration has it; or its replica.
    #[arg(value_name = "DB|REPLICA")]
    pub source: String,
    /// For how long the state is kept, such as "36h", "90d" or "1y". Without it, until the mark is removed.
    #[arg(long = "for", value_name = "PERIOD")]
    pub lasts: Option<Period>,
    /// The state at this time, as `ebbtide restore --timestamp` takes it.
    #[arg(long, value_name = "WHEN", conflicts_with = "txid")]
    pub timestamp: Option<When>,
    /// The state after this transaction.
    #[arg(long, value_name = "N")]
    pub txid: Option<Number>,
    /// How long to wait until what is committed is durable, such as "500ms" or "2m".
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = ebbtide_config::duration)]
    pub timeout: Duration,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide marks`.
#[derive(Debug, Arguments)]
pub struct Marks {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "DB|REPLICA")]
    pub source: String,
    /// Print an object a line.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// `ebbtide unmark`.
#[derive(Debug, Arguments)]
pub struct Unmark {
    /// The name of the mark, or its id, as `ebbtide marks` prints it.
    #[arg(value_name = "NAME|ID")]
    pub mark: String,
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "DB|REPLICA")]
    pub source: String,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
