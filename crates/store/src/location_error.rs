//! Why an address is refused.

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LocationError(pub(super) String);

/// An error with this message.
pub(super) fn fail<T>(message: impl Into<String>) -> Result<T, LocationError> {
    Err(LocationError(message.into()))
}

/// Neither as it stands nor once it is decoded: an address is shown to people, on terminals and in logs.
pub(super) fn refuse_control(text: &str) -> Result<(), LocationError> {
    if text.contains(char::is_control) {
        return fail("the address has a control character in it");
    }
    Ok(())
}
