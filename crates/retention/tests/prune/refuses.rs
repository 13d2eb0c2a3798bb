//! When something is not as it should be, nothing is deleted.

use ebbtide_catalog::Target;
use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_retention::{Pass, PruneError, prune};
use ebbtide_store::Store as _;
use ebbtide_testkit::Random;

use crate::history::{DAY, History, pass, restored};

const KEEP: &str = "every-commit=1d,daily=20d,last=3";

/// A history that was pruned a few times.
async fn pruned(seed: u64) -> History {
    let mut random = Random::new(seed);
    let mut history = History::begin(true).await;
    for _ in 0..5 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.builder.snapshot().await;
        history.prune(KEEP).await.unwrap();
    }
    history
}

async fn named(history: &History) -> Vec<Key> {
    let manifest = &history.builder.manifest;
    let stored = ebbtide_catalog::newest_horizon(&history.builder.store, manifest).await.unwrap();
    stored.unwrap().horizon.contents.objects.iter().map(|object| object.name).collect()
}

#[tokio::test]
async fn h18_what_somebody_else_deleted_stops_the_deleting() {
    let history = pruned(1).await;
    let lost = named(&history).await[0];
    history.builder.store.delete(&lost).await.unwrap();
    let before = history.builder.objects().await;
    let error = history.prune(KEEP).await.unwrap_err();
    assert!(matches!(&error, PruneError::Missing(keys) if keys == &[lost]), "{error}");
    assert_eq!(history.builder.objects().await, before);
}

#[tokio::test]
async fn h21_a_damaged_object_that_is_needed_stops_the_deleting() {
    let mut history = pruned(2).await;
    let key = *named(&history).await.iter().find(|key| matches!(key, Key::Snapshot(_))).unwrap();
    let mut body = history.builder.body(key).await;
    let at = body.len() - 100;
    body[at] ^= 1;
    history.builder.replace(key, body).await;
    history.wait(2 * DAY);
    let before = history.builder.objects().await;
    let error = history.prune(KEEP).await.unwrap_err();
    assert!(error.to_string().contains(&key.to_string()), "{error}");
    assert_eq!(history.builder.objects().await, before);
}

#[tokio::test]
async fn h14_a_policy_that_gives_up_most_of_it_is_confirmed_first() {
    let mut random = Random::new(3);
    let mut history = History::begin(true).await;
    for _ in 0..5 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.builder.snapshot().await;
    }
    history.commit(1).await;
    history.wait(2 * DAY);
    let strict = Pass { confirm_shrink: false, ..pass("last=1") };
    let error = prune(history.store(), &strict).await.unwrap_err();
    assert!(matches!(error, PruneError::Shrinks { .. }), "{error}");
    assert!(history.builder.store.list(KeyPrefix::Horizon, None).await.unwrap().is_empty());
}

/// H12: full snapshots are counted, and nothing else.
#[tokio::test]
async fn h12_the_only_snapshot_stays() {
    let mut random = Random::new(4);
    let mut history = History::begin(true).await;
    let until = history.now + 4 * DAY;
    while history.now < until {
        history.wait(DAY / 8);
        history.commit(random.next()).await;
    }
    history.wait(3 * DAY);
    history.prune("last=3").await.unwrap();
    history.wait(2 * DAY);
    history.prune("last=3").await.unwrap();
    let listing = ebbtide_catalog::list(&history.builder.store).await.unwrap();
    assert_eq!(listing.snapshots.len(), 1);
    let (bytes, _) = restored(&history.builder.store, Target::Latest).await.unwrap();
    assert!(bytes == history.builder.last().image());
}

/// H20, first half: a pack that is damaged before its segments went keeps them.
#[tokio::test]
async fn h20_the_segments_of_a_damaged_pack_stay() {
    let mut history = History::begin(true).await;
    for seed in 0..40 {
        history.wait(DAY / 100);
        history.commit(seed).await;
    }
    let listing = ebbtide_catalog::list(&history.builder.store).await.unwrap();
    let pack = listing.packs[1].key;
    let Key::Pack { first, last } = pack else { panic!("{pack}") };
    let mut body = history.builder.body(pack).await;
    body[140] ^= 1;
    history.builder.replace(pack, body).await;
    history.wait(3 * DAY);
    history.commit(99).await;
    let pruned = history.prune("every-commit=30d").await.unwrap();
    assert!(pruned.packed.objects > 0);
    for number in first.get()..=last.get() {
        let key = Key::Log(crate::history::number(number));
        assert!(history.is_there(key).await.unwrap(), "{key} is in a damaged pack");
    }
    // The first claim comes before any state.
    assert_eq!(history.restorable().await.len(), history.builder.states.len() - 1);
}
