//! A replica whose history before a window is thinned: a horizon says what is kept of it.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::container::Index;
use ebbtide_replica::{
    Condemned, Digest, EntryState, Horizon, HorizonContents, HorizonObject, HorizonState, Key,
    Point, Written,
};
use ebbtide_restore::{Severity, Thinned, Verification, verify};
use ebbtide_store::{MemoryStore, Store as _};

use crate::builder::{Builder, copy, micros, restored, txid};

const WINDOW: u64 = 14;

async fn verified(store: &MemoryStore) -> Verification {
    verify(Arc::new(store.clone()), &Arc::new(Progress::default())).await.unwrap()
}

fn log(number: u64) -> Key {
    Key::Log(txid(number))
}

const PACK: fn() -> Key = || Key::Pack { first: txid(9), last: txid(13) };

/// Entries 1 to 20, with snapshots of 2, 8 and 15, and a pack of 9 to 13. The states 8 and 13 are kept, and all from 14 on.
async fn thinned() -> (Builder, Horizon) {
    let mut builder = Builder::started(512, 3).await;
    for number in 0..18_usize {
        builder.wait(1_000_000);
        builder.commit(&[(number % 3, number as u64)], 3 + number % 3);
        builder.cut().await;
        if matches!(builder.states.len(), 8 | 15) {
            builder.snapshot().await;
        }
    }
    builder.pack(9, 13).await;
    for number in 9..=13 {
        builder.store.delete(&log(number)).await.unwrap();
    }
    let snapshot = Key::Snapshot(txid(8));
    let mut objects = Vec::new();
    for key in [snapshot, PACK()] {
        let body = builder.body(key).await;
        let root = root_of(&body);
        objects.push(HorizonObject::new(key, body.len() as u64, &root));
    }
    let mut condemned = Vec::new();
    for key in (2..=8).map(log).chain([Key::Snapshot(txid(2))]) {
        condemned.push(Condemned {
            name: key,
            size: builder.body(key).await.len() as u64,
            since: 1,
        });
    }
    let state = |number: u64, path: &[u32]| {
        let (state, next) = (builder.state(number), builder.state(number + 1));
        let entry = EntryState {
            point: Point { txid: state.txid, time: state.time },
            chain: state.chain,
            digest: state.digest,
            database_pages: u32::try_from(state.pages.len()).unwrap(),
        };
        HorizonState::new(&entry, next.time, vec!["daily".to_owned()], path.to_vec())
    };
    let head = builder.last();
    let horizon = Horizon {
        replica: builder.manifest.replica,
        page_size: builder.manifest.page_size,
        number: 1,
        window: txid(WINDOW),
        before: builder.state(WINDOW - 1).chain,
        head: head.txid,
        chain: head.chain,
        digest: head.digest,
        contents: HorizonContents {
            number: 1,
            previous: None,
            written: Written { time: head.time, by: "a test".to_owned() },
            keep: Some("every-commit=1h".to_owned()),
            freed: Some(txid(8)),
            states: vec![state(8, &[0]), state(13, &[0, 1])],
            objects,
            condemned,
            held: Vec::new(),
        },
    };
    put(&builder.store, &horizon).await;
    (builder, horizon)
}

/// The root in the footer of an object.
fn root_of(body: &[u8]) -> [u8; 32] {
    match Index::parse(body.len() as u64, body, body).unwrap() {
        ebbtide_replica::container::Parsed::Ready(index) => index.footer().root,
        ebbtide_replica::container::Parsed::NeedTail(_) => panic!("all of it is there"),
    }
}

async fn put(store: &MemoryStore, horizon: &Horizon) {
    store.put(&horizon.key(), horizon.encode().unwrap().into()).await.unwrap();
}

/// The same replica with another horizon.
async fn with_horizon(builder: &Builder, horizon: &Horizon) -> MemoryStore {
    let store = copy(&builder.store).await;
    put(&store, horizon).await;
    store
}

async fn delete_condemned(store: &MemoryStore, horizon: &Horizon) {
    for condemned in &horizon.contents.condemned {
        store.delete(&condemned.name).await.unwrap();
    }
}

#[track_caller]
fn assert_finds(verification: &Verification, key: Key, what: &str) {
    let found = verification.findings.iter().any(|finding| {
        (finding.key, finding.severity) == (key, Severity::Damage) && finding.what.contains(what)
    });
    assert!(found, "{key} {what}: {:?}", verification.findings);
}

#[tokio::test]
async fn a_thinned_history_is_sound_with_what_is_condemned_and_without() {
    let (builder, horizon) = thinned().await;
    let thinned = |proved, condemned| Thinned {
        horizon: 1,
        window: txid(WINDOW),
        states: 2,
        proved,
        condemned,
    };
    let verification = verified(&builder.store).await;
    assert_eq!(verification.findings, []);
    assert_eq!(verification.thinned, Some(thinned(2, 8)));
    assert_eq!(verification.counts.entries, 20 - (WINDOW - 1));
    assert_eq!(verification.counts.digests, 20 - (WINDOW - 1));
    // Damage to what is condemned is none.
    builder.replace(log(3), vec![7; 400]).await;
    assert_eq!(verified(&builder.store).await.findings, []);
    delete_condemned(&builder.store, &horizon).await;
    let verification = verified(&builder.store).await;
    assert_eq!(verification.findings, []);
    assert_eq!(verification.thinned, Some(thinned(2, 0)));
    for number in [8, 13, 14, 20] {
        let (image, _) = restored(&builder.store, Target::Txid(txid(number))).await.unwrap();
        assert!(image == builder.state(number).image());
    }
}

/// Every byte of what is kept, of the horizon and of a mark.
#[tokio::test]
async fn s15_every_byte_of_a_thinned_replica_is_vouched_for() {
    let (builder, horizon) = thinned().await;
    delete_condemned(&builder.store, &horizon).await;
    let mark = builder.mark_of(8, None);
    builder.store.put(&mark.key(), mark.encode().unwrap().into()).await.unwrap();
    let full = || async {
        let store = copy(&builder.store).await;
        for key in [mark.key(), horizon.key()] {
            store.put(&key, builder.body(key).await.into()).await.unwrap();
        }
        store
    };
    assert_eq!(verified(&full().await).await.findings, []);
    let keys =
        [horizon.key(), mark.key(), Key::Snapshot(txid(8)), PACK(), log(1), log(14), Key::Manifest];
    for key in keys {
        let body = builder.body(key).await;
        for at in 0..body.len() {
            let store = full().await;
            let mut harmed = body.clone();
            harmed[at] ^= 1 << (at % 8);
            store.delete(&key).await.unwrap();
            store.put(&key, harmed.into()).await.unwrap();
            // A manifest may be refused.
            let verified = verify(Arc::new(store), &Arc::new(Progress::default())).await;
            match verified {
                // Of another replica's manifest every object says so.
                Ok(verification) if key == Key::Manifest => {
                    assert!(!verification.is_sound(), "{key} at {at}");
                    let named = verification.findings.iter().map(ToString::to_string);
                    assert!(named.into_iter().any(|finding| finding.contains("ebbtide.json")));
                }
                Ok(verification) => assert_finds(&verification, key, ""),
                Err(error) => {
                    let is_named = error.to_string().contains(&key.to_string());
                    assert!(key == Key::Manifest || is_named, "{key} at {at}: {error}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_a_horizon_keeps_and_the_window_needs_is_missed() {
    let (builder, horizon) = thinned().await;
    delete_condemned(&builder.store, &horizon).await;
    for (key, what) in [
        (Key::Snapshot(txid(8)), "it is missing"),
        (PACK(), "it is missing: horizon 1 keeps it"),
        (log(14), "no horizon says that they were to be deleted"),
        (log(17), "it is missing: entries 0000000000000011 to 0000000000000011 are in no object"),
    ] {
        let store = with_horizon(&builder, &horizon).await;
        store.delete(&key).await.unwrap();
        assert_finds(&verified(&store).await, key, what);
    }
    // Without the horizon, the beginning is stolen and not thinned.
    let stolen = verified(&copy(&builder.store).await).await;
    assert_finds(&stolen, log(2), "entries 0000000000000002 to 0000000000000008 are in no object");
    // Entry 1 alone proves nothing but the manifest.
    let store = with_horizon(&builder, &horizon).await;
    store.delete(&log(1)).await.unwrap();
    let verification = verified(&store).await;
    let [finding] = &verification.findings[..] else { panic!("{:?}", verification.findings) };
    assert_eq!((finding.key, finding.severity), (Key::Manifest, Severity::Note));
}

/// A horizon is believed in nothing that can be computed.
#[tokio::test]
async fn a_horizon_that_is_wrong_about_states_objects_or_the_end_is_found() {
    let (builder, horizon) = thinned().await;
    type Change = fn(&mut Horizon, &Builder);
    let changes: [(Key, &str, Change); 6] = [
        (PACK(), "", |horizon, _| {
            horizon.contents.states[1].digest = Digest::from_bytes([7; 16]).to_string()
        }),
        (Key::Snapshot(txid(8)), "is not the one that horizon 1 keeps", |horizon, _| {
            horizon.contents.objects[0].root = horizon.contents.objects[1].root.clone();
        }),
        (Key::Horizon(1), "another state after entry 0000000000000014", |horizon, _| {
            horizon.digest = Digest::from_bytes([7; 16]);
        }),
        (Key::Horizon(1), "contradicts itself", |horizon, builder| {
            horizon.before = builder.state(12).chain;
        }),
        (Key::Horizon(1), "from which its window begins", |horizon, _| {
            horizon.contents.states.pop();
        }),
        (Key::Horizon(1), "another state after entry 0000000000000013", |horizon, _| {
            horizon.head = txid(19)
        }),
    ];
    for (key, what, change) in changes {
        let mut wrong = horizon.clone();
        change(&mut wrong, &builder);
        assert_finds(&verified(&with_horizon(&builder, &wrong).await).await, key, what);
    }
    // Times are for people.
    let mut later = horizon.clone();
    later.contents.written.time = micros(0);
    assert_eq!(verified(&with_horizon(&builder, &later).await).await.findings, []);
}
