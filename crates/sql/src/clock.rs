//! Whether a statement asked for the time of day: then its result is not decided by the database alone.

use std::cell::Cell;

thread_local! {
    /// SQLite asks on the thread that steps the statement.
    static WAS_READ: Cell<bool> = const { Cell::new(false) };
}

/// Called by the VFS.
pub(crate) fn note_clock_read() {
    WAS_READ.set(true);
}

/// Whether SQLite asked for the time of day on this thread since the last [`forget_clock`], on a connection of ours.
#[must_use]
pub fn clock_was_read() -> bool {
    WAS_READ.get()
}

/// Forgets that it did.
pub fn forget_clock() {
    WAS_READ.set(false);
}
