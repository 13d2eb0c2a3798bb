//! A secret key that was wrapped, on its way into a store.

use std::io;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyDocument, KeyPrefix};
use ebbtide_seal::{KeyId, Wrap, scrubbed};

use super::api::Store;
use super::error::{ErrorKind, StoreError};

/// So many numbers are tried when others wrap the same key at the same time.
const NUMBERS_TRIED: usize = 16;

/// A secret key, encrypted for those who may have it.
#[derive(Debug, Clone)]
pub struct WrappedKey {
    id: KeyId,
    body: Bytes,
}

impl WrappedKey {
    /// Wraps a key.
    ///
    /// # Errors
    /// If it cannot be wrapped, or not in as many bytes as a reader takes.
    pub fn new(wrap: &dyn Wrap, document: &KeyDocument) -> io::Result<WrappedKey> {
        let body = scrubbed(|| wrap.wrap(&document.to_json()))?;
        if body.len() > KeyDocument::WRAPPED_MAX {
            let (length, most) = (body.len(), KeyDocument::WRAPPED_MAX);
            let why = format!("a wrapped key has {length} bytes and may have {most}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(WrappedKey { id: document.id(), body: body.into() })
    }

    /// One that was wrapped before and lay elsewhere since.
    #[must_use]
    pub fn found(id: KeyId, body: Bytes) -> WrappedKey {
        WrappedKey { id, body }
    }

    /// The id of the key.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Puts it under the next number that is free for this key; the name that it got. It is durable then, and objects may
    /// name the key. It may be called again after an error: what was put all the same is found.
    ///
    /// # Errors
    /// Of the store.
    pub async fn put(&self, store: &dyn Store) -> Result<Key, StoreError> {
        let mut newest = self.newest(store).await?;
        for _ in 0..NUMBERS_TRIED {
            if let Some(number) = newest
                && self.is_ours(store, number).await?
            {
                return Ok(self.key(number));
            }
            let next = newest.map_or(Some(1), |number| number.checked_add(1));
            let Some(next) = next else { break };
            match store.put(&self.key(next), self.body.clone()).await {
                Ok(()) => return Ok(self.key(next)),
                Err(error) if error.kind() == ErrorKind::Exists => newest = Some(next),
                Err(error) => return Err(error),
            }
        }
        let what = format!("put another form of key {}", self.id);
        Err(StoreError::new(ErrorKind::Exists, what, "all names that were tried are taken"))
    }

    fn key(&self, number: u32) -> Key {
        Key::Wrapped { id: self.id, number }
    }

    /// The greatest number that was given to a form of this key.
    async fn newest(&self, store: &dyn Store) -> Result<Option<u32>, StoreError> {
        let listed = store.list(KeyPrefix::Wrapped, Some(&self.key(0))).await?;
        let numbers = listed.into_iter().filter_map(|object| match object.key {
            Key::Wrapped { id, number } if id == self.id => Some(number),
            _ => None,
        });
        Ok(numbers.max())
    }

    /// Whether what has this number is this, put by a try whose answer was lost.
    async fn is_ours(&self, store: &dyn Store, number: u32) -> Result<bool, StoreError> {
        match store.get(&self.key(number), KeyDocument::WRAPPED_MAX as u64).await {
            Ok(body) => Ok(body == self.body),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Damaged) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
