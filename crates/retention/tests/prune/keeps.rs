//! What a policy promises can be restored after any number of passes, and everything else is exact or refused.

use std::collections::BTreeSet;

use ebbtide_replica::{Horizon, Key, KeyPrefix, Timestamp, Txid};
use ebbtide_store::Store as _;
use ebbtide_testkit::Random;

use crate::history::{DAY, History, number};
use ebbtide_testkit::builder::micros;

/// The states that were put within `period`, by the store's clock.
fn young(history: &History, period: i64) -> BTreeSet<Txid> {
    let young =
        history.stored.iter().zip(1..).filter(|(stored, _)| history.now - **stored < period);
    young.map(|(_, txid)| number(txid)).collect()
}

/// The last entry of each full day within `period` can be restored.
fn check_days(history: &History, period: i64, restorable: &BTreeSet<Txid>) {
    let day = |time: Timestamp| time.as_micros().div_euclid(DAY);
    let today = day(micros(history.now));
    let days: BTreeSet<i64> = history.builder.states.iter().map(|state| day(state.time)).collect();
    let (oldest, newest) = ((history.now - period).div_euclid(DAY) + 2, today - 1);
    for wanted in days.into_iter().filter(|day| (oldest..newest).contains(day)) {
        let of_day = history.builder.states.iter().filter(|state| day(state.time) == wanted);
        let last = of_day.map(|state| state.txid).max().unwrap();
        assert!(restorable.contains(&last), "{last}, the last of day {wanted}: {restorable:?}");
    }
}

async fn live_and_prune(seed: u64, packs: bool, keep: &str, every: i64, daily: i64) {
    live_and_prune_in(History::begin(packs).await, seed, keep, every, daily).await;
}

async fn live_and_prune_in(
    mut history: History,
    seed: u64,
    keep: &str,
    every: i64,
    daily: i64,
) -> History {
    let mut random = Random::new(seed);
    let mut marks: Vec<(Txid, Option<i64>)> = Vec::new();
    for _ in 0..14 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        if random.below(4) == 0 {
            let head = history.head();
            let lasts = (random.below(2) == 0).then_some("3d");
            history.mark(head.get(), lasts).await;
            marks.push((head, lasts.map(|_| history.now + 3 * DAY)));
        }
        history.prune(keep).await.unwrap();
        history.assert_sound().await;
    }
    let restorable = history.restorable().await;
    let promised = young(&history, every);
    assert!(promised.is_subset(&restorable), "{:?}", promised.difference(&restorable));
    check_days(&history, daily, &restorable);
    for (txid, until) in marks {
        if until.is_none_or(|until| until > history.now) {
            assert!(restorable.contains(&txid), "{txid} is marked");
        }
    }
    for state in history.builder.states.iter().step_by(3) {
        for apart in [-1, 0, 1] {
            let time = micros(state.time.as_micros() + apart);
            history.check_time(time, &restorable).await;
        }
    }
    for fence in history.fences() {
        assert!(history.is_there(fence).await.unwrap(), "{fence} is a fence");
    }
    let all = history.builder.states.len();
    assert!(restorable.len() < all, "{} of {all} states are given up", all - restorable.len());
    history
}

/// The states of hours and days are kept by deltas, and not by the history in between.
#[tokio::test]
async fn what_a_policy_promises_is_kept_by_deltas_where_there_are_some() {
    for seed in 0..3 {
        let mut history = History::begin(true).await;
        history.make_deltas();
        let keep = "every-commit=2d,hourly=4d,daily=9d";
        let history = live_and_prune_in(history, seed, keep, 2 * DAY, 9 * DAY).await;
        let listed = history.builder.store.list(KeyPrefix::Horizon, None).await.unwrap();
        let newest = listed.last().unwrap().key;
        let (horizon, _) = Horizon::parse(&history.builder.body(newest).await).unwrap();
        let named = horizon.contents.objects.iter().map(|object| object.name);
        let (deltas, others): (Vec<Key>, Vec<Key>) =
            named.partition(|name| matches!(name, Key::Delta { .. }));
        let is_log = |name: &&Key| matches!(name, Key::Log(_) | Key::Pack { .. });
        let of_the_log = others.iter().filter(is_log).count();
        assert!(deltas.len() > 10 && of_the_log < deltas.len(), "{deltas:?} and {others:?}");
    }
}

#[tokio::test]
async fn h13_what_a_policy_promises_is_kept_and_the_rest_is_exact_or_refused() {
    for seed in 0..4 {
        live_and_prune(seed, true, "every-commit=2d,daily=8d", 2 * DAY, 8 * DAY).await;
    }
}

#[tokio::test]
async fn h13_without_packs_too() {
    live_and_prune(7, false, "every-commit=3d,hourly=5d,daily=30d,last=2", 3 * DAY, 30 * DAY).await;
}

/// H11: the store's clock goes on for two years, and nothing is committed.
#[tokio::test]
async fn h11_an_idle_database_keeps_its_newest_state_for_ever() {
    let mut random = Random::new(3);
    let mut history = History::begin(true).await;
    let until = history.now + 3 * DAY;
    history.live(&mut random, until).await;
    for _ in 0..5 {
        history.wait(146 * DAY);
        history.prune("every-commit=1d,daily=30d,last=1").await.unwrap();
        history.wait(2 * DAY);
        history.prune("every-commit=1d,daily=30d,last=1").await.unwrap();
    }
    let restorable = history.restorable().await;
    assert!(restorable.contains(&history.head()));
    history.commit(9).await;
    let restorable = history.restorable().await;
    assert!(restorable.contains(&history.head()));
}

/// H10: the host's clock is years ahead, then years behind.
#[tokio::test]
async fn h10_a_clock_that_is_wrong_makes_nothing_go_early() {
    let mut random = Random::new(5);
    let mut history = History::begin(true).await;
    for jump in [400 * DAY, 0, 0] {
        // Times never decrease along a history: after the jump back they stand still.
        history.builder.wait(jump);
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.prune("every-commit=2d,daily=30d").await.unwrap();
    }
    let restorable = history.restorable().await;
    let promised = young(&history, 2 * DAY);
    assert!(promised.is_subset(&restorable), "{:?}", promised.difference(&restorable));
}

/// Would catch that hours and days are given up because a clock was ahead once: times never decrease, so all that comes
/// after it has one time until the clock has caught up.
#[tokio::test]
async fn h10_each_day_has_its_state_although_a_clock_was_a_year_ahead_once() {
    let mut random = Random::new(8);
    let mut history = History::begin(true).await;
    history.builder.wait(400 * DAY);
    history.commit(1).await;
    history.builder.stand_still();
    for _ in 0..12 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.prune("every-commit=2d,daily=30d").await.unwrap();
    }
    let restorable = history.restorable().await;
    let day = |micros: i64| micros.div_euclid(DAY);
    let of_day = |wanted: i64| {
        let all = history.stored.iter().zip(1..);
        let mut all = all.filter(move |(stored, _)| day(**stored) == wanted).map(|(_, txid)| txid);
        all.any(|txid| restorable.contains(&number(txid)))
    };
    let days: BTreeSet<i64> = history.stored.iter().map(|stored| day(*stored)).collect();
    let lost: Vec<i64> = days.into_iter().filter(|wanted| !of_day(*wanted)).collect();
    // A pack may be put on the day after, and its entries are told apart by that.
    assert!(lost.len() <= 2, "nothing of {} days is kept", lost.len());
    assert!(restorable.len() < history.builder.states.len());
}

/// Would catch states that are given up because a pack is younger than its entries, which the window had gone into.
#[tokio::test]
async fn a_pack_that_comes_late_gives_up_no_older_state() {
    let mut random = Random::new(9);
    let mut history = History::begin(false).await;
    let keep = "every-commit=1d,hourly=10d,daily=60d";
    for _ in 0..4 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        history.prune(keep).await.unwrap();
    }
    let before = history.prune(keep).await.unwrap().outlook;
    let window = before.window.get();
    history.builder.pack(window - 2, history.head().get() - 1).await;
    history.wait(DAY);
    history.prune(keep).await.unwrap();
    history.wait(DAY);
    let after = history.prune(keep).await.unwrap().outlook;
    assert!(after.window >= before.window);
    let kept: BTreeSet<Txid> = after.states.iter().map(|kept| kept.state.txid).collect();
    let promised = before.states.iter().filter(|state| {
        let lasts = state.until.is_some_and(|until| until > micros(history.now));
        lasts && state.state.txid < after.window
    });
    let lost: Vec<Txid> =
        promised.map(|state| state.state.txid).filter(|txid| !kept.contains(txid)).collect();
    assert_eq!(lost, []);
    history.restorable().await;
}
