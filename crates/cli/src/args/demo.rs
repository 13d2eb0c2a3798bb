//! The arguments of `ebbtide demo`.

use std::path::PathBuf;

use clap::Args as Arguments;

/// `ebbtide demo`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
An application writes a real database, ebbtide follows it, somebody deletes rows by accident, and the rows come back while \
the application goes on. Every step shows the command that one would type. It takes some seconds and a directory for \
temporary files, which it names and removes.

Exit codes: 0 every row came back; 1 not.")]
pub struct Demo {
    /// Leave the directory, to look around in it.
    #[arg(long)]
    pub keep: bool,
    /// Be the application of the demonstration, on this database.
    #[arg(long, hide = true, value_name = "DB")]
    pub application: Option<PathBuf>,
}
