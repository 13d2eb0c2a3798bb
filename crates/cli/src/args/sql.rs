//! The arguments of `ebbtide sql`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::Args as Arguments;

use super::Access;
use crate::when::When;

/// `ebbtide sql`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide sql --at '5m ago' ./backup 'SELECT * FROM orders WHERE id = 42'
  ebbtide sql --at before:2a ./backup                      a prompt, right before transaction 2a
  ebbtide sql --at before:2a --attach later=txid:2a ./backup 'SELECT * FROM orders EXCEPT SELECT * FROM later.orders'
  ebbtide sql --at yesterday --csv ./backup 'SELECT * FROM orders' > orders.csv
  ebbtide sql --at before:2a --with app.db --write ./backup 'INSERT INTO orders SELECT * FROM \"then\".orders WHERE id = 42'

The state of --at is `main`; with --with the live file is `main`, and the state is `then`. Nothing of the past can be written. \
Of the live file no log is checkpointed, so what replicates it goes on.

What was read and how far it is proved is told on standard error, or in the first line of --json.

Exit codes: 0 done; 1 SQLite refused a statement, or the store failed; 2 wrong use; 3 there is no such state; 4 what would give it \
is damaged.")]
pub struct Sql {
    /// The replica, or the path of a database of the configuration.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// One or more statements. Without them: from standard input, or a prompt if that is a terminal.
    #[arg(value_name = "SQL")]
    pub sql: Option<String>,
    /// The state that is asked: RFC 3339, "2026-11-21 09:30" or "yesterday 14:00" in the local zone, "now", "5m ago",
    /// txid:N, or before:N for the state right before an entry.
    #[arg(long, value_name = "WHEN", default_value = "now")]
    pub at: When,
    /// One more state beside it, as the schema NAME.
    #[arg(long, value_name = "NAME=WHEN")]
    pub attach: Vec<NamedState>,
    /// Ask beside this live database, which is `main` then; the state of --at is `then`.
    #[arg(long, value_name = "DB")]
    pub with: Option<PathBuf>,
    /// Let statements change the live database.
    #[arg(long, requires = "with")]
    pub write: bool,
    /// Print rows as CSV (RFC 4180) with a header.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print an object a line: first what was read, then each row.
    #[arg(long)]
    pub json: bool,
    /// Prove every page by its hash against the digest of the entry, and not only its block by a checksum.
    #[arg(long)]
    pub prove: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}

/// A state with the name of its schema.
#[derive(Debug, Clone)]
pub struct NamedState {
    /// The name.
    pub name: String,
    /// The state.
    pub when: When,
}

impl FromStr for NamedState {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedState, String> {
        let (name, when) = text.split_once('=').ok_or("use NAME=WHEN, such as later=txid:2a")?;
        let is_taken = ["main", "temp", "then"].iter().any(|own| name.eq_ignore_ascii_case(own));
        if name.is_empty() || is_taken {
            return Err(format!("\"{name}\" cannot be the name of a state: use another one"));
        }
        let when = when.parse().map_err(|error| format!("{error}"))?;
        Ok(NamedState { name: name.to_owned(), when })
    }
}
