//! The runtime that a command runs in.

use std::future::Future;

use crate::exit::{Code, Failure, Outcome};

/// The fewest threads that serve tasks: while one copies frames back into a database, another must see to the puts.
const WORKERS_MIN: usize = 2;

/// Runs a command to its end.
pub(crate) fn run(
    command: impl Future<Output = Result<Outcome, Failure>>,
) -> Result<Outcome, Failure> {
    let cores = std::thread::available_parallelism().map_or(WORKERS_MIN, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(WORKERS_MIN))
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Failed, error))?;
    let result = runtime.block_on(command);
    // A put that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    result
}
