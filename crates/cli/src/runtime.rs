//! The runtime that a command runs in.

use std::future::Future;
use std::{io, panic, thread};

use nix::libc;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Code, Failure, Outcome};
use crate::logging;

/// How many threads serve a command's tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Workers {
    /// One for each core: there is much to do at once.
    Cores,
    /// One: there is little to do, and what takes long runs aside. A second one would wake up for each commit to find
    /// nothing left to do.
    One,
}

/// Runs a command to its end.
pub(crate) fn run(
    workers: Workers,
    command: impl Future<Output = Result<Outcome, Failure>>,
) -> Result<Outcome, Failure> {
    let threads = match workers {
        Workers::Cores => thread::available_parallelism().map_or(1, usize::from),
        Workers::One => 1,
    };
    let runtime = build(threads).map_err(|error| Failure::new(Code::Failed, error))?;
    let result = runtime.block_on(async {
        report_file_size_limits();
        command.await
    });
    // A put that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    result
}

/// A write beyond a limit on the size of files (`ulimit -f`, `LimitFSIZE=`) becomes an error like any other, which says
/// what could not be written. By itself the kernel ends the process. A child has the signal as it would be without us.
fn report_file_size_limits() {
    if let Err(error) = signal(SignalKind::from_raw(libc::SIGXFSZ)) {
        tracing::debug!(%error, "a limit on the size of files may end this process");
    }
}

/// The runtime itself. One that gets fewer threads than it asks for panics, and while that unwinds it waits for those
/// that it got, for ever; so such a panic ends the process.
fn build(threads: usize) -> io::Result<Runtime> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|panic| {
        logging::fail(format_args!("not enough memory or threads to start: {panic}"));
        std::process::exit(Code::Failed as i32);
    }));
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    panic::set_hook(hook);
    runtime
}
