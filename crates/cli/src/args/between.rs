//! Which two states are compared.

use clap::Args as Arguments;

use super::Access;
use crate::number::Number;
use crate::when::When;

/// Two database files, or two states of a replica.
#[derive(Debug, Arguments)]
pub struct Between {
    /// Two database files, the earlier one first; or one replica (s3://…, file:///…, a directory) or database of the
    /// configuration, of which --txid or --from and --to say two states.
    #[arg(value_name = "OLD.db NEW.db | SOURCE", num_args = 1..=2, required = true)]
    pub sides: Vec<String>,
    /// What this transaction changed: the states right before it and after it.
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    pub txid: Option<Number>,
    /// The earlier state, as `ebbtide restore --timestamp` takes it.
    #[arg(long, value_name = "WHEN")]
    pub from: Option<When>,
    /// The later state; without it, the newest.
    #[arg(long, value_name = "WHEN", requires = "from")]
    pub to: Option<When>,
    /// Compare two states of a replica row by row, and not only what the pages that changed can have changed.
    #[arg(long)]
    pub full: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
