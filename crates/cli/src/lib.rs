//! The `ebbtide` command behind its `main`: arguments, wiring, signals, exit codes.
//!
//! Only this crate knows both the sidecar and the restore. It decides nothing about formats: it reads what a person
//! wants, connects the parts, and says what happened, in words and by the exit code.
//!
//! The words that are ours are in `docs/glossary.md`.

pub mod args;
pub mod exit;
pub mod in_the_open;
pub mod logging;
pub mod number;
pub mod replicate;
pub mod when;

mod application;
mod clock;
mod commands;
mod cores;
mod database_file;
mod descriptors;
mod destination;
mod escape;
mod identity_files;
mod integrity;
mod interrupt;
mod log_writer;
mod memory;
mod new_directory;
mod new_file;
mod output;
mod passphrase;
mod progress_bar;
mod reading;
mod redact;
mod runtime;
mod screen;
mod sidecar_hooks;
mod source;
mod terminal;
mod time_limit;
mod user_directory;

use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use args::{Args, Command};
use exit::{Code, Failure, Outcome};
use runtime::Workers;

/// Runs one command to its end.
#[must_use]
pub fn run(args: Args) -> ExitCode {
    if ends_by_signals(&args.command) {
        // Before there is any other thread.
        interrupt::end_at_once();
    }
    // Nobody waits for what `replicate` logs, and it waits for nobody.
    logging::init(&args.log, !matches!(args.command, Command::Replicate(_)));
    match args.command {
        // It runs for months and is mostly idle; the others use the same buffers again and again, and end.
        Command::Replicate(_) => memory::give_back_large_buffers(),
        _ => memory::keep_large_buffers(),
    }
    cores::forbid();
    if matches!(&args.command, Command::Replicate(replicate) if replicate.exec.is_some()) {
        application::prepare();
    } else {
        cores::limit();
        if matches!(&args.command, Command::Replicate(_)) {
            descriptors::raise();
        }
    }
    let result = panic::catch_unwind(AssertUnwindSafe(|| dispatch(args.command)));
    // The panic itself was told where it happened.
    let fault = |_| Err(Failure::new(Code::Failed, "a fault in ebbtide itself ended the command"));
    exit::report(result.unwrap_or_else(fault))
}

fn dispatch(command: Command) -> Result<Outcome, Failure> {
    match command {
        Command::Replicate(replicate) => runtime::run(Workers::One, replicate::run(replicate)),
        Command::Restore(restore) => runtime::run(Workers::Cores, commands::restore::run(restore)),
        Command::Sql(sql) => runtime::run(Workers::Cores, commands::sql::run(sql)),
        Command::Log(log) => runtime::run(Workers::Cores, commands::log::run(log)),
        Command::Diff(diff) => commands::diff::run(diff),
        Command::Undo(undo) => commands::undo::run(undo),
        Command::Dump(dump) => runtime::run(Workers::Cores, commands::dump::run(dump)),
        Command::Export(export) => runtime::run(Workers::Cores, commands::export::run(export)),
        Command::Fixture(fixture) => runtime::run(Workers::Cores, commands::fixture::run(fixture)),
        Command::When(when) => runtime::run(Workers::Cores, commands::when::run(when)),
        Command::Blame(blame) => runtime::run(Workers::Cores, commands::blame::run(blame)),
        Command::Copy(copy) => runtime::run(Workers::Cores, commands::copy::run(copy)),
        Command::Prune(prune) => runtime::run(Workers::Cores, commands::prune::run(prune)),
        Command::Verify(verify) => runtime::run(Workers::Cores, commands::verify::run(verify)),
        Command::Mark(mark) => runtime::run(Workers::Cores, commands::mark::run(mark)),
        Command::Marks(marks) => runtime::run(Workers::Cores, commands::marks::run(marks)),
        Command::Unmark(unmark) => runtime::run(Workers::Cores, commands::marks::unmark(unmark)),
        Command::Drill(drill) => runtime::run(Workers::Cores, commands::drill::run(drill)),
        Command::Page(page) => runtime::run(Workers::Cores, commands::page::run(page)),
        Command::Status(status) => commands::status::run(status),
        Command::Sync(sync) => commands::sync::run(sync),
        Command::Add(add) => commands::set::add(add),
        Command::Remove(remove) => commands::set::remove(remove),
        Command::List(list) => match list.address.clone() {
            Some(address) => runtime::run(Workers::Cores, commands::fleet::run(list, &address)),
            None => commands::set::list(list),
        },
        Command::Reload(reload) => commands::set::reload(reload),
        Command::Config(config) => commands::config::run(config.verb),
        Command::Cost(cost) => runtime::run(Workers::Cores, commands::cost::run(cost)),
        Command::Demo(demo) => runtime::run(Workers::One, commands::demo::run(demo)),
        Command::Doctor(doctor) => runtime::run(Workers::Cores, commands::doctor::run(doctor)),
        Command::Keygen(keygen) => commands::keygen::run(keygen),
        Command::Key(key) => runtime::run(Workers::Cores, commands::key::run(key)),
        Command::Rewrap(rewrap) => runtime::run(Workers::Cores, commands::rewrap::run(rewrap)),
        Command::Unlock(unlock) => runtime::run(Workers::Cores, commands::unlock::run(unlock)),
        Command::Completions(completions) => Ok(commands::completions::run(&completions)),
        Command::Man(man) => commands::man::run(&man),
    }
}

/// Whether there is nothing to be done at its end, so that a signal ends it wherever it is. The prompt of `sql` has its own
/// meaning of an interrupt.
fn ends_by_signals(command: &Command) -> bool {
    match command {
        Command::Sql(sql) => !commands::sql::has_prompt(sql),
        Command::Log(_)
        | Command::Diff(_)
        | Command::Undo(_)
        | Command::Dump(_)
        | Command::Export(_)
        | Command::Fixture(_)
        | Command::When(_)
        | Command::Blame(_)
        | Command::List(_)
        | Command::Page(_) => true,
        _ => false,
    }
}
