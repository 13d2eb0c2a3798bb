//! How objects of the source become those of the target.

use std::sync::Arc;

use ebbtide_catalog::CatalogError;
use ebbtide_fault::point;
use ebbtide_replica::container::{DocumentObject, Header, Index, Recast, Sealer, Sealing};
use ebbtide_replica::{Error, Key, KeyDocument, ReplicaId, Txid};
use ebbtide_seal::{KeyUse, SecretKey, Wrap};
use ebbtide_store::{Object, Store, WrappedKey};

use crate::error::CopyError;

/// A page key is replaced after so many bytes. An object that is begun with it is ended with it.
const PAGE_KEY_BYTES: u64 = 64 << 30;

/// How objects of the source become those of the target.
pub(crate) enum Cast {
    /// They stay as they are.
    Same,
    /// They are encrypted.
    Seal(Seals),
    /// They are decrypted.
    Open,
}

/// What a copy is encrypted with: the index key of the target, and page keys of its own.
pub(crate) struct Seals {
    wrap: Arc<dyn Wrap>,
    replica: ReplicaId,
    index: SecretKey,
    pages: Option<PageKey>,
}

/// The page key in use, whose wrapped form the target has.
struct PageKey {
    key: SecretKey,
    /// How many bytes were written with it.
    bytes: u64,
}

impl Cast {
    /// Whether objects become others.
    pub(crate) fn is_recast(&self) -> bool {
        !matches!(self, Cast::Same)
    }

    /// Whether an object of the target with so many bytes may be this one of the source, as far as sizes tell.
    pub(crate) fn fits(&self, object: Object, there: u64) -> bool {
        match self {
            Cast::Same => there == object.size,
            // Another version may compress a document in another way.
            _ if matches!(object.key, Key::Horizon(_) | Key::Mark { .. }) => true,
            Cast::Seal(_) => Recast::may_be(object.size, there),
            Cast::Open => Recast::may_be(there, object.size),
        }
    }

    /// Begins the object with this index, whose blocks can be opened.
    pub(crate) async fn begin(
        &mut self,
        index: Index,
        object: Object,
        to: &dyn Store,
    ) -> Result<Recast, CopyError> {
        let (header, last) = (*index.header(), index.footer().last);
        let sealer = match self {
            Cast::Same | Cast::Open => None,
            Cast::Seal(seals) if index.page_blocks().is_empty() => {
                Some(seals.document_sealer(&header, last)?)
            }
            Cast::Seal(seals) => Some(seals.sealer(&header, last, object.size, to).await?),
        };
        Recast::begin(index, sealer).map_err(about(object.key))
    }

    /// The bytes of a document in the target.
    pub(crate) fn encode(&self, document: &DocumentObject) -> Result<Vec<u8>, CopyError> {
        let sealer = match self {
            Cast::Same | Cast::Open => None,
            Cast::Seal(seals) => Some(seals.document_sealer(&document.header, document.last)?),
        };
        document.encode_with(sealer).map_err(about(document.key()))
    }
}

impl Seals {
    pub(crate) fn new(wrap: Arc<dyn Wrap>, replica: ReplicaId, index: SecretKey) -> Seals {
        Seals { wrap, replica, index, pages: None }
    }

    /// Puts the index key of a copy that is begun, wrapped, before anything names it.
    pub(crate) async fn put_index_key(&self, to: &dyn Store) -> Result<(), CopyError> {
        point("copy.key.begin");
        let wrapped = self.wrap(&self.index, KeyUse::Index)?;
        wrapped.put(to).await.map_err(CopyError::Target)?;
        point("copy.key.done");
        if let Some(keyring) = to.keyring() {
            keyring.insert(self.index.clone());
        }
        Ok(())
    }

    /// A key of the copy, wrapped for those who may have it.
    fn wrap(&self, key: &SecretKey, key_use: KeyUse) -> Result<WrappedKey, CopyError> {
        let document = KeyDocument { replica: self.replica, key_use, key: key.clone() };
        WrappedKey::new(&*self.wrap, &document).map_err(CopyError::Wrap)
    }

    /// What encrypts an object without images.
    fn document_sealer(&self, header: &Header, last: Txid) -> Result<Sealer, CopyError> {
        let sealing = Sealing { pages: None, index: self.index.clone() };
        sealing.object(header, last).map_err(CopyError::Draw)
    }

    /// What encrypts an object of `size` bytes. Its page key is in the target before that, wrapped: an object whose key
    /// nobody has is lost.
    async fn sealer(
        &mut self,
        header: &Header,
        last: Txid,
        size: u64,
        to: &dyn Store,
    ) -> Result<Sealer, CopyError> {
        let current = self.pages.take().filter(|current| current.bytes < PAGE_KEY_BYTES);
        let mut current = match current {
            Some(current) => current,
            None => {
                let key = SecretKey::random().map_err(CopyError::Draw)?;
                point("copy.key.begin");
                let wrapped = self.wrap(&key, KeyUse::Pages)?;
                wrapped.put(to).await.map_err(CopyError::Target)?;
                point("copy.key.done");
                if let Some(keyring) = to.keyring() {
                    keyring.insert(key.clone());
                }
                PageKey { key, bytes: 0 }
            }
        };
        current.bytes = current.bytes.saturating_add(size);
        let sealing = Sealing { pages: Some(current.key.clone()), index: self.index.clone() };
        self.pages = Some(current);
        sealing.object(header, last).map_err(CopyError::Draw)
    }
}

/// What is wrong with an object of the source.
pub(crate) fn about(key: Key) -> impl Fn(Error) -> CopyError {
    move |source| CopyError::Source(CatalogError::Object { key, source })
}
