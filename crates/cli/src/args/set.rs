//! The arguments of the commands that change what a running `ebbtide replicate` follows.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Arguments;

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
pub struct List {
    /// Print an object a line: one for each database and each pattern.
    #[arg(long)]
    pub json: bool,
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
