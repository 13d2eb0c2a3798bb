//! The arguments of `ebbtide cost`.

use std::path::PathBuf;

use clap::Args as Arguments;

/// `ebbtide cost`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide cost --config /etc/ebbtide.toml                  every database of a configuration
  ebbtide cost app.db                                      one of them

What is stored is counted by a listing. What may be put follows from puts-per-second, or budget, for a database that is written \
without a pause; what was measured is asked of the process that follows it, and told as a month at that rate.

Prices are US dollars of S3's standard class, unless [prices] of the configuration has others. They give an idea, and are no \
bill; a replica in a directory costs nothing.

Exit codes: 0 shown; 1 a store did not answer; 2 the arguments or the configuration are wrong.")]
pub struct Cost {
    /// A database of the configuration. Without it, all of them.
    #[arg(value_name = "DB")]
    pub database: Option<PathBuf>,
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "ebbtide.toml")]
    pub config: PathBuf,
    /// Print an object a line, one for each database.
    #[arg(long)]
    pub json: bool,
}
