//! The arguments of `ebbtide config`.

use std::path::PathBuf;

use clap::{Args as Arguments, Subcommand};

/// `ebbtide config`.
#[derive(Debug, Arguments)]
pub struct Config {
    /// What about it.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// What is done with a configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Read a configuration as `replicate` would, and say what is wrong with it; nothing is opened or followed.
    ///
    /// Exit codes: 0 it is in order; 2 it is not.
    Check(ConfigCheck),
    /// Show what holds for each database, and where each value comes from: a line of the file, its defaults, or built in.
    Show(ConfigShow),
}

/// `ebbtide config check`.
#[derive(Debug, Arguments)]
pub struct ConfigCheck {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "ebbtide.toml")]
    pub file: PathBuf,
}

/// `ebbtide config show`.
#[derive(Debug, Arguments)]
pub struct ConfigShow {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "ebbtide.toml")]
    pub file: PathBuf,
    /// Print an object a line, one for each database.
    #[arg(long)]
    pub json: bool,
}
