//! The key of one object, and what is sealed with it.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt as HkdfSalt};

use crate::scrub::scrubbed_small;
use crate::{KeyBytes, KeyUse, Salt, SecretKey};

/// How many bytes a sealed part is longer than the plain one: the tag of GCM.
pub const TAG_SIZE: usize = 16;

/// What the key of an object is derived for, before its use.
const INFO: &[u8] = b"ebbtide 1 ";

/// The first bytes of the nonce of a block, and of that of an index.
const BLOCK: [u8; 4] = [0; 4];
const INDEX: [u8; 4] = [0xff; 4];

/// Seals and opens the parts of one object with AES-256-GCM.
///
/// The nonce of a part is where it begins in the object, so an object key seals each place once: its writer goes forward
/// and never back, and whoever writes the object again has another salt and so another key.
///
/// What encrypts with it is made for each part by itself: ring overwrites nothing.
#[derive(Clone)]
pub struct ObjectKey(KeyBytes);

impl ObjectKey {
    /// Its size in bytes.
    pub const SIZE: usize = KeyBytes::SIZE;

    /// The key for this use of the object with this name, which begins with the bytes `header`, that salt among them.
    #[must_use]
    pub fn derive(
        secret: &SecretKey,
        key_use: KeyUse,
        salt: &Salt,
        header: &[u8],
        name: &str,
    ) -> ObjectKey {
        let info = [INFO, key_use.name().as_bytes(), &[0], header, name.as_bytes()];
        let mut bytes = KeyBytes::zero();
        scrubbed_small(|| {
            let extracted = HkdfSalt::new(HKDF_SHA256, salt.as_bytes()).extract(secret.as_bytes());
            let expanded = extracted.expand(&info, &AES_256_GCM);
            let filled = expanded.and_then(|expanded| expanded.fill(&mut bytes[..]));
            filled.expect("HKDF gives 32 bytes of any input");
        });
        ObjectKey(bytes)
    }

    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: KeyBytes) -> ObjectKey {
        ObjectKey(bytes)
    }

    /// Its bytes, for whoever is to open this one object later without the secret key.
    #[must_use]
    pub fn as_bytes(&self) -> &KeyBytes {
        &self.0
    }

    /// Seals the bytes of `out` from `start` on, a block that begins at `offset` in the object. It gets longer by
    /// [`TAG_SIZE`].
    pub fn seal_block(&self, offset: u64, associated: &[u8], out: &mut Vec<u8>, start: usize) {
        self.seal(BLOCK, offset, associated, out, start);
    }

    /// The same for an index.
    pub fn seal_index(&self, offset: u64, associated: &[u8], out: &mut Vec<u8>, start: usize) {
        self.seal(INDEX, offset, associated, out, start);
    }

    /// Opens a block that begins at `offset` in the object, in its place. Nothing if it is not what was sealed there; then
    /// the bytes are of no use.
    pub fn open_block<'a>(
        &self,
        offset: u64,
        associated: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.open(BLOCK, offset, associated, sealed)
    }

    /// The same for an index.
    pub fn open_index<'a>(
        &self,
        offset: u64,
        associated: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        self.open(INDEX, offset, associated, sealed)
    }

    fn seal(&self, part: [u8; 4], offset: u64, associated: &[u8], out: &mut Vec<u8>, start: usize) {
        let (nonce, associated) = (nonce(part, offset), Aad::from(associated));
        let plain = &mut out[start..];
        let tag =
            scrubbed_small(|| self.cipher().seal_in_place_separate_tag(nonce, associated, plain));
        out.extend_from_slice(tag.expect("no part has 256 GiB").as_ref());
    }

    fn open<'a>(
        &self,
        part: [u8; 4],
        offset: u64,
        associated: &[u8],
        sealed: &'a mut [u8],
    ) -> Option<&'a mut [u8]> {
        let (nonce, associated) = (nonce(part, offset), Aad::from(associated));
        scrubbed_small(|| self.cipher().open_in_place(nonce, associated, sealed).ok())
    }

    fn cipher(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, &self.0[..]);
        LessSafeKey::new(key.expect("a key has 32 bytes"))
    }
}

fn nonce(part: [u8; 4], offset: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&part);
    nonce[4..].copy_from_slice(&offset.to_le_bytes());
    Nonce::assume_unique_for_key(nonce)
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: [u8; 124] = [3; 124];
    const NAME: &str = "log/0000000000000001.seg";

    fn derive(secret: u8, key_use: KeyUse, salt: u8, header: &[u8], name: &str) -> ObjectKey {
        let (secret, salt) = (SecretKey::from_bytes([secret; 32]), Salt::from_bytes([salt; 24]));
        ObjectKey::derive(&secret, key_use, &salt, header, name)
    }

    fn key() -> ObjectKey {
        derive(1, KeyUse::Pages, 2, &HEADER, NAME)
    }

    #[test]
    fn what_is_sealed_is_opened_at_its_place_only() {
        let mut out = b"before".to_vec();
        out.extend_from_slice(b"a block");
        key().seal_block(128, b"row", &mut out, 6);
        assert_eq!((&out[..6], out.len()), (&b"before"[..], 6 + 7 + TAG_SIZE));
        assert_ne!(&out[6..13], b"a block");
        let open = |key: &ObjectKey, offset, associated: &[u8]| {
            key.open_block(offset, associated, &mut out[6..].to_vec()).map(|plain| plain.to_vec())
        };
        assert_eq!(open(&key(), 128, b"row").as_deref(), Some(&b"a block"[..]));
        assert_eq!(open(&key(), 129, b"row"), None);
        assert_eq!(open(&key(), 128, b"raw"), None);
        assert!(key().open_index(128, b"row", &mut out[6..].to_vec()).is_none());
        let mut other = HEADER;
        other[123] ^= 1;
        for key in [
            derive(9, KeyUse::Pages, 2, &HEADER, NAME),
            derive(1, KeyUse::Index, 2, &HEADER, NAME),
            derive(1, KeyUse::Pages, 9, &HEADER, NAME),
            derive(1, KeyUse::Pages, 2, &other, NAME),
            derive(1, KeyUse::Pages, 2, &HEADER, "log/0000000000000002.seg"),
        ] {
            assert_eq!(open(&key, 128, b"row"), None);
        }
    }

    #[test]
    fn an_index_is_opened_as_one() {
        let mut out = b"an index".to_vec();
        key().seal_index(128, b"", &mut out, 0);
        assert!(key().open_block(128, b"", &mut out.clone()).is_none());
        assert_eq!(key().open_index(128, b"", &mut out).unwrap(), b"an index");
    }

    #[test]
    fn what_was_altered_or_cut_is_not_opened() {
        let mut out = b"a block".to_vec();
        key().seal_block(0, b"", &mut out, 0);
        for at in 0..out.len() {
            let mut altered = out.clone();
            altered[at] ^= 0x10;
            assert!(key().open_block(0, b"", &mut altered).is_none(), "byte {at}");
            assert!(key().open_block(0, b"", &mut out[..at].to_vec()).is_none(), "{at} bytes");
        }
    }
}
