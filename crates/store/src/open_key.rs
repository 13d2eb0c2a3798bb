//! Finds a secret key: at hand, or wrapped in the store.

use std::sync::Arc;

use bytes::Bytes;
use ebbtide_replica::{Key, KeyDocument, ReplicaId, Timestamp};
use ebbtide_seal::{KeyId, KeyUse, Keys, SecretKey, Unwrap, UnwrapError, scrubbed};

use super::api::Store;
use super::error::ErrorKind;
use super::key_error::KeyError;
use super::keyring::{Keyring, WrappedNames};

/// The keys that are at hand for the objects in `store`.
#[must_use]
pub fn keys_at_hand(store: &dyn Store) -> Arc<Keys> {
    store.keyring().map(|keyring| keyring.keys()).unwrap_or_default()
}

/// Makes sure that a key is at hand for the objects in `store`, which are those of `replica`: if it is not yet, it is
/// looked for among the wrapped keys there, of which the newest that opens counts.
///
/// # Errors
/// If it is not to be had.
pub async fn open_key(
    store: &dyn Store,
    replica: ReplicaId,
    id: KeyId,
    key_use: KeyUse,
) -> Result<(), KeyError> {
    let none = KeyError::NoIdentity { id, key_use };
    let Some(keyring) = store.keyring() else { return Err(none) };
    if keyring.has(id) {
        return Ok(());
    }
    let Some(identity) = &keyring.identity else { return Err(none) };
    let asked = keyring.asked(id);
    let mut failure = asked.lock().await;
    if keyring.has(id) {
        return Ok(());
    }
    if let Some(error) = &*failure {
        return Err(error.clone());
    }
    match (KeySearch { store, keyring, identity, replica, id, key_use }).run().await {
        Ok(key) => {
            keyring.insert(key);
            Ok(())
        }
        Err(error) => {
            if error.is_permanent() {
                *failure = Some(error.clone());
            }
            Err(error)
        }
    }
}

/// The same, for who needs the key itself.
///
/// # Errors
/// If it is not to be had.
pub async fn take_key(
    store: &dyn Store,
    replica: ReplicaId,
    id: KeyId,
    key_use: KeyUse,
) -> Result<SecretKey, KeyError> {
    open_key(store, replica, id, key_use).await?;
    keys_at_hand(store).get(id).cloned().ok_or(KeyError::Missing { id, key_use })
}

/// One key is looked for.
///
/// A listing is a hint: what it does not show is asked for by the name that it would have, and if all that it shows is
/// gone, because the keys were wrapped again, another one is made.
struct KeySearch<'a> {
    store: &'a dyn Store,
    keyring: &'a Keyring,
    identity: &'a Arc<dyn Unwrap>,
    replica: ReplicaId,
    id: KeyId,
    key_use: KeyUse,
}

/// What came of one form of a key.
enum Tried {
    Opened(SecretKey),
    Gone,
    Failed(KeyError),
}

impl KeySearch<'_> {
    async fn run(&self) -> Result<SecretKey, KeyError> {
        let (store, keyring) = (self.store, self.keyring);
        let (names, is_new) = keyring.names(store, None).await?;
        let mut found = self.open_listed(&names).await?;
        if found.is_none() && !is_new {
            let (names, _) = keyring.names(store, Some(&names)).await?;
            found = self.open_listed(&names).await?;
        }
        found.ok_or(KeyError::Missing { id: self.id, key_use: self.key_use })
    }

    /// Nothing if the store has none of the listed forms; of a key that is not listed, the first.
    async fn open_listed(&self, names: &WrappedNames) -> Result<Option<SecretKey>, KeyError> {
        let mut failures = Vec::new();
        let listed = names.get(&self.id).map_or(&[(1, None)][..], Vec::as_slice);
        for &(number, wrapped) in listed.iter().rev() {
            match self.open_one(Key::Wrapped { id: self.id, number }, wrapped).await? {
                Tried::Opened(key) => {
                    self.note_damaged(failures);
                    return Ok(Some(key));
                }
                Tried::Gone => {}
                Tried::Failed(error) => failures.push(error),
            }
        }
        // What is said of the key is said of its newest form.
        failures.into_iter().next().map_or(Ok(None), Err)
    }

    /// The key is there, and yet newer forms of it are damaged: somebody has to hear of that before the last one is.
    fn note_damaged(&self, failures: Vec<KeyError>) {
        for failure in failures {
            if let KeyError::Damaged { object, why, .. } = failure {
                tracing::warn!(%object, why, "a wrapped key is damaged; an older form of it was used");
                self.keyring.note_damaged(object, why);
            }
        }
    }

    /// Opens one form of the key; if it is damaged, as it lies in another place of the replica.
    async fn open_one(&self, object: Key, wrapped: Option<Timestamp>) -> Result<Tried, KeyError> {
        let (id, key_use) = (self.id, self.key_use);
        loop {
            let why = match self.keyring.wrapped(self.store, &object).await {
                Ok(body) => match self.unwrap(body).await? {
                    Ok(key) => return Ok(Tried::Opened(key)),
                    Err(Closed::Foreign { identities }) => {
                        let error = KeyError::Foreign { id, key_use, identities, wrapped };
                        return Ok(Tried::Failed(error));
                    }
                    Err(Closed::Stray(why)) => {
                        return Ok(Tried::Failed(KeyError::Stray { id, key_use, why }));
                    }
                    Err(Closed::Damaged(why)) => why,
                },
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Tried::Gone),
                Err(error) if error.kind() == ErrorKind::Damaged => error.to_string(),
                Err(error) => return Err(error.into()),
            };
            if self.store.elsewhere(&object).await.is_none() {
                return Ok(Tried::Failed(KeyError::Damaged { id, key_use, object, why }));
            }
        }
    }

    /// Opens a wrapped key where that may take its time, and proves that it is the one that is looked for.
    async fn unwrap(&self, body: Bytes) -> Result<Result<SecretKey, Closed>, KeyError> {
        let mut unusable = self.keyring.unusable.lock().await;
        if let Some(why) = &*unusable {
            return Err(KeyError::Identity(why.clone()));
        }
        let identity = Arc::clone(self.identity);
        let open = move || {
            let json = identity.unwrap(&body)?;
            let document = KeyDocument::from_json(&json);
            document.map_err(|error| UnwrapError::Damaged(error.to_string()))
        };
        let unwrapped = tokio::task::spawn_blocking(|| scrubbed(open));
        let broken_off =
            |error| Err(UnwrapError::Identity(format!("its use was broken off: {error}")));
        match unwrapped.await.unwrap_or_else(broken_off) {
            Ok(document) => Ok(self.check(document)),
            Err(UnwrapError::NotARecipient { identities }) => {
                Ok(Err(Closed::Foreign { identities }))
            }
            Err(UnwrapError::Damaged(why)) => Ok(Err(Closed::Damaged(why))),
            Err(UnwrapError::Identity(why)) => {
                *unusable = Some(why.clone());
                Err(KeyError::Identity(why))
            }
        }
    }

    /// Whoever can write into the store can put a key of another replica, or a sound one under another name.
    fn check(&self, document: KeyDocument) -> Result<SecretKey, Closed> {
        if document.id() != self.id {
            return Err(Closed::Damaged(format!("it is key {}", document.id())));
        }
        if document.replica != self.replica {
            let (theirs, ours) = (document.replica, self.replica);
            let why = format!("it is of the replica {theirs}, and ebbtide.json says {ours}");
            return Err(Closed::Stray(why));
        }
        if document.key_use != self.key_use {
            return Err(Closed::Stray(format!("it is a key of the class {}", document.key_use)));
        }
        Ok(document.key)
    }
}

/// Why a wrapped key was not opened, although the identity is good.
enum Closed {
    Foreign { identities: usize },
    Stray(String),
    Damaged(String),
}
