//! The `ebbtide` command: continuous backup and time travel for SQLite.

use std::process::ExitCode;

use clap::Parser;

use ebbtide_cli::args::Args;

fn main() -> ExitCode {
    match Args::try_parse() {
        Ok(args) => ebbtide_cli::run(args),
        Err(answer) => ebbtide_cli::exit::answer(&answer),
    }
}
