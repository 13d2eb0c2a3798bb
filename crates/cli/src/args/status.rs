//! The arguments of `ebbtide status`.

use std::path::PathBuf;

use clap::Args as Arguments;

/// `ebbtide status`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Exit codes: 0 when a running `ebbtide replicate` was found and all its databases are healthy; 1 when none was found, one \
does not answer, or a database is failing or its store is away.

Processes of the same user are found through their sockets in $EBBTIDE_RUNTIME_DIR, else in $XDG_RUNTIME_DIR/ebbtide, \
/run/ebbtide (root) or ebbtide-UID in the directory for temporary files.")]
pub struct Status {
    /// Print an object a line, one for each database.
    #[arg(long)]
    pub json: bool,
    /// Only the databases of this configuration, all of them: one that nobody follows is not healthy.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Show it again every second, until Ctrl-C.
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// On a terminal, show times in UTC instead of the local zone.
    #[arg(long)]
    pub utc: bool,
}
