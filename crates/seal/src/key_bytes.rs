//! The bytes of a key.

use std::fmt;
use std::ops::{Deref, DerefMut};

use zeroize::Zeroize as _;

/// The bytes of a secret key or of an object key. They lie in one place on the heap, so that no copy is left behind where
/// they are handed on, and are overwritten when they are dropped.
pub struct KeyBytes(Box<[u8; KeyBytes::SIZE]>);

impl KeyBytes {
    /// How many they are.
    pub const SIZE: usize = 32;

    /// Room for them, which is zero.
    #[must_use]
    pub fn zero() -> KeyBytes {
        KeyBytes(Box::new([0; KeyBytes::SIZE]))
    }

    /// A copy of these bytes, of which the caller overwrites its own.
    #[must_use]
    pub fn copy(bytes: &[u8; KeyBytes::SIZE]) -> KeyBytes {
        let mut copy = KeyBytes::zero();
        copy.copy_from_slice(bytes);
        copy
    }
}

impl Clone for KeyBytes {
    fn clone(&self) -> KeyBytes {
        KeyBytes::copy(self)
    }
}

impl Deref for KeyBytes {
    type Target = [u8; KeyBytes::SIZE];

    fn deref(&self) -> &[u8; KeyBytes::SIZE] {
        &self.0
    }
}

impl DerefMut for KeyBytes {
    fn deref_mut(&mut self) -> &mut [u8; KeyBytes::SIZE] {
        &mut self.0
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for KeyBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBytes(..)")
    }
}
