//! Causes of the SDK's errors, which lie deep in chains of them.

use std::error::Error;

/// The longest message of a server or of the SDK that is told.
const MESSAGE_CHARS_MAX: usize = 200;

/// The error of this type among an error and what caused it.
pub(super) fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The innermost error, which says what happened: "Connection refused", not "dispatch failure".
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    shorten(&innermost.to_string())
}

/// The beginning of a message, without what a terminal would take for a command.
pub(super) fn shorten(message: &str) -> String {
    message.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}
