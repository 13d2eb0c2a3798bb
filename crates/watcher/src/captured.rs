//! The result of a capture.

use crate::error::Error;

/// The result of a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Captured {
    /// How many transactions the sink got.
    pub transactions: usize,
    /// Whether the log has more committed transactions.
    pub more: bool,
}

/// An error of the follower, or of the sink.
#[derive(Debug)]
pub enum CaptureError<E> {
    /// Following failed.
    Follow(Error),
    /// The sink failed. The transaction that it did not take will be captured again.
    Sink(E),
}

impl<E> From<Error> for CaptureError<E> {
    fn from(error: Error) -> CaptureError<E> {
        CaptureError::Follow(error)
    }
}
