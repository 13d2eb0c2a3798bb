//! A secret key.

use std::fmt::{self, Write as _};
use std::io;

use zeroize::{Zeroize as _, Zeroizing};

/// 32 random bytes from which the keys of objects are derived. They lie in one place, so that no copy is left behind where a
/// key is handed on; they are overwritten when it is dropped, and nothing but
/// [`SecretKey::as_bytes`] and [`SecretKey::to_hex`] shows them. Two keys are compared by their ids, [`KeyId`](crate::KeyId).
#[derive(Clone)]
pub struct SecretKey(Box<[u8; SecretKey::SIZE]>);

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl SecretKey {
    /// Its size in bytes.
    pub const SIZE: usize = 32;

    /// A new key, drawn from the operating system.
    pub fn random() -> io::Result<SecretKey> {
        let mut key = SecretKey(Box::new([0; SecretKey::SIZE]));
        getrandom::fill(&mut key.0[..]).map_err(io::Error::other)?;
        Ok(key)
    }

    /// The key with these bytes, of which the caller overwrites its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; SecretKey::SIZE]) -> SecretKey {
        SecretKey(Box::new(bytes))
    }

    /// Its bytes, which are the secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SecretKey::SIZE] {
        &self.0
    }

    /// The key that `text` stands for, if it is exactly its lower-case hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<SecretKey> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != SecretKey::SIZE || !rest.is_empty() {
            return None;
        }
        let mut key = SecretKey(Box::new([0; SecretKey::SIZE]));
        for (byte, [high, low]) in key.0.iter_mut().zip(pairs) {
            *byte = digit(*high)? << 4 | digit(*low)?;
        }
        Some(key)
    }

    /// Its hexadecimal digits, which are the secret and are overwritten, too.
    #[must_use]
    pub fn to_hex(&self) -> Zeroizing<String> {
        // With room for all of them, so that no copy is left behind where it grew.
        let mut text = Zeroizing::new(String::with_capacity(2 * SecretKey::SIZE));
        for byte in self.0.iter() {
            write!(text, "{byte:02x}").expect("memory takes what is written");
        }
        text
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
