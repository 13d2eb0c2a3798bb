//! The arguments of `ebbtide doctor`.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::EncryptTo;

/// `ebbtide doctor`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide doctor --config /etc/ebbtide.toml                everything that a configuration names
  ebbtide doctor app.db s3://bucket/app                    one database, before it is followed for the first time
  ebbtide doctor app.db ./backup --json | jq 'select(.level == \"fail\")'

Run it as the user that ebbtide will run as. It follows nothing, locks nothing and changes no file; in each store it puts a few \
small objects under probe/, which are no part of a replica, and deletes them again. Where it may not delete, it says that they \
stay.

Levels: ok; note, which nobody has to act on; warn, which somebody should look at; fail, with which a start, or what is \
configured for later, does not succeed; unknown, because it could not be seen.

Exit codes: 0 nothing fails; 1 something does; 2 the arguments or the configuration are wrong.")]
pub struct Doctor {
    /// The database. Without it, all of the configuration.
    #[arg(value_name = "DB")]
    pub database: Option<PathBuf>,
    /// Its replica, if neither the configuration nor the local state beside the database knows it.
    #[arg(value_name = "REPLICA", requires = "database")]
    pub replica: Option<String>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "ebbtide.toml")]
    pub config: PathBuf,
    /// Print an object a line, one for each check.
    #[arg(long)]
    pub json: bool,
    /// For whom the replica of DB is to be encrypted.
    #[command(flatten)]
    pub encrypt_to: EncryptTo,
}
