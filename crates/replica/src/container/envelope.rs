//! What the header of an encrypted object says of its encryption.

use ebbtide_seal::{KeyId, KeyUse, Keys, ObjectKey, Salt, SecretKey};

use super::layout::header as at;
use crate::{Error, Key, Result};

/// The one suite of encrypted replicas: AES-256-GCM under keys of each object, by HKDF with SHA-256.
pub const SUITE: u8 = 1;

/// How an object is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The page key that its images are under. Without one it has no images.
    pub pages: Option<KeyId>,
    /// The index key that everything else is under.
    pub index: KeyId,
    /// What makes the keys of the object its own.
    pub salt: Salt,
}

impl Envelope {
    /// Puts it into the bytes of a header.
    pub(super) fn put(&self, header: &mut [u8; at::SIZE]) {
        let pages = self.pages.map_or([0; KeyId::SIZE], |id| *id.as_bytes());
        at::SUITE.put(header, &[SUITE]);
        at::PAGE_KEY.put(header, &pages);
        at::INDEX_KEY.put(header, self.index.as_bytes());
        at::SALT.put(header, self.salt.as_bytes());
    }

    /// That of a header, unless the object is a plain one.
    pub(super) fn parse(header: &[u8; at::SIZE]) -> Result<Option<Envelope>> {
        match at::SUITE.u8(header) {
            0 => {
                let fields = [at::PAGE_KEY, at::INDEX_KEY, at::SALT];
                if fields.iter().any(|field| !field.is_zero(header)) {
                    return Err(Error::newer("the object", "its header uses reserved bytes"));
                }
                Ok(None)
            }
            SUITE => {
                let pages = KeyId::from_bytes(at::PAGE_KEY.array(header));
                let pages = (!at::PAGE_KEY.is_zero(header)).then_some(pages);
                let index = KeyId::from_bytes(at::INDEX_KEY.array(header));
                let salt = Salt::from_bytes(at::SALT.array(header));
                Ok(Some(Envelope { pages, index, salt }))
            }
            suite => Err(Error::newer("the object", format!("it is encrypted with suite {suite}"))),
        }
    }
}

/// An encrypted object by all that goes into its keys.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    pub(super) envelope: Envelope,
    /// The bytes of the header.
    pub(super) head: [u8; at::SIZE],
    /// The name of the object.
    pub(super) key: Key,
}

impl Sealed {
    /// The key of the object for this use, of a secret key.
    pub(super) fn object_key(&self, secret: &SecretKey, key_use: KeyUse) -> ObjectKey {
        let header = &self.head[..at::CRC.offset];
        let (salt, name) = (&self.envelope.salt, self.key.to_string());
        ObjectKey::derive(secret, key_use, salt, header, &name)
    }

    /// The key of the object that opens its index and its hashes.
    pub(super) fn index_key(&self, keys: &Keys) -> Result<ObjectKey> {
        let (id, key_use) = (self.envelope.index, KeyUse::Index);
        let secret = keys.get(id).ok_or(Error::NoKey { id, key_use })?;
        Ok(self.object_key(secret, key_use))
    }

    /// The key of the object that opens its images, if it has any and the secret key is at hand.
    pub(super) fn page_key(&self, keys: &Keys) -> Option<ObjectKey> {
        let secret = keys.get(self.envelope.pages?)?;
        Some(self.object_key(secret, KeyUse::Pages))
    }
}
