//! An error and its causes in one line.

use std::error::Error;

/// An error and its causes in one line: "put log/1: /backup/log: no storage space". Some libraries repeat a cause in
/// their own message; it is told once.
#[must_use]
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::{ErrorKind, StoreError};

    #[test]
    fn a_cause_that_is_repeated_is_told_once() {
        let cause = io::Error::other("no storage space");
        let error =
            StoreError::new(ErrorKind::Unavailable, "put log/1", "/backup/log").caused_by(cause);
        assert_eq!(error_chain(&error), "put log/1: /backup/log: no storage space");
        let error = StoreError::new(ErrorKind::Unavailable, "put log/1", "no storage space")
            .caused_by(io::Error::other("no storage space"));
        assert_eq!(error_chain(&error), "put log/1: no storage space");
    }
}
