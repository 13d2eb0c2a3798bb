//! The keys of a replica: which are at hand, which an identity opens, and what is said of the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ebbtide_replica::{Key, KeyDocument, KeyPrefix, ReplicaId};
use ebbtide_seal::{KeyId, KeyUse, Keys, SecretKey, Unwrap, UnwrapError};
use ebbtide_store::{
    ErrorKind, KeyError, KeyedStore, Keyring, MemoryStore, Store, WrappedKey, foresee_keys,
    keys_at_hand, open_key,
};
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use ebbtide_testkit::wrapped::{Identities, Recipient, Unusable};
use futures::future::join_all;
use zeroize::Zeroizing;

const REPLICA: ReplicaId = ReplicaId::from_bytes([7; 16]);

fn document(key: u8) -> KeyDocument {
    let key = SecretKey::from_bytes([key; 32]);
    KeyDocument { replica: REPLICA, key_use: KeyUse::Pages, key }
}

async fn put(store: &dyn Store, name: &'static str, document: &KeyDocument) -> Key {
    WrappedKey::new(&Recipient(name), document).unwrap().put(store).await.unwrap()
}

/// What is asked of it goes through `store`, with an identity of this name.
fn keyed(store: Arc<dyn Store>, identity: impl Unwrap + 'static) -> KeyedStore {
    KeyedStore::new(store, Arc::new(Keyring::new(Keys::NONE, Some(Arc::new(identity)))))
}

fn owner() -> Identities {
    Identities(vec!["somebody", "owner"])
}

async fn open(store: &dyn Store, id: KeyId) -> Result<(), KeyError> {
    open_key(store, REPLICA, id, KeyUse::Pages).await
}

fn wrapped(id: KeyId, number: u32) -> Key {
    Key::Wrapped { id, number }
}

#[tokio::test]
async fn some_keys_are_there_before_they_are_asked_for_and_none_is_fetched_twice() {
    let memory = Arc::new(MemoryStore::default());
    let documents: Vec<KeyDocument> = (1..=12).map(document).collect();
    for document in &documents {
        put(&*memory, "owner", document).await;
    }
    let faulty = Faulty::new(memory);
    let store = keyed(Arc::new(faulty.clone()), owner());
    foresee_keys(&store).await;
    assert_eq!(faulty.calls().len(), 1 + 8, "{:?}", faulty.calls());
    for document in &documents {
        open(&store, document.id()).await.unwrap();
    }
    assert_eq!(faulty.calls().len(), 1 + 12, "{:?}", faulty.calls());
    // Who can open nothing asks for nothing.
    let faulty = Faulty::new(Arc::new(MemoryStore::default()));
    let keyring = Arc::new(Keyring::new(Keys::NONE, None));
    foresee_keys(&KeyedStore::new(Arc::new(faulty.clone()), keyring)).await;
    assert!(faulty.calls().is_empty());
}

#[tokio::test]
async fn what_is_at_hand_needs_no_store_and_nothing_else_is_opened_without_an_identity() {
    let memory = Arc::new(MemoryStore::default());
    put(&*memory, "owner", &document(2)).await;
    let faulty = Faulty::new(memory);
    let keys: Keys = [document(1).key].into_iter().collect();
    let store = KeyedStore::new(Arc::new(faulty.clone()), Arc::new(Keyring::new(keys, None)));
    open(&store, document(1).id()).await.unwrap();
    assert!(keys_at_hand(&store).get(document(1).id()).is_some());
    let error = open(&store, document(2).id()).await.unwrap_err();
    assert!(matches!(error, KeyError::NoIdentity { .. }), "{error}");
    let error = open(&faulty, document(1).id()).await.unwrap_err();
    assert!(matches!(error, KeyError::NoIdentity { .. }), "{error}");
    assert!(keys_at_hand(&faulty).get(document(1).id()).is_none());
    assert!(faulty.calls().is_empty());
}

/// Would catch one request for each object that names the key.
#[tokio::test]
async fn each_key_is_asked_for_once_however_many_need_it_at_once() {
    let memory = Arc::new(MemoryStore::default());
    for key in 1..=4 {
        put(&*memory, "owner", &document(key)).await;
    }
    let faulty = Faulty::new(memory);
    let store = keyed(Arc::new(faulty.clone()), owner());
    let opened = (0..40).map(|at| open(&store, document(1 + at % 4).id()));
    join_all(opened).await.into_iter().for_each(|opened| opened.unwrap());
    let calls = faulty.calls();
    let gets = calls.iter().filter(|call| matches!(call, Call::Get(_))).count();
    assert_eq!((gets, calls.len()), (4, 5), "{calls:?}");
    for key in 1..=4 {
        let keys = keys_at_hand(&store);
        let key = document(key);
        assert_eq!(keys.get(key.id()).unwrap().as_bytes(), key.key.as_bytes());
    }
}

/// H37: the newest form counts, and an older one serves where it is damaged.
#[tokio::test]
async fn h37_the_newest_form_that_opens_is_used() {
    let memory = Arc::new(MemoryStore::default());
    let key = document(1);
    assert_eq!(put(&*memory, "old", &key).await, wrapped(key.id(), 1));
    assert_eq!(put(&*memory, "owner", &key).await, wrapped(key.id(), 2));
    let faulty = Faulty::new(memory.clone());
    open(&keyed(Arc::new(faulty.clone()), owner()), key.id()).await.unwrap();
    assert!(!faulty.calls().contains(&Call::Get(wrapped(key.id(), 1))));
    open(&keyed(memory.clone(), Identities(vec!["old"])), key.id()).await.unwrap();
    memory.delete(&wrapped(key.id(), 2)).await.unwrap();
    let error = open(&keyed(memory.clone(), owner()), key.id()).await.unwrap_err();
    assert!(error.to_string().contains("none of 2 identities opens"), "{error}");
    memory.put(&wrapped(key.id(), 2), vec![7; 100].into()).await.unwrap();
    let store = keyed(memory.clone(), Identities(vec!["old"]));
    open(&store, key.id()).await.unwrap();
    let damaged = store.keyring().unwrap().damaged();
    assert_eq!(damaged.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [wrapped(key.id(), 2)]);
    let error = open(&keyed(memory, owner()), key.id()).await.unwrap_err();
    assert!(matches!(error, KeyError::Damaged { .. }), "{error}");
}

/// H36: sound keys in places where they do not belong.
#[tokio::test]
async fn h36_a_key_of_another_name_use_or_replica_is_refused() {
    let key = document(1);
    let id = key.id();
    let elsewhere = KeyDocument { replica: ReplicaId::from_bytes([8; 16]), ..key.clone() };
    let index = KeyDocument { key_use: KeyUse::Index, ..key.clone() };
    for (document, why) in [
        (elsewhere, "it is of the replica 0808"),
        (index, "of the class index"),
        (document(2), "it is key "),
    ] {
        let memory = Arc::new(MemoryStore::default());
        let from = put(&*memory, "owner", &document).await;
        let body = memory.get(&from, 1 << 20).await.unwrap();
        memory.delete(&from).await.unwrap();
        memory.put(&wrapped(id, 1), body).await.unwrap();
        let store = keyed(memory, owner());
        let error = open(&store, id).await.unwrap_err();
        let is_refused = matches!(error, KeyError::Damaged { .. } | KeyError::Stray { .. });
        assert!(is_refused && error.to_string().contains(why), "{error}");
        assert!(keys_at_hand(&store).get(id).is_none());
    }
}

/// H36: no byte of a wrapped key can be another one.
#[tokio::test]
async fn h36_a_wrapped_key_with_a_flipped_byte_is_refused() {
    let memory = MemoryStore::default();
    let name = put(&memory, "owner", &document(1)).await;
    let body = memory.get(&name, 1 << 20).await.unwrap();
    for at in 0..body.len() {
        let mut flipped = body.to_vec();
        flipped[at] ^= 1;
        let memory = MemoryStore::with([(name.to_string(), flipped.into())]);
        let error = open(&keyed(Arc::new(memory), owner()), document(1).id()).await.unwrap_err();
        let is_refused = matches!(error, KeyError::Damaged { .. } | KeyError::Foreign { .. });
        assert!(is_refused, "byte {at}: {error}");
    }
}

#[tokio::test]
async fn h37_a_key_that_no_listing_shows_is_asked_for_by_its_name_and_else_missing() {
    let memory = Arc::new(MemoryStore::default());
    put(&*memory, "owner", &document(1)).await;
    let faulty = Faulty::new(memory);
    faulty.script(|call| matches!(call, Call::List(_)).then_some(Outcome::Lag(9)));
    let store = keyed(Arc::new(faulty.clone()), owner());
    open(&store, document(1).id()).await.unwrap();
    let error = open(&store, document(2).id()).await.unwrap_err();
    assert!(matches!(error, KeyError::Missing { .. }), "{error}");
    let calls = faulty.calls().len();
    assert!(open(&store, document(2).id()).await.is_err());
    assert_eq!(faulty.calls().len(), calls, "what is missing is not asked for again");
}

/// H37: the keys are wrapped again while somebody reads.
#[tokio::test]
async fn h37_what_was_wrapped_again_since_the_listing_is_found() {
    let memory = Arc::new(MemoryStore::default());
    let names =
        [put(&*memory, "owner", &document(1)).await, put(&*memory, "owner", &document(2)).await];
    let store = keyed(memory.clone(), owner());
    open(&store, document(1).id()).await.unwrap();
    assert_eq!(put(&*memory, "owner", &document(2)).await, wrapped(document(2).id(), 2));
    memory.delete(&names[1]).await.unwrap();
    open(&store, document(2).id()).await.unwrap();
}

#[tokio::test]
async fn what_the_store_did_not_answer_is_asked_again() {
    let memory = Arc::new(MemoryStore::default());
    put(&*memory, "owner", &document(1)).await;
    let faulty = Faulty::new(memory);
    let store = keyed(Arc::new(faulty.clone()), owner());
    for failing in [true, false] {
        faulty.script(move |call| {
            let fails =
                if failing { matches!(call, Call::List(_)) } else { matches!(call, Call::Get(_)) };
            fails.then_some(Outcome::Fail(ErrorKind::Unavailable))
        });
        let error = open(&store, document(1).id()).await.unwrap_err();
        assert!(matches!(error, KeyError::Store(_)), "{error}");
    }
    faulty.heal();
    open(&store, document(1).id()).await.unwrap();
}

/// H34: a person is asked for a passphrase once, not for each key.
#[tokio::test]
async fn h34_an_identity_that_cannot_be_used_is_tried_once() {
    #[derive(Debug)]
    struct Counted(Arc<AtomicUsize>);
    impl Unwrap for Counted {
        fn unwrap(&self, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnwrapError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Unusable.unwrap(wrapped)
        }
    }
    let memory = Arc::new(MemoryStore::default());
    put(&*memory, "owner", &document(1)).await;
    put(&*memory, "owner", &document(2)).await;
    let count = Arc::new(AtomicUsize::new(0));
    let store = keyed(memory, Counted(Arc::clone(&count)));
    let (one, two) = futures::join!(open(&store, document(1).id()), open(&store, document(2).id()));
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert!(error.to_string().contains("nobody gives its passphrase"), "{error}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_wrapped_key_that_was_put_and_not_confirmed_is_found_again() {
    let memory = Arc::new(MemoryStore::default());
    let faulty = Faulty::new(memory.clone());
    faulty.script(|call| matches!(call, Call::Put(_)).then_some(Outcome::Lose));
    let key = WrappedKey::new(&Recipient("owner"), &document(1)).unwrap();
    assert!(key.put(&faulty).await.is_err());
    faulty.heal();
    assert_eq!(key.put(&faulty).await.unwrap(), wrapped(document(1).id(), 1));
    assert_eq!(memory.list(KeyPrefix::Wrapped, None).await.unwrap().len(), 1);
}

/// Two hosts wrap the same key, and the listing shows neither the other's yet.
#[tokio::test]
async fn wrapped_keys_of_several_writers_take_numbers_of_their_own() {
    let memory = Arc::new(MemoryStore::default());
    let faulty = Faulty::new(memory.clone());
    faulty.script(|call| matches!(call, Call::List(_)).then_some(Outcome::Lag(9)));
    let key = document(1);
    let wraps = (0..5).map(|_| put(&faulty, "owner", &key));
    let mut names = join_all(wraps).await;
    names.sort();
    let numbers: Vec<Key> = (1..=5).map(|number| wrapped(document(1).id(), number)).collect();
    assert_eq!(names, numbers);
}

/// H39: nothing of a key, or of what opens it, is logged.
#[tokio::test]
async fn h39_a_keyring_shows_nothing() {
    let keyring = Keyring::new([document(0x41).key].into_iter().collect(), Some(Arc::new(owner())));
    assert_eq!(format!("{keyring:?}"), "Keyring(..)");
    let store = KeyedStore::new(Arc::new(MemoryStore::default()), Arc::new(keyring));
    assert_eq!(format!("{store:?}"), "[]");
}
