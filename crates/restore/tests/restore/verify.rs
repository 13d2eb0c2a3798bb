//! A verification finds what a restore might trip over, wherever it is, and finds nothing where there is nothing.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::Key;
use ebbtide_restore::{Severity, Verification, verify};
use ebbtide_store::{MemoryStore, Store as _};
use proptest::prelude::*;

use crate::builder::{Builder, copy, restored, txid};
use crate::exact::{build, forms, steps};

async fn verified(store: &MemoryStore) -> Verification {
    verify(Arc::new(store.clone()), &Arc::new(Progress::default())).await.unwrap()
}

async fn sample() -> Builder {
    let mut builder = Builder::started(512, 6).await;
    for number in 0..12_usize {
        builder.wait(10);
        builder.commit(&[(number % 6, number as u64)], 6 + number % 2);
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_sound_replica_has_no_findings_and_every_digest_is_computed(
        steps in steps(),
        form in forms(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let builder = build(form, 512, &steps).await;
            let verification = verified(&builder.store).await;
            assert_eq!(verification.findings, []);
            assert_eq!(verification.counts.entries, builder.states.len() as u64);
            assert_eq!(verification.counts.digests, builder.states.len() as u64);
            assert_eq!(verification.first_restorable, Some(txid(2)));
            let [first, last] = verification.history.unwrap();
            assert_eq!((first.txid, last.txid), (txid(1), builder.last().txid));
        });
    }
}

#[tokio::test]
async fn any_flipped_byte_in_any_object_is_found_and_named() {
    let builder = sample().await;
    for key in builder.objects().await {
        let body = builder.body(key).await;
        for at in (0..body.len()).step_by(5) {
            let store = copy(&builder.store).await;
            let mut harmed = body.clone();
            harmed[at] ^= 1 << (at % 8);
            store.delete(&key).await.unwrap();
            store.put(&key, harmed.into()).await.unwrap();
            let verification = verified(&store).await;
            assert!(!verification.is_sound(), "{key} at {at}");
            assert!(
                verification.findings.iter().any(|finding| finding.key == key),
                "{key} at {at}"
            );
        }
    }
}

#[tokio::test]
async fn a_missing_segment_is_found_by_its_entries() {
    let builder = sample().await;
    let segments: Vec<Key> =
        builder.objects().await.into_iter().filter(|key| matches!(key, Key::Log(_))).collect();
    // Without the last one the history is shorter. Without the first, nothing states the manifest.
    for &key in &segments[..segments.len() - 1] {
        let store = copy(&builder.store).await;
        store.delete(&key).await.unwrap();
        let mut verification = verified(&store).await;
        verification.findings.retain(|finding| finding.key != Key::Manifest);
        let [finding] = &verification.findings[..] else { panic!("{:?}", verification.findings) };
        assert_eq!((finding.key, finding.severity), (key, Severity::Damage));
        assert!(finding.what.contains("missing"), "{finding}");
    }
}

#[tokio::test]
async fn a_missing_first_snapshot_is_found_and_a_later_one_serves() {
    let builder = sample().await;
    builder.store.delete(&Key::Snapshot(txid(2))).await.unwrap();
    let verification = verified(&builder.store).await;
    assert!(
        matches!(&verification.findings[..], [finding] if finding.key == Key::Snapshot(txid(2)))
    );
    assert_eq!(verification.first_restorable, Some(txid(8)));
    for state in &builder.states[7..] {
        let (image, _) = restored(&builder.store, Target::Txid(state.txid)).await.unwrap();
        assert!(image == state.image());
    }
}

/// Swapped snapshots, packs of another history, snapshots that are left over: sound each by itself.
#[tokio::test]
async fn what_the_log_does_not_lead_to_is_found() {
    let builder = sample().await;
    let mut other = Builder::started(512, 6).await;
    for number in 0..14_usize {
        other.commit(&[(number % 6, 77)], 6);
    }
    let body = other.snapshot_of(other.state(8));
    builder.replace(Key::Snapshot(txid(8)), body.to_vec()).await;
    let verification = verified(&builder.store).await;
    let [finding] = &verification.findings[..] else { panic!("{:?}", verification.findings) };
    assert_eq!((finding.key, finding.severity), (Key::Snapshot(txid(8)), Severity::Damage));
    builder.store.delete(&Key::Snapshot(txid(8))).await.unwrap();
    builder.pack(4, 9).await;
    assert!(verified(&builder.store).await.is_sound());

    let left_over = other.snapshot_of(other.state(15));
    builder.store.put(&Key::Snapshot(txid(15)), left_over).await.unwrap();
    let verification = verified(&builder.store).await;
    let [finding] = &verification.findings[..] else { panic!("{:?}", verification.findings) };
    assert_eq!((finding.key, finding.severity), (Key::Snapshot(txid(15)), Severity::Note));
    assert!(verification.is_sound());
}

#[tokio::test]
async fn packs_stand_in_for_segments_that_are_gone() {
    let mut builder = Builder::started(512, 8).await;
    for number in 0..12 {
        builder.commit(&[(number % 8, number as u64)], 8);
        builder.cut().await;
    }
    builder.pack(4, 9).await;
    for gone in 4..=9 {
        builder.store.delete(&Key::Log(txid(gone))).await.unwrap();
    }
    let verification = verified(&builder.store).await;
    assert_eq!(verification.findings, []);
    assert_eq!(verification.counts.digests, 14);
}

/// Whatever object is missing: an entry lies in one of the ranges that a verification names if and only if it restores.
/// Catches one that judges by the history, which needs no base.
#[tokio::test]
async fn o25_what_verify_says_can_be_restored_is_what_restores() {
    let builder = sample().await;
    let mut gone: Vec<Vec<Key>> =
        builder.objects().await.into_iter().map(|key| vec![key]).collect();
    gone.push(gone[1..3].concat());
    gone.push(Vec::new());
    for gone in gone {
        let store = copy(&builder.store).await;
        for key in &gone {
            store.delete(key).await.unwrap();
        }
        let verification = verified(&store).await;
        for state in &builder.states {
            let named = verification.restorable.iter();
            let named =
                named.filter(|[first, last]| (first.txid..=last.txid).contains(&state.txid));
            let restores = restored(&store, Target::Txid(state.txid)).await.is_ok();
            let ranges = &verification.restorable;
            assert_eq!(named.count() == 1, restores, "{} without {gone:?}: {ranges:?}", state.txid);
        }
    }
}
