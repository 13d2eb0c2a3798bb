//! What makes the keys of an object its own.

use std::io;

/// Random bytes that each writer of an object draws and states in the object's header. They are so many that two writers
/// never draw the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Salt([u8; Salt::SIZE]);

impl Salt {
    /// Its size in bytes.
    pub const SIZE: usize = 24;

    /// A new one, drawn from the operating system.
    pub fn random() -> io::Result<Salt> {
        let mut bytes = [0; Salt::SIZE];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(Salt(bytes))
    }

    /// The salt with these bytes. Nothing but the reading of an object, and tests, may choose them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Salt::SIZE]) -> Salt {
        Salt(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Salt::SIZE] {
        &self.0
    }
}
