//! The arguments that all commands take.

use clap::{Args as Arguments, ValueEnum};

/// They stand apart from what a command is about.
const HEADING: &str = "Global options";

/// Where logs go is settled: to standard error.
#[derive(Debug, Clone, Arguments)]
pub struct Logging {
    /// How much to log: error, warn, info, debug, trace, or a filter such as `ebbtide_shipper=debug`.
    #[arg(long, global = true, env = "EBBTIDE_LOG", default_value = "info", value_name = "FILTER", help_heading = HEADING)]
    pub log: String,
    /// In which form.
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, help_heading = HEADING)]
    pub log_format: LogFormat,
}

/// The form of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// An object a line.
    Json,
}
