//! The arguments of `ebbtide man`.

use std::path::PathBuf;

use clap::Args as Arguments;

/// `ebbtide man`.
#[derive(Debug, Arguments)]
pub struct Man {
    /// A directory that is not there, or is empty.
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
