//! The arguments of `ebbtide page`.

use std::path::PathBuf;

use clap::Args as Arguments;

use super::Access;

/// `ebbtide page`.
#[derive(Debug, Arguments)]
#[command(after_help = "\
Examples:
  ebbtide page ./backup                                    prints an address to open in a browser
  ebbtide page --listen 127.0.0.1:9095 s3://bucket/app
  ebbtide page --identity owner.txt s3://bucket/sealed     an encrypted replica
  ebbtide page s3://backups                                all replicas of a bucket, each with its timeline

Of an address with replicas below it, and none at it, it shows what `ebbtide list` does, what needs attention first, and looks at \
them again once a minute while somebody asks.

It shows until it is ended (Ctrl-C). A running `ebbtide replicate` shows the same of its databases, and how they are, with \
`listen = \"127.0.0.1:9094\"` in its configuration.")]
pub struct Page {
    /// The replica, or the path of a database of the configuration; an address with replicas below it: all of them.
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// Where to listen: 127.0.0.1:9095, or unix:/PATH. Without it, at a free port of this machine.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// The file, readable by its owner alone, with the token that whoever asks must show. Needed for any other address
    /// than one of this machine alone.
    #[arg(long, value_name = "FILE")]
    pub listen_token_file: Option<PathBuf>,
    /// Of all replicas below an address, read the history of each, and count its gaps and forks. What was read before is not read
    /// again.
    #[arg(long)]
    pub history: bool,
    /// Where the source is looked up, and what opens it.
    #[command(flatten)]
    pub access: Access,
}
