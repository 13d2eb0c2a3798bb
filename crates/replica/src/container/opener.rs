//! Opens the blocks of one object, encrypted or not.

use std::sync::Arc;

use ebbtide_seal::{KeyId, KeyUse, Keys, ObjectKey};

use super::envelope::{Envelope, Sealed};
use super::shape::Shape;
use crate::{Error, Result};

/// What turns the stored bytes of an object's blocks into what they were before they were encrypted. It belongs to the one
/// object; of a plain object it does nothing.
#[derive(Debug, Clone, Default)]
pub struct Opener(Option<Arc<ObjectKeys>>);

/// The keys of an encrypted object.
#[derive(Debug)]
struct ObjectKeys {
    sealed: Sealed,
    index: Arc<ObjectKey>,
    /// Missing if nobody had the page key, or if there are no images.
    pages: Option<ObjectKey>,
}

impl Opener {
    /// That of all plain objects.
    pub const PLAIN: Opener = Opener(None);

    /// That of an encrypted object, whose index key is `index`; its images are opened if their key is among `keys`.
    pub(super) fn sealed(sealed: Sealed, index: ObjectKey, keys: &Keys) -> Opener {
        let (index, pages) = (Arc::new(index), sealed.page_key(keys));
        Opener(Some(Arc::new(ObjectKeys { sealed, index, pages })))
    }

    /// How the object is encrypted; nothing if it is a plain one.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        self.0.as_ref().map(|keys| &keys.sealed.envelope)
    }

    /// The page key without which the images are not opened.
    #[must_use]
    pub fn missing(&self) -> Option<KeyId> {
        let keys = self.0.as_ref().filter(|keys| keys.pages.is_none())?;
        keys.sealed.envelope.pages
    }

    /// The same with that key, if it is among `keys`.
    #[must_use]
    pub fn with(&self, keys: &Keys) -> Opener {
        match &self.0 {
            Some(ours) if ours.pages.is_none() => {
                let (sealed, index) = (ours.sealed.clone(), Arc::clone(&ours.index));
                let pages = sealed.page_key(keys);
                Opener(Some(Arc::new(ObjectKeys { sealed, index, pages })))
            }
            _ => self.clone(),
        }
    }

    /// The same with the key that the object alone has for its images.
    pub(super) fn with_object_key(&self, pages: ObjectKey) -> Opener {
        let Some(ours) = &self.0 else { return self.clone() };
        let (sealed, index) = (ours.sealed.clone(), Arc::clone(&ours.index));
        Opener(Some(Arc::new(ObjectKeys { sealed, index, pages: Some(pages) })))
    }

    /// What was encrypted as this block at `offset` of the object, whose length was checked, in the place of what is in
    /// `opened`; false if the object is a plain one.
    pub(super) fn open_into(
        &self,
        offset: u64,
        shape: Shape,
        stored: &[u8],
        opened: &mut Vec<u8>,
    ) -> Result<bool> {
        let Some(keys) = &self.0 else { return Ok(false) };
        let damaged = |why: &str| Error::damaged(format!("the block at {offset}"), why);
        let key = match (shape.kind.key_use(), keys.sealed.envelope.pages) {
            (KeyUse::Index, _) => &*keys.index,
            (key_use, Some(id)) => keys.pages.as_ref().ok_or(Error::NoKey { id, key_use })?,
            (KeyUse::Pages, None) => return Err(damaged("the object has no page key")),
        };
        opened.clear();
        opened.extend_from_slice(stored);
        let length = key.open_block(offset, &shape.encode(), opened).map(|plain| plain.len());
        let why = "it is not what was encrypted at this place of this object";
        opened.truncate(length.ok_or_else(|| damaged(why))?);
        Ok(true)
    }
}
