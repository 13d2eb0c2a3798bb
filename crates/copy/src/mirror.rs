//! A copy that is kept up to date: first the whole replica, then each new segment by its name, without a listing.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebbtide_catalog::{CatalogError, Identity, Progress, identify};
use ebbtide_replica::{Key, KeyPrefix, Manifest, Txid};
use ebbtide_seal::KeyId;
use ebbtide_store::{ErrorKind, Object, Pace, Store};

use crate::cast::Cast;
use crate::copy::{Copied, Options, copy};
use crate::error::CopyError;
use crate::form::Form;
use crate::object::{begin, put};

/// A target that has what its source had at some moment.
#[derive(Debug)]
pub struct Mirror {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    manifest: Manifest,
    pace: Pace,
    /// The first entry that the target does not have.
    next: Txid,
    /// The page keys whose wrapped form the target has.
    keys: BTreeSet<KeyId>,
}

impl Mirror {
    /// Copies all that the target does not have, in the form of the source, and what came of that. Without a mirror if the end of the source cannot be
    /// read.
    ///
    /// # Errors
    /// As [`copy`].
    pub async fn begin(
        from: Arc<dyn Store>,
        to: Arc<dyn Store>,
        options: Options,
    ) -> Result<(Option<Mirror>, Copied), CopyError> {
        let options = Options { form: Form::Same, ..options };
        let pace = Pace::new(options.bytes_per_second);
        let copied =
            copy(Arc::clone(&from), Arc::clone(&to), options, &Progress::default()).await?;
        let identity = identify(&*from, None).await.map_err(CopyError::Source)?;
        let mirror = identity.zip(copied.last).map(|(Identity { manifest, .. }, last)| Mirror {
            from,
            to,
            manifest,
            pace,
            next: last.next(),
            keys: BTreeSet::new(),
        });
        Ok((mirror, copied))
    }

    /// The last entry that the target has.
    #[must_use]
    pub fn last(&self) -> Option<Txid> {
        self.next.previous()
    }

    /// Copies the segments up to the one with entry `head`, one after the other. Whether that succeeded: a segment that is
    /// gone by now is in a pack, and the whole replica has to be listed.
    ///
    /// # Errors
    /// When the source cannot be read, or the target cannot be written or has something else.
    pub async fn advance(&mut self, head: Txid) -> Result<bool, CopyError> {
        while self.next <= head {
            let key = Key::Log(self.next);
            let size = self.from.size(&key).await;
            let size = size.map_err(|error| CopyError::Source(error.into()))?;
            let Some(size) = size else { return Ok(false) };
            let begun = match begin(&*self.from, &self.manifest, Object::new(key, size)).await {
                Err(CatalogError::Store(error)) if error.kind() == ErrorKind::NotFound => {
                    return Ok(false);
                }
                begun => begun.map_err(CopyError::Source)?,
            };
            let Some(last) = begun.last.filter(|&last| last >= self.next) else {
                return Ok(false);
            };
            if let Some(id) = begun.page_key {
                self.copy_key(id).await?;
            }
            put(begun, &*self.from, &*self.to, &mut Cast::Same, &self.pace).await?;
            self.next = last.next();
        }
        Ok(true)
    }

    /// Copies each wrapped form of a key, unless that was done.
    async fn copy_key(&mut self, id: KeyId) -> Result<(), CopyError> {
        if self.keys.contains(&id) {
            return Ok(());
        }
        let before = Key::Wrapped { id, number: 0 };
        let listed = self.from.list(KeyPrefix::Wrapped, Some(&before)).await;
        let listed = listed.map_err(|error| CopyError::Source(error.into()))?;
        let is_its =
            |object: &Object| matches!(object.key, Key::Wrapped { id: its, .. } if its == id);
        for object in listed.into_iter().filter(is_its) {
            let begun = begin(&*self.from, &self.manifest, object).await;
            let begun = begun.map_err(CopyError::Source)?;
            put(begun, &*self.from, &*self.to, &mut Cast::Same, &self.pace).await?;
        }
        self.keys.insert(id);
        Ok(())
    }
}
