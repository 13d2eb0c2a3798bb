//! The keys of a replica that the [builder](crate::builder) encrypts, and of those who read it.

use std::sync::Arc;

use ebbtide_replica::container::Sealing;
use ebbtide_replica::{Encryption, KeyDocument, ReplicaId};
use ebbtide_seal::{KeyId, KeyUse, Keys, SecretKey};
use ebbtide_store::{Keyring, Store, WrappedKey};

use crate::wrapped::{Identities, Recipient};

/// Whom the keys are wrapped for.
const OWNER: &str = "owner";

const SOUND: &str = "a store in memory takes a key";

/// What a replica is encrypted with.
#[derive(Debug, Clone)]
pub struct BuilderKeys {
    /// How many page keys there were before.
    turn: u8,
}

impl Default for BuilderKeys {
    fn default() -> BuilderKeys {
        BuilderKeys { turn: 1 }
    }
}

impl BuilderKeys {
    /// What the manifest says.
    #[must_use]
    pub fn encryption(&self) -> Encryption {
        Encryption::new(KeyId::of(&index_key()))
    }

    /// The present keys.
    #[must_use]
    pub fn sealing(&self) -> Sealing {
        Sealing { pages: Some(page_key(self.turn)), index: index_key() }
    }

    /// Goes on with another page key.
    pub fn turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }

    /// Puts the present keys, wrapped for their owner, if they are not there.
    ///
    /// # Panics
    /// When the store does not take them.
    pub async fn put(&self, store: &dyn Store, replica: ReplicaId) {
        let Sealing { pages, index } = self.sealing();
        let pages = pages.into_iter().map(|key| (KeyUse::Pages, key));
        for (key_use, key) in pages.chain([(KeyUse::Index, index)]) {
            let name = ebbtide_replica::Key::Wrapped { id: KeyId::of(&key), number: 1 };
            if store.size(&name).await.expect(SOUND).is_none() {
                let document = KeyDocument { replica, key_use, key };
                let wrapped = WrappedKey::new(&Recipient(OWNER), &document).expect(SOUND);
                wrapped.put(store).await.expect(SOUND);
            }
        }
    }
}

/// The index key of each encrypted replica.
#[must_use]
pub fn index_key() -> SecretKey {
    SecretKey::from_bytes([0xed; SecretKey::SIZE])
}

/// One of its page keys.
fn page_key(turn: u8) -> SecretKey {
    SecretKey::from_bytes([turn; SecretKey::SIZE])
}

/// Who can read everything.
#[must_use]
pub fn owner() -> Arc<Keyring> {
    Arc::new(Keyring::new(Keys::NONE, Some(Arc::new(Identities(vec![OWNER])))))
}

/// Who has the index key, as a host that writes.
#[must_use]
pub fn host() -> Arc<Keyring> {
    Arc::new(Keyring::new([index_key()].into_iter().collect(), None))
}

/// Who has nothing.
#[must_use]
pub fn nobody() -> Arc<Keyring> {
    Arc::new(Keyring::new(Keys::NONE, None))
}

/// Who has identities for which nothing was wrapped.
#[must_use]
pub fn stranger() -> Arc<Keyring> {
    Arc::new(Keyring::new(Keys::NONE, Some(Arc::new(Identities(vec!["one", "two"])))))
}
