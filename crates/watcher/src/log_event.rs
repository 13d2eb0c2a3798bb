//! An event of a log, and the callback that it is reported to.

use std::sync::Arc;

/// Called when a log may have been written. Returns how many commits are new.
pub type Callback = Arc<dyn Fn(Cause) -> u32 + Send + Sync>;

/// Why a [`Callback`] is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The log was written, or may have been.
    Written,
    /// It was opened.
    Opened,
    /// A file descriptor that was open for writing was closed.
    Closed,
    /// The log is polled ([`Wake::poll`](crate::Wake::poll)), and a poll is due.
    Poll,
}
