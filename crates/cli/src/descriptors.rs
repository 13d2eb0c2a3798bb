//! The limit of open files: a process that follows many databases needs all that it may have.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the limit as far as this process may. A child that was begun before has the one that there was: some programs take
/// no descriptor beyond 1,023.
pub(crate) fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
