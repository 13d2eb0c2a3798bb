//! The steps of a pass, one after the other: condemned, then deleted, then forgotten; and taken back.

use ebbtide_replica::{Key, KeyPrefix};
use ebbtide_retention::{PruneError, preview, prune, undo};
use ebbtide_store::Store as _;
use ebbtide_testkit::Random;

use crate::history::{DAY, HOUR, History, pass};
use ebbtide_testkit::builder::micros;

const KEEP: &str = "every-commit=1d";

async fn four_days(seed: u64) -> History {
    let mut random = Random::new(seed);
    let mut history = History::begin(true).await;
    for _ in 0..4 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.builder.snapshot().await;
        history.commit(1).await;
    }
    history
}

#[tokio::test]
async fn what_is_condemned_stays_for_the_grace_and_is_gone_after_it() {
    let mut history = four_days(1).await;
    let keep = KEEP.parse().unwrap();
    let shown = preview(history.store(), Some(&keep), micros(history.now)).await.unwrap();
    let condemned: Vec<Key> = shown.outlook.unneeded.iter().map(|object| object.key).collect();
    assert!(condemned.iter().any(|key| matches!(key, Key::Pack { .. })), "{condemned:?}");
    assert!(condemned.iter().any(|key| matches!(key, Key::Snapshot(_))), "{condemned:?}");

    let first = history.prune(KEEP).await.unwrap();
    assert_eq!(first.horizon, Some(1));
    assert_eq!(first.condemned.objects, 0);
    history.wait(23 * HOUR);
    assert_eq!(history.prune(KEEP).await.unwrap().condemned.objects, 0, "within the grace");
    for &key in &condemned {
        assert!(history.is_there(key).await.unwrap(), "{key} within the grace");
    }
    history.wait(26 * HOUR);
    let last = history.prune(KEEP).await.unwrap();
    assert!(last.condemned.objects >= condemned.len() as u64);
    for &key in &condemned {
        assert!(!history.is_there(key).await.unwrap(), "{key} after the grace");
    }
    history.restorable().await;
}

/// Would catch a daily job, or an hourly one, that condemns for ever and never deletes: each of its horizons is younger than
/// the grace when the next run comes.
#[tokio::test]
async fn a_job_that_comes_before_the_grace_is_over_deletes_nevertheless() {
    for every in [HOUR, DAY - 60_000_000] {
        let mut history = four_days(6).await;
        let (mut deleted, mut waited) = (0, 0);
        for run in 0..5 * DAY / every {
            let pruned = history.prune(KEEP).await.unwrap();
            deleted += pruned.condemned.objects;
            waited += usize::from(pruned.waits_until.is_some());
            if run % 2 == 0 {
                history.builder.snapshot().await;
            }
            for part in 0..8 {
                history.wait(every / 8);
                history.commit(part).await;
            }
        }
        assert!(deleted > 10 && waited > 0, "{deleted} objects, waited {waited} times");
        history.restorable().await;
    }
}

#[tokio::test]
async fn of_the_horizons_the_newest_three_are_kept() {
    let mut history = four_days(2).await;
    for day in 0..6 {
        history.prune(KEEP).await.unwrap();
        history.wait(DAY + HOUR);
        history.builder.snapshot().await;
        history.commit(day).await;
    }
    let horizons = history.builder.store.list(KeyPrefix::Horizon, None).await.unwrap();
    assert_eq!(horizons.len(), 3, "{horizons:?}");
    history.restorable().await;
}

#[tokio::test]
async fn h14_what_was_condemned_is_taken_back_within_the_grace() {
    let mut history = four_days(3).await;
    let all = history.restorable().await;
    history.prune(KEEP).await.unwrap();
    let fewer = history.restorable().await;
    assert!(fewer.len() < all.len());
    history.wait(10 * HOUR);
    let undone = undo(history.store(), "a test").await.unwrap();
    assert_eq!((undone.number, undone.window.get()), (1, 1));
    assert_eq!(history.restorable().await, all);
    // It would be condemned again, and has its grace again.
    history.wait(30 * HOUR);
    let again = history.prune(KEEP).await.unwrap();
    assert_eq!(again.condemned.objects, 0);
    assert!(again.horizon.is_some());
}

#[tokio::test]
async fn h14_after_most_of_the_grace_nothing_is_taken_back() {
    let mut history = four_days(4).await;
    let error = undo(history.store(), "a test").await.unwrap_err();
    assert!(matches!(error, PruneError::NothingToUndo(_)), "{error}");
    history.prune(KEEP).await.unwrap();
    history.wait(14 * HOUR);
    let error = undo(history.store(), "a test").await.unwrap_err();
    assert!(matches!(error, PruneError::NothingToUndo(_)), "{error}");
}

#[tokio::test]
async fn segments_go_a_day_after_their_pack_came_and_claims_stay() {
    let mut history = History::begin(true).await;
    for seed in 0..50 {
        history.wait(HOUR / 6);
        match seed {
            20 | 33 => history.claim().await,
            _ => history.commit(seed).await,
        }
    }
    let pruned = history.prune("every-commit=forever").await.unwrap();
    assert_eq!(pruned.packed.objects, 0, "their packs are young");
    history.wait(DAY);
    let pruned = history.prune("every-commit=forever").await.unwrap();
    assert!(pruned.packed.objects > 30, "{}", pruned.packed.objects);
    for fence in history.fences() {
        assert!(history.is_there(fence).await.unwrap(), "{fence}");
    }
    let again = history.prune("every-commit=forever").await.unwrap();
    assert_eq!(again.packed.objects, 0);
    // The first claim comes before any state.
    assert_eq!(history.restorable().await.len(), history.builder.states.len() - 1);
}

/// Two passes at once: one puts its horizon, the other finds the name taken.
#[tokio::test]
async fn h07_of_two_passes_one_puts_its_horizon() {
    let history = four_days(5).await;
    let pass = pass(KEEP);
    let (one, other) = futures::join!(prune(history.store(), &pass), prune(history.store(), &pass));
    let put = [&one, &other]
        .into_iter()
        .filter(|pruned| pruned.as_ref().is_ok_and(|pruned| pruned.horizon.is_some()));
    assert!(put.count() >= 1, "{one:?} {other:?}");
    history.restorable().await;
}
