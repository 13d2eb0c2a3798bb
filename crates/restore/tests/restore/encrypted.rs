//! What of an encrypted replica is read with which keys, and what is said without them.

use std::sync::Arc;

use bytes::Bytes;
use ebbtide_catalog::{PlanError, Progress, Target};
use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_restore::{Depth, Drill, Error, Report, Verification};
use ebbtide_restore::{drill, restore, verify};
use ebbtide_store::{KeyError, Keyring, MemoryStore, Store, StoreError};
use ebbtide_testkit::faulty::{Call, Faulty};
use ebbtide_testkit::keys::{host, nobody, owner, stranger};

use crate::builder::{Builder, Form, START, micros, options, restored, txid};

/// Two snapshots, a pack and a delta among segments, under several page keys.
async fn sample() -> Builder {
    let mut builder = Builder::started_as(Form::Encrypted, 512, 30).await;
    for number in 0..24_usize {
        builder.wait(1000);
        builder.commit(&[(number % 6, number as u64), (20, number as u64)], 30 + number % 2);
        builder.cut().await;
        match number {
            9 => builder.snapshot().await,
            14 => drop(builder.delta(14).await),
            _ => {}
        }
    }
    builder.pack(4, 9).await;
    builder
}

async fn verified(store: &MemoryStore) -> Verification {
    verify(Arc::new(store.clone()), &Arc::new(Progress::default())).await.unwrap()
}

/// The wrapped page keys.
async fn page_keys(builder: &Builder) -> Vec<Key> {
    let index = builder.manifest.encryption.unwrap().index;
    let keys = builder.store.objects().into_iter().filter_map(|(name, _)| Key::parse(&name));
    keys.filter(|key| matches!(key, Key::Wrapped { id, .. } if *id != index)).collect()
}

/// A restore of the newest state through a store that notes what is asked of it.
async fn asked(store: &MemoryStore, keyring: Arc<Keyring>) -> (Result<Report, Error>, Vec<Call>) {
    let faulty = Faulty::new(Arc::new(store.with_keyring(keyring)));
    let directory = tempfile::tempdir().unwrap();
    let options = options(Target::Latest, &directory.path().join("out.db"));
    let result = restore(Arc::new(faulty.clone()), &options, &Arc::default()).await;
    (result, faulty.calls())
}

fn is_for_key(call: &Call) -> bool {
    matches!(call, Call::Get(Key::Wrapped { .. }))
}

/// H34: whoever has no identity is told so before anything of the history is read, and whoever has the index key alone,
/// before any page is.
#[tokio::test]
async fn h34_without_an_identity_nothing_is_fetched() {
    let builder = sample().await;
    for keyring in [nobody(), stranger()] {
        let is_stranger = keyring.has_identity();
        let (result, calls) = asked(&builder.store, keyring).await;
        let error = result.unwrap_err();
        let Error::Plan(PlanError::Key(why)) = &error else { panic!("{error}") };
        match is_stranger {
            true => {
                assert!(matches!(why, KeyError::Foreign { identities: 2, .. }), "{why}");
                assert!(why.to_string().contains("none of 2 identities opens index key"), "{why}");
            }
            false => assert!(matches!(why, KeyError::NoIdentity { .. }), "{why}"),
        }
        assert!(!calls.iter().any(|call| matches!(call, Call::GetRange(..))), "{calls:?}");
    }
    let (result, calls) = asked(&builder.store, host()).await;
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::Plan(PlanError::Key(KeyError::NoIdentity { .. }))), "{error}");
    assert!(error.to_string().contains("no identity was given that opens its page key"), "{error}");
    assert!(!calls.iter().any(is_for_key), "{calls:?}");
}

/// Would catch one request for each object, and a page that waits for a key.
#[tokio::test]
async fn each_page_key_of_a_plan_is_asked_for_once_and_before_the_first_page() {
    let builder = sample().await;
    let (result, calls) = asked(&builder.store, owner()).await;
    result.unwrap();
    let keys = calls.iter().filter(|call| is_for_key(call));
    let mut keys: Vec<String> = keys.map(|call| format!("{call:?}")).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), all, "{keys:?}");
    assert!(all > 2, "{keys:?}");
    let lists = calls.iter().filter(|call| **call == Call::List(KeyPrefix::Wrapped));
    assert_eq!(lists.count(), 1);
}

/// H37: what is under a key that is gone is planned around, or named with how much it is.
#[tokio::test]
async fn h37_a_page_key_that_is_gone_takes_its_own_pages_and_no_others() {
    let builder = sample().await;
    let (mut exact, mut refused) = (0, 0);
    for key in page_keys(&builder).await {
        let store = Builder::copy(&builder.store);
        store.delete(&key).await.unwrap();
        let Key::Wrapped { id, .. } = key else { panic!("{key}") };
        for state in &builder.states[1..] {
            match restored(&store, Target::Txid(state.txid)).await {
                Ok((image, _)) => {
                    assert!(image == state.image(), "{}", state.txid);
                    exact += 1;
                }
                Err(error) => {
                    assert!(matches!(error, Error::Plan(PlanError::Damaged { .. })), "{error}");
                    let text = error.to_string();
                    assert!(text.contains(&format!("page key {id} is missing")), "{text}");
                    assert!(text.contains("(pages of ") && text.contains(" to 20"), "{text}");
                    refused += 1;
                }
            }
        }
        let verification = verified(&store).await;
        assert!(verification.findings.iter().any(|finding| finding.key == key));
        for keyring in [host(), nobody()] {
            let verification = verified(&store.with_keyring(keyring)).await;
            let mut findings = verification.findings.iter();
            let found = findings.find(|finding| finding.key == key).unwrap().to_string();
            assert!(found.contains("cannot be read by anybody"), "{found}");
        }
    }
    assert!(exact > 20 && refused > 20, "{exact} exact, {refused} refused");
}

/// The three depths of a verification, and what each of them counts.
#[tokio::test]
async fn a_verification_proves_what_the_keys_allow_and_says_how_much_that_is() {
    let builder = sample().await;
    let entries = builder.states.len() as u64;
    let keyrings = [(nobody(), Depth::Bytes), (host(), Depth::Index), (owner(), Depth::Pages)];
    for (keyring, depth) in keyrings {
        let verification = verified(&builder.store.with_keyring(keyring)).await;
        assert_eq!((verification.depth, verification.findings), (depth, Vec::new()));
        let counts = verification.counts;
        assert_eq!(counts.entries, entries, "{depth:?}");
        assert_eq!(counts.keys, page_keys(&builder).await.len() as u64 + 1, "{depth:?}");
        assert_eq!(counts.digests > 0, depth > Depth::Bytes, "{depth:?}");
        assert_eq!(counts.pages > 0, depth == Depth::Pages, "{depth:?}");
        assert_eq!(verification.first_restorable.is_some(), depth > Depth::Bytes, "{depth:?}");
    }
    let verification = verified(&Builder::started(512, 3).await.store).await;
    assert_eq!((verification.depth, verification.counts.keys), (Depth::Pages, 0));
    let foreign = verify(Arc::new(builder.store.with_keyring(stranger())), &Arc::default()).await;
    let error = foreign.unwrap_err();
    assert!(matches!(error, Error::Plan(PlanError::Key(KeyError::Foreign { .. }))), "{error}");
}

/// H36: without any key, every changed byte of every object is found, and so is an object that is missing between others,
/// or that was put in another's place.
#[tokio::test]
async fn h36_whoever_has_no_key_finds_every_changed_byte_and_every_gap() {
    let builder = sample().await;
    let found = |store: MemoryStore, key: Key| async move {
        for keyring in [nobody(), host()] {
            let verification = verified(&store.with_keyring(keyring)).await;
            let is_found = verification.findings.iter().any(|finding| finding.key == key);
            assert!(is_found, "{key} at {:?}: {:?}", verification.depth, verification.findings);
        }
    };
    for key in builder.objects().await {
        let body = builder.body(key).await;
        for at in (0..body.len()).step_by(body.len() / 29 + 1) {
            let mut harmed = body.clone();
            harmed[at] ^= 1 << (at % 8);
            let store = Builder::copy(&builder.store);
            replace(&store, key, Some(harmed.into())).await.unwrap();
            found(store, key).await;
        }
    }
    let gone = Key::Log(txid(20));
    let store = Builder::copy(&builder.store);
    replace(&store, gone, None).await.unwrap();
    found(store, gone).await;
    let (one, other) = (Key::Log(txid(21)), Key::Log(txid(22)));
    let store = Builder::copy(&builder.store);
    replace(&store, one, Some(builder.body(other).await.into())).await.unwrap();
    found(store, one).await;
}

/// H36: a plain object in an encrypted replica, and the reverse, whoever reads it.
#[tokio::test]
async fn h36_plain_and_encrypted_objects_in_one_replica_are_refused_by_name() {
    let encrypted = sample().await;
    let mut plain = Builder::started(512, 30).await;
    for number in 0..24_usize {
        plain.wait(1000);
        plain.commit(&[(number % 6, number as u64), (20, number as u64)], 30 + number % 2);
        plain.cut().await;
    }
    let key = Key::Log(txid(20));
    for (into, from, why) in [
        (&encrypted, &plain, "it is not encrypted, and ebbtide.json says that the replica is"),
        (&plain, &encrypted, "it is encrypted, and ebbtide.json says that the replica is not"),
    ] {
        let store = Builder::copy(&into.store);
        replace(&store, key, Some(from.body(key).await.into())).await.unwrap();
        let error = restored(&store, Target::Latest).await.unwrap_err().to_string();
        assert!(error.contains(&key.to_string()) && error.contains(why), "{error}");
        let verification = verified(&store).await;
        let finding = verification.findings.iter().find(|finding| finding.key == key).unwrap();
        assert!(finding.what.contains(why), "{finding}");
    }
}

/// A drill of a host, which cannot read what it has written.
#[tokio::test]
async fn a_drill_without_an_identity_proves_all_but_the_pages() {
    let builder = sample().await;
    let what = Drill {
        directory: None,
        check: None,
        bytes_per_second: None,
        random: 6,
        durable: None,
        now: micros(START + 1_000_000_000_000),
    };
    for (keyring, is_opened) in [(host(), false), (owner(), true)] {
        let store = Arc::new(builder.store.with_keyring(keyring));
        let drilled = drill(store, &what, &Arc::default()).await.unwrap();
        assert_eq!(drilled.newest.point.txid, builder.last().txid);
        assert_eq!(
            (drilled.newest.is_opened, drilled.kept.unwrap().is_opened),
            (is_opened, is_opened)
        );
    }
    let key = Key::Log(txid(25));
    let mut body = builder.body(key).await;
    let at = body.len() - 200;
    body[at] ^= 1;
    let store = Builder::copy(&builder.store).with_keyring(host());
    replace(&store, key, Some(body.into())).await.unwrap();
    let error = drill(Arc::new(store), &what, &Arc::default()).await.unwrap_err();
    assert!(error.to_string().contains(&key.to_string()), "{error}");
}

async fn replace(store: &MemoryStore, key: Key, body: Option<Bytes>) -> Result<(), StoreError> {
    store.delete(&key).await?;
    match body {
        Some(body) => store.put(&key, body).await,
        None => Ok(()),
    }
}
