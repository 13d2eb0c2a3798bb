//! `ebbtide completions`: what a shell needs to complete commands, options and their values.

use clap::CommandFactory as _;

use crate::args::{Args, Completions};
use crate::exit::Outcome;
use crate::output;

/// Runs the command.
pub(crate) fn run(args: &Completions) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "ebbtide", &mut script);
    output::lines(&String::from_utf8_lossy(&script));
    Outcome::Done
}
