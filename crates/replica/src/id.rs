//! The identity of a replica.

use std::fmt;
use std::io;
use std::str::FromStr;

use ebbtide_time::{ParseError, serde_as_text};

use crate::text::{parse_hex, write_hex};

/// 16 random bytes that tell one replica from all others. They stand in each of its objects and at the root of its
/// chain, so that an object of one replica is never taken for that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId([u8; 16]);

impl ReplicaId {
    /// A new identity, drawn from the operating system.
    pub fn random() -> io::Result<ReplicaId> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        Ok(ReplicaId(bytes))
    }

    /// The identity with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> ReplicaId {
        ReplicaId(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for ReplicaId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<ReplicaId, ParseError> {
        parse_hex(text)
            .map(ReplicaId)
            .ok_or_else(|| ParseError::new("a replica's identity: 32 hexadecimal digits", text))
    }
}

serde_as_text!(ReplicaId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_differ_and_read_back_what_they_write() {
        let (one, other) = (ReplicaId::random().unwrap(), ReplicaId::random().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert!("00".parse::<ReplicaId>().is_err());
    }
}
