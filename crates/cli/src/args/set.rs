//! The arguments of the commands that change what a running `ebbtide replicate` follows.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Arguments;

use super::Identity;

/// `ebbtide add`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide add tenants/new.db s3://bucket/tenants/new.db

The database is followed until it is removed or the process ends, and stays when the configuration is read again; one that is \
to be followed after a restart belongs into the configuration.

Exit codes: 0 it is followed; 1 it is not, or not in time, or no process was found; 2 several processes run, and none was named.")]
pub struct Add {
    /// The database.
    #[arg(value_name = "DB")]
    pub database: PathBuf,
    /// Where its replica lies: s3://BUCKET/PREFIX?endpoint=URL, file:///PATH or a path.
    #[arg(value_name = "REPLICA")]
    pub replica: String,
    /// The process that is to follow it, where several run.
    #[arg(long, value_name = "PID")]
    pub process: Option<u32>,
    /// How long to wait until it is followed, such as "500ms" or "2m".
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = ebbtide_config::duration)]
    pub timeout: Duration,
}

/// `ebbtide remove`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
The database gets its last sync, and is followed no more until the configuration is read again and names it. Neither the \
database nor its replica is deleted.

Exit codes: 0 everything that was committed is durable; 1 not, or not in time, or nobody follows it.")]
pub struct Remove {
    /// The database.
    #[arg(value_name = "DB")]
    pub database: PathBuf,
    /// How long to wait for the last sync, such as "500ms" or "2m".
    #[arg(long, default_value = "30s", value_name = "DURATION", value_parser = ebbtide_config::duration)]
    pub timeout: Duration,
}

/// `ebbtide list`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide list                                             what the processes of this machine follow
  ebbtide list s3://backups/                               all replicas in a bucket, whoever writes them
  ebbtide list --history --json s3://backups/tenants

Below an address every replica is found, however deep it lies. First come those that cannot be read, then those to which nothing \
came for more than twice the longest pause between their newest objects, and for more than a quarter of an hour. Of a replica that \
has not changed one request is made; what was found is kept in the user's cache directory.

Exit codes: 0; 1 some need attention, or the store failed, or no process was found; 3 there is no replica at the address or below it.")]
pub struct List {
    /// Show all replicas at this address and below it, instead of what is followed on this machine.
    #[arg(value_name = "ADDRESS")]
    pub address: Option<String>,
    /// Read the history of each replica, and count its gaps and forks. What was read before is not read again.
    #[arg(long, requires = "address")]
    pub history: bool,
    /// Print an object a line: one for each database and each pattern, or one for each replica.
    #[arg(long)]
    pub json: bool,
    /// How secret keys are opened. Without it less is known of encrypted replicas.
    #[command(flatten)]
    pub identity: Identity,
}

/// `ebbtide reload`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Databases that are configured as before go on undisturbed, changed ones end with a last sync and begin again, and those that \
are not named any more end with a last sync. A configuration that cannot be read or is not in order changes nothing. SIGHUP \
does the same.

Exit codes: 0 it was taken; 1 it was not, or no process was found; 2 several processes run, and none was named.")]
pub struct Reload {
    /// The process, where several run.
    #[arg(long, value_name = "PID")]
    pub process: Option<u32>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
}
