//! Packs stand in for their segments, and nothing that is in no pack is overlooked.

use std::sync::Arc;

use ebbtide_catalog::{Notice, Progress, Target};
use ebbtide_replica::Key;
use ebbtide_restore::restore;
use ebbtide_store::Store as _;
use ebbtide_testkit::faulty::{Call, Faulty};

use crate::builder::{Builder, SECOND, options, restored, txid};

/// Forty commits, each a segment of its own, and packs with these.
async fn packed(packs: &[(u64, u64)]) -> Builder {
    let mut builder = Builder::started(512, 8).await;
    for number in 0..40 {
        builder.wait(SECOND);
        builder.commit(&[(number % 8, number as u64)], 8 + number / 8);
        builder.cut().await;
    }
    for &(first, last) in packs {
        builder.pack(first, last).await;
    }
    builder
}

async fn every_state_is_there(builder: &Builder) {
    for state in &builder.states[1..] {
        for target in [Target::Txid(state.txid), Target::Time(state.time)] {
            // The claim and the first state have one time.
            let (image, report) = restored(&builder.store, target).await.unwrap();
            assert_eq!(report.outline.point.state.txid(), state.txid, "{target:?}");
            assert!(image == state.image(), "{target:?}");
        }
    }
    let (image, _) = restored(&builder.store, Target::Latest).await.unwrap();
    assert!(image == builder.last().image());
}

#[tokio::test]
async fn every_state_is_restored_wherever_there_are_packs() {
    for packs in [
        &[(3, 20), (21, 40)][..],
        &[(21, 30), (31, 42)],
        &[(5, 9), (30, 35)],
        &[(3, 12), (10, 25), (20, 30)],
    ] {
        every_state_is_there(&packed(packs).await).await;
    }
}

#[tokio::test]
async fn every_state_is_restored_from_packs_in_either_order() {
    let builder = packed(&[(3, 12), (24, 40)]).await;
    builder.pack_in_order(13, 23).await;
    for number in 3..=40 {
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
    }
    every_state_is_there(&builder).await;
}

#[tokio::test]
async fn every_state_is_restored_when_the_segments_in_packs_are_gone() {
    let builder = packed(&[(3, 20), (21, 40)]).await;
    for number in 3..=40 {
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
    }
    every_state_is_there(&builder).await;
}

/// Catches a restore whose time grows with the number of segments that were ever written.
#[tokio::test]
async fn the_newest_state_needs_no_segment_that_is_in_a_pack() {
    let builder = packed(&[(3, 20), (21, 40)]).await;
    let store = Faulty::new(Arc::new(builder.store.clone()));
    let directory = tempfile::tempdir().unwrap();
    let options = options(Target::Latest, &directory.path().join("out.db"));
    let progress = Arc::new(Progress::default());
    restore(Arc::new(store.clone()), &options, &progress).await.unwrap();
    let touched = |call: &Call| match call {
        Call::Get(key) | Call::GetRange(key, _) => Some(*key),
        _ => None,
    };
    let touched: Vec<Key> = store.calls().iter().filter_map(touched).collect();
    let in_packs = |key: &Key| matches!(key, Key::Log(first) if *first <= txid(40));
    assert!(!touched.iter().any(in_packs), "{touched:?}");
    let lists = store.calls().iter().filter(|call| matches!(call, Call::List(_))).count();
    assert_eq!(lists, 5, "one for each kind of object that gives pages, and one for the horizon");
}

#[tokio::test]
async fn a_damaged_pack_is_planned_around() {
    let builder = packed(&[(3, 20), (21, 40)]).await;
    let key = Key::Pack { first: txid(3), last: txid(20) };
    let sound = builder.body(key).await;
    // In its pages, in its index, and gone.
    for at in [Some(200), Some(sound.len() - 300), None] {
        match at {
            Some(at) => {
                let mut body = sound.clone();
                body[at] ^= 1;
                builder.replace(key, body).await;
            }
            None => builder.store.delete(&key).await.unwrap(),
        }
        let (image, _) = restored(&builder.store, Target::Txid(txid(15))).await.unwrap();
        assert!(image == builder.state(15).image());
        let (image, report) = restored(&builder.store, Target::Latest).await.unwrap();
        assert!(image == builder.last().image());
        let unvouched = |notice: &Notice| matches!(notice, Notice::Unvouched { .. });
        assert!(!report.outline.notices.iter().any(unvouched));
    }
}
