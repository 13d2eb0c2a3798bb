//! `ebbtide man`: a manual page for each command, from what its help says.

use std::io::Write as _;

use clap::{Command, CommandFactory as _};

use crate::args::{Args, Man};
use crate::exit::{Code, Failure, Outcome};
use crate::new_directory::NewDirectory;

/// Runs the command.
///
/// # Errors
/// When the directory has something, or cannot be written.
pub(crate) fn run(args: &Man) -> Result<Outcome, Failure> {
    let directory = NewDirectory::create(&args.directory)?;
    // Each page would have one for the help of its commands.
    let mut command = Args::command().disable_help_subcommand(true);
    // Gives every command its full name.
    command.build();
    write(&command, &directory)?;
    directory.publish()?;
    Ok(Outcome::Done)
}

/// Writes the page of a command and those of its commands.
fn write(command: &Command, directory: &NewDirectory) -> Result<(), Failure> {
    let page = clap_mangen::Man::new(command.clone()).manual("ebbtide");
    let name = page.get_filename();
    let failed = |error| Failure::new(Code::Failed, format!("write {name}: {error}"));
    let mut text = Vec::new();
    page.render(&mut text).map_err(failed)?;
    directory.file(&name)?.write_all(&text).map_err(failed)?;
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.into_iter().try_for_each(|command| write(command, directory))
}
