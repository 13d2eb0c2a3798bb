//! What opens an encrypted replica.

use std::path::Path;
use std::sync::Arc;

use ebbtide_keys::Identities;
use ebbtide_seal::{Keys, Unwrap};
use ebbtide_store::{KeyedStore, Keyring, Store};
use zeroize::Zeroizing;

use crate::error::Result;

/// What opens an encrypted replica: the identity of one of the recipients for whom it was encrypted. Clones are the same.
#[derive(Debug, Clone)]
pub struct Identity(Arc<dyn Unwrap>);

impl Identity {
    /// The identities in a file, as `ebbtide keygen` and `age-keygen` write it.
    ///
    /// # Errors
    /// When the file cannot be read, has none, or needs a passphrase.
    pub fn read(file: impl AsRef<Path>) -> Result<Identity> {
        let asked = |_: &Path| Err("it has a passphrase, and none was given".to_owned());
        Ok(Identity::of(Identities::read(file.as_ref(), &asked)?))
    }

    /// The same of a file that is encrypted with a passphrase.
    ///
    /// # Errors
    /// When the file cannot be read, has none, or the passphrase is another one.
    pub fn read_with(file: impl AsRef<Path>, passphrase: &str) -> Result<Identity> {
        let given = |_: &Path| Ok(Zeroizing::new(passphrase.to_owned()));
        Ok(Identity::of(Identities::read(file.as_ref(), &given)?))
    }

    /// Anything else that opens wrapped keys: a key service, a token. It is called outside async code, once for each key.
    pub fn of(unwrap: impl Unwrap + 'static) -> Identity {
        Identity(Arc::new(unwrap))
    }

    /// The store with what opens its objects.
    pub(crate) fn with(self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        let keyring = Keyring::new(Keys::default(), Some(self.0));
        Arc::new(KeyedStore::new(store, Arc::new(keyring)))
    }
}
