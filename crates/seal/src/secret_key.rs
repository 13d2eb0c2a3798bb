//! A secret key.

use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::{KeyBytes, KeyId};

/// 32 random bytes from which the keys of objects are derived. They lie in one place, which all clones share, and are
/// overwritten when the last of those is dropped; nothing but [`SecretKey::as_bytes`] and [`SecretKey::to_hex`] shows them.
/// Two keys are compared by their ids.
#[derive(Clone)]
pub struct SecretKey(Arc<Known>);

/// A key, and what it is called.
struct Known {
    bytes: KeyBytes,
    id: KeyId,
}

impl SecretKey {
    /// Its size in bytes.
    pub const SIZE: usize = KeyBytes::SIZE;

    /// A new key, drawn from the operating system.
    pub fn random() -> io::Result<SecretKey> {
        let mut bytes = KeyBytes::zero();
        getrandom::fill(&mut bytes[..]).map_err(io::Error::other)?;
        Ok(SecretKey::new(bytes))
    }

    /// The key with these bytes, for tests, whose keys are no secrets.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SecretKey::SIZE]) -> SecretKey {
        SecretKey::new(KeyBytes::copy(&bytes))
    }

    fn new(bytes: KeyBytes) -> SecretKey {
        let id = KeyId::of_bytes(&bytes);
        SecretKey(Arc::new(Known { bytes, id }))
    }

    /// What it is called in the open.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// Its bytes, which are the secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SecretKey::SIZE] {
        &self.0.bytes
    }

    /// The key that `text` stands for, if it is exactly its lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<SecretKey> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != SecretKey::SIZE || !rest.is_empty() {
            return None;
        }
        let mut bytes = KeyBytes::zero();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(SecretKey::new(bytes))
    }

    /// Its hexadecimal digits, which are the secret and are overwritten, too.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        // With room for all of them, so that no copy is left behind where it grew.
        let mut text = Zeroizing::new(String::with_capacity(2 * SecretKey::SIZE));
        for byte in self.as_bytes() {
            write!(text, "{byte:02x}").expect("memory takes what is written");
        }
        text
    }
}

impl KeyId {
    /// The id of a key.
    #[must_use]
    pub fn of(key: &SecretKey) -> KeyId {
        key.id()
    }
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_what_it_writes_and_nothing_else() {
        let key = SecretKey::random().unwrap();
        let text = key.to_hex();
        assert_eq!(SecretKey::from_hex(&text).unwrap().as_bytes(), key.as_bytes());
        assert_ne!(SecretKey::random().unwrap().as_bytes(), key.as_bytes());
        let long = format!("{}0", *text);
        for text in ["", &text[1..], &long, &"é".repeat(32), &"F".repeat(64), &"+f".repeat(32)] {
            assert!(SecretKey::from_hex(text).is_none(), "{text}");
        }
    }

    /// H39: what is logged of a key says nothing of it.
    #[test]
    fn h39_a_key_shows_nothing_of_itself() {
        assert_eq!(format!("{:?}", SecretKey::from_bytes([0x41; 32])), "SecretKey(..)");
    }
}
