//! Exact or refused: whatever happens to an object, what comes out is the state that was asked for, or an error that
//! names an object and leaves no file.

use ebbtide_catalog::{Notice, PlanError, Target};
use ebbtide_replica::{Key, Point};
use ebbtide_restore::Error;
use ebbtide_store::{MemoryStore, Store as _};
use proptest::prelude::*;

use crate::builder::{Builder, State, copy, restored, txid};

/// Two snapshots, and eight segments of which some have several entries.
async fn sample() -> Builder {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..12_usize {
        builder.wait(10);
        builder.commit(&[(number % 6, number as u64), (5, number as u64)], 6 + number % 2);
        if number == 5 {
            builder.snapshot().await;
        }
        if number % 3 != 1 {
            builder.cut().await;
        }
    }
    builder.cut().await;
    builder
}

/// Restores `state`, and checks that the outcome is one of those that are allowed. Says whether it was refused.
async fn check(store: &MemoryStore, state: &State, harmed: &[Key]) -> bool {
    check_target(store, Target::Txid(state.txid), state, harmed).await
}

async fn check_target(store: &MemoryStore, target: Target, state: &State, harmed: &[Key]) -> bool {
    match restored(store, target).await {
        Ok((image, report)) => {
            assert!(image == state.image(), "{harmed:?}: txid {} is another state", state.txid);
            assert_eq!(report.outline.point.state.txid(), state.txid);
            for notice in &report.outline.notices {
                match notice {
                    Notice::PlannedAround { key, .. } => {
                        assert!(harmed.contains(key), "{harmed:?}: {key} is blamed");
                    }
                    // What vouches for it is harmed, or comes after this state.
                    Notice::DigestOnly { .. } => {}
                    // All of the log up to it is gone.
                    Notice::Unvouched { .. } if harmed.contains(&Key::Log(txid(1))) => {}
                    notice => panic!("{notice}"),
                }
            }
            false
        }
        Err(Error::Plan(PlanError::Damaged { wanted, culprits, nearest })) => {
            let is_time = matches!(target, Target::Time(_));
            assert!(wanted == Some(state.txid) || is_time && wanted.is_none(), "{wanted:?}");
            assert!(!culprits.is_empty());
            let blamed = culprits.iter().any(|culprit| harmed.contains(&culprit.key));
            assert!(blamed, "{harmed:?}: blamed are {culprits:?}");
            for Point { txid, .. } in nearest.before.into_iter().chain(nearest.after) {
                assert!(
                    restored(store, Target::Txid(txid)).await.is_ok(),
                    "{txid} is named without need"
                );
            }
            true
        }
        Err(error) => panic!("{harmed:?}: {error}"),
    }
}

#[tokio::test]
async fn any_flipped_byte_is_found() {
    let builder = sample().await;
    let wanted = [builder.last(), builder.state(7)];
    let (mut found, mut harmless) = (0, 0);
    for key in builder.objects().await {
        let body = builder.body(key).await;
        for at in (0..body.len()).step_by(17) {
            let store = copy(&builder.store).await;
            let mut harmed = body.clone();
            harmed[at] ^= 1 << (at % 8);
            store.delete(&key).await.unwrap();
            store.put(&key, harmed.into()).await.unwrap();
            for state in wanted {
                if check(&store, state, &[key]).await { found += 1 } else { harmless += 1 }
            }
        }
    }
    assert!(found > 200 && harmless > 200, "{found} refused, {harmless} restored");
}

#[tokio::test]
async fn any_truncation_is_found() {
    let builder = sample().await;
    for key in builder.objects().await {
        let body = builder.body(key).await;
        for length in (0..body.len()).step_by(97).chain([1, 127, 128, 255, 256, body.len() - 1]) {
            let store = copy(&builder.store).await;
            store.delete(&key).await.unwrap();
            store.put(&key, body[..length].to_vec().into()).await.unwrap();
            check(&store, builder.last(), &[key]).await;
            let longer = [&body[..], &body[..length]].concat();
            store.delete(&key).await.unwrap();
            store.put(&key, longer.into()).await.unwrap();
            check(&store, builder.last(), &[key]).await;
        }
    }
}

/// The vanished object, or a neighbour of it, is named; the nearest states that are named can be had.
#[tokio::test]
async fn any_missing_object_is_found() {
    let builder = sample().await;
    let (mut found, mut harmless) = (0, 0);
    for key in builder.objects().await {
        let store = copy(&builder.store).await;
        store.delete(&key).await.unwrap();
        // Without the end of the log, the history is shorter and just as exact.
        if key
            == *builder
                .objects()
                .await
                .iter()
                .filter(|key| matches!(key, Key::Log(_)))
                .max()
                .unwrap()
        {
            let (image, report) = restored(&store, Target::Latest).await.unwrap();
            let last = report.outline.point.state.txid();
            assert!(last < builder.last().txid && image == builder.state(last.get()).image());
            continue;
        }
        for state in &builder.states[1..] {
            if check(&store, state, &[key]).await { found += 1 } else { harmless += 1 }
        }
    }
    assert!(found > 20 && harmless > 20, "{found} refused, {harmless} restored");
}

/// A rule of the bucket that deletes what is old, without a horizon that would say so: what needs it is damaged, and not
/// "no longer kept".
#[tokio::test]
async fn a_beginning_of_the_log_that_is_gone_is_damage() {
    let builder = sample().await;
    let store = copy(&builder.store).await;
    let is_log = |key: &Key| matches!(key, Key::Log(_));
    let log: Vec<Key> = builder.objects().await.into_iter().filter(is_log).collect();
    let (mut found, mut exact) = (0, 0);
    for (index, key) in log.iter().enumerate() {
        store.delete(key).await.unwrap();
        for state in &builder.states[1..] {
            // An end that is gone is an end that was never there, as far as anybody can tell.
            if log.get(index + 1).is_some_and(|next| *next <= Key::Log(state.txid)) {
                for target in [Target::Txid(state.txid), Target::Time(state.time)] {
                    let was_found = check_target(&store, target, state, &log[..=index]).await;
                    if was_found { found += 1 } else { exact += 1 }
                }
            }
        }
        let result = restored(&store, Target::Latest).await;
        let is_damaged = matches!(result, Err(Error::Plan(PlanError::Damaged { .. })));
        let is_exact = result.is_ok_and(|(image, _)| image == builder.last().image());
        assert!(is_damaged || is_exact && index + 1 < log.len(), "{key}");
    }
    assert!(found > 20 && exact > 20, "{found} refused, {exact} restored");
}

#[tokio::test]
async fn any_two_swapped_objects_are_found() {
    let builder = sample().await;
    let keys = builder.objects().await;
    for (index, &one) in keys.iter().enumerate() {
        for &other in &keys[index + 1..] {
            let store = copy(&builder.store).await;
            for (key, from) in [(one, other), (other, one)] {
                store.delete(&key).await.unwrap();
                store.put(&key, builder.body(from).await.into()).await.unwrap();
            }
            check(&store, builder.last(), &[one, other]).await;
        }
    }
}

/// A copy of a replica that went its own way has sound objects with the same names and the same identity. Those at the
/// end of what is restored are a history of their own; everywhere else, the next object contradicts them.
#[tokio::test]
async fn an_object_of_another_history_is_found() {
    let builder = sample().await;
    let mut other = Builder::started(512, 6).await;
    for number in 0..12_usize {
        other.commit(&[(number % 6, 100 + number as u64), (5, number as u64)], 6 + number % 2);
        if number == 5 {
            other.snapshot().await;
        }
        if number % 3 != 1 {
            other.cut().await;
        }
    }
    for key in builder.objects().await {
        let store = copy(&builder.store).await;
        let body = other.body(key).await;
        if body == builder.body(key).await {
            continue;
        }
        store.delete(&key).await.unwrap();
        store.put(&key, body.into()).await.unwrap();
        for state in &builder.states[2..] {
            match restored(&store, Target::Txid(state.txid)).await {
                Ok((image, _)) if image == state.image() => {}
                Ok((image, report)) => {
                    let number = state.txid.get();
                    assert!(image == other.state(number).image(), "{key}: txid {number}");
                    assert_eq!(report.outline.objects, 2, "{key}: txid {number}");
                }
                Err(Error::Plan(PlanError::Damaged { culprits, .. })) => {
                    assert!(!culprits.is_empty())
                }
                Err(error) => panic!("{key}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No bytes may cause a panic or a wrong restore, wherever they are.
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), which in 0..20usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let builder = sample().await;
            let keys = builder.objects().await;
            let key = keys[which % keys.len()];
            builder.replace(key, bytes).await;
            check(&builder.store, builder.last(), &[key]).await;
        });
    }
}

#[tokio::test]
async fn a_damaged_snapshot_is_planned_around() {
    let builder = sample().await;
    let key = Key::Snapshot(txid(8));
    let mut body = builder.body(key).await;
    body[200] ^= 1;
    builder.replace(key, body).await;
    let (image, report) = restored(&builder.store, Target::Txid(txid(9))).await.unwrap();
    assert!(image == builder.state(9).image());
    assert_eq!(report.outline.snapshot, Some(Key::Snapshot(txid(2))));
    assert!(
        matches!(report.outline.notices[..], [Notice::PlannedAround { key: around, .. }] if around == key)
    );
}

#[tokio::test]
async fn a_missing_segment_is_named_with_its_entries_and_the_nearest_states() {
    let builder = sample().await;
    // Segments begin at 3, 4, 6, 7, 9, 10, 12, 13; snapshots are of 2 and 8.
    builder.store.delete(&Key::Log(txid(4))).await.unwrap();
    let error = restored(&builder.store, Target::Txid(txid(6))).await.unwrap_err();
    let text = error.to_string();
    for part in [
        "log/0000000000000004.seg",
        "0000000000000004 to 0000000000000005",
        "0000000000000003",
        "0000000000000008",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

#[tokio::test]
async fn a_manifest_that_is_damaged_or_newer_is_refused_by_name() {
    let builder = sample().await;
    builder.replace(Key::Manifest, b"{\"format\":2}".to_vec()).await;
    let error = restored(&builder.store, Target::Latest).await.unwrap_err();
    assert!(matches!(&error, Error::Plan(PlanError::Newer { key: Key::Manifest, .. })), "{error}");
    builder.replace(Key::Manifest, b"{".to_vec()).await;
    let error = restored(&builder.store, Target::Latest).await.unwrap_err();
    assert!(matches!(&error, Error::Plan(PlanError::Damaged { .. })), "{error}");
    assert!(error.to_string().contains("ebbtide.json"), "{error}");
}
