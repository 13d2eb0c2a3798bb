//! The runtime that a command runs in.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::exit::{Code, Failure, Outcome};

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
        Workers::Cores => obtainable(thread::available_parallelism().map_or(1, usize::from)),
        Workers::One => 1,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, error))?;
    let result = runtime.block_on(command);
    // A put that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    result
}

/// As many threads as `wanted`, or what the system gives, but one: a runtime that gets fewer threads than it asks for
/// waits for ever.
fn obtainable(wanted: usize) -> usize {
    let gate = Mutex::new(());
    let closed = gate.lock().unwrap_or_else(PoisonError::into_inner);
    let wait = || drop(gate.lock());
    let given = thread::scope(|scope| {
        let attempts = (0..wanted).map(|_| thread::Builder::new().spawn_scoped(scope, wait));
        let given = attempts.map_while(Result::ok).count();
        drop(closed);
        given
    });
    if given < wanted { given.saturating_sub(1).max(1) } else { given }
}
