//! The `ebbtide` command: continuous backup and time travel for SQLite.

use std::process::ExitCode;

use clap::Parser;

use ebbtide_cli::args::Args;
use ebbtide_cli::{exit, in_the_open};

fn main() -> ExitCode {
    if let Some(refusal) = in_the_open::refusal() {
        return exit::report(Err(refusal));
    }
    match Args::try_parse() {
        Ok(args) => ebbtide_cli::run(args),
        Err(answer) => exit::answer(&answer),
    }
}
