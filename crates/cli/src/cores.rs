//! No core dumps: one would hold the store's credentials, and pages of the database.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Has the system write no core of this process and let no other process of its user look into it: neither by ptrace(2)
/// nor by `/proc/PID/mem` and `environ`. Root still may. A child that runs another program is as it would be.
pub(crate) fn forbid() {
    #[cfg(target_os = "linux")]
    if let Err(error) = nix::sys::prctl::set_dumpable(false) {
        tracing::debug!(%error, "cannot forbid core dumps");
    }
}

/// The same by the limit that systems other than Linux know, too. Children inherit it, so it comes after an application
/// was begun, whose cores are its own affair.
pub(crate) fn limit() {
    let limited = getrlimit(Resource::RLIMIT_CORE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_CORE, 0, hard));
    if let Err(error) = limited {
        tracing::debug!(%error, "cannot limit core dumps");
    }
}
