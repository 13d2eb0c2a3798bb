//! The `ebbtide` command: continuous backup and time travel for SQLite.

use std::process::ExitCode;

use clap::Parser;

use ebbtide_cli::args::Args;

fn main() -> ExitCode {
    ebbtide_cli::run(Args::parse())
}
