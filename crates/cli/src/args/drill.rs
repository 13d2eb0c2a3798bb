//! The arguments of `ebbtide drill`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args as Arguments;

use super::Access;

/// `ebbtide drill`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide drill app.db                                     the replica of a database of ebbtide.toml, as from cron
  ebbtide drill --no-file s3://bucket/app                  fetch and hash every page, without a file
  ebbtide drill --within 1h 's3://backups/**'              all replicas of a bucket, from a machine of its own
  ebbtide drill --within 1h --metrics /var/lib/node_exporter/ebbtide.prom 's3://backups/**'

With /** at its end the source stands for all replicas at the address and below it: the one that was drilled longest ago comes \
first, and `ebbtide list` shows what came of it.

A running `ebbtide replicate` does the same by itself with `drill = \"1d\"` in its configuration.

Exit codes: 0 both states were restored and are sound; 1 there is no room for them, or the store failed; 3 there is nothing; \
4 something is damaged or missing.")]
pub struct Drill {
    /// The replica, or the path of a database of the configuration; an address with /** at its end: all replicas there.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Fetch, decode and hash every page, and restore no file, which SQLite cannot check then.
    #[arg(long, conflicts_with = "directory")]
    pub no_file: bool,
    /// Where the file is restored, which is gone afterwards: the directory for temporary files, if nothing is said.
    #[arg(long, value_name = "DIRECTORY")]
    pub directory: Option<PathBuf>,
    /// Fetch no more than so many bytes a second, such as "5 MiB".
    #[arg(long, value_name = "SIZE", value_parser = ebbtide_config::size)]
    pub bandwidth: Option<u64>,
    /// Begin no further drill after so long, such as "1h".
    #[arg(long, value_name = "DURATION", value_parser = ebbtide_config::duration)]
    pub within: Option<Duration>,
    /// Begin no further drill after so many bytes were fetched, such as "10 GiB".
    #[arg(long, value_name = "SIZE", value_parser = ebbtide_config::size)]
    pub budget: Option<u64>,
    /// Write the metrics of all replicas below the address into a file, as the textfile collector of Prometheus' node_exporter
    /// reads it, in place of what is there; its name must end with .prom for that.
    #[arg(long, value_name = "FILE")]
    pub metrics: Option<PathBuf>,
    /// Print the result as JSON.
    #[arg(long)]
    pub json: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
