//! What a secret key is called in the open.

use std::fmt;
use std::str::FromStr;

use ebbtide_time::{ParseError, serde_as_text};

use crate::KeyBytes;
use crate::scrub::scrubbed_small;

/// The first bytes of a hash of a secret key: it says which key is needed, proves that a key is the right one, and gives
/// nothing of the key away.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::SIZE]);

/// What the hash of a key is for, which no other hash of ours is.
const CONTEXT: &str = "ebbtide 2026-12 key id";

impl KeyId {
    /// Its size in bytes.
    pub const SIZE: usize = 8;

    /// The id of the key with these bytes. What hashes them has copies, so each key has it done once.
    pub(crate) fn of_bytes(key: &KeyBytes) -> KeyId {
        let mut id = [0; KeyId::SIZE];
        scrubbed_small(|| {
            let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
            hasher.update(&key[..]);
            hasher.finalize_xof().fill(&mut id);
        });
        KeyId(id)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; KeyId::SIZE]) -> KeyId {
        KeyId(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; KeyId::SIZE] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl FromStr for KeyId {
    type Err = ParseError;

    /// Exactly what it displays, so that a key has one name only.
    fn from_str(text: &str) -> Result<KeyId, ParseError> {
        let number = u64::from_str_radix(text, 16).ok();
        let id = number.map(|number| KeyId(number.to_be_bytes()));
        id.filter(|id| id.to_string() == text)
            .ok_or_else(|| ParseError::new("the id of a key: 16 hexadecimal digits", text))
    }
}

serde_as_text!(KeyId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn an_id_reads_back_what_it_displays_and_nothing_else() {
        let id = KeyId::from_bytes([0, 0x1b, 2, 3, 4, 5, 6, 0xff]);
        assert_eq!(id.to_string(), "001b0203040506ff");
        assert_eq!("001b0203040506ff".parse(), Ok(id));
        for text in
            ["", "1b0203040506ff", "001B0203040506ff", "+01b0203040506ff", "001b0203040506ff0"]
        {
            assert!(text.parse::<KeyId>().is_err(), "{text}");
        }
    }

    #[test]
    fn keys_that_differ_in_a_bit_have_different_ids() {
        let id = KeyId::of(&SecretKey::from_bytes([7; 32]));
        assert_eq!(id, KeyId::of(&SecretKey::from_bytes([7; 32])));
        let mut other = [7; 32];
        other[31] ^= 1;
        assert_ne!(id, KeyId::of(&SecretKey::from_bytes(other)));
    }
}
