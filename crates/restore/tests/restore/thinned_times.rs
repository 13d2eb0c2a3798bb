//! Times in thinned history (hazard H22): what comes is the state of that time, or a refusal with those beside it.

use ebbtide_catalog::{Nothing, PlanError, Target};
use ebbtide_replica::{Key, Timestamp};
use ebbtide_restore::Error;
use ebbtide_store::Store as _;
use ebbtide_testkit::horizons::{Says, put_horizon};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::builder::{Builder, SECOND, State, micros, restored, txid};

/// The last state at or before a time.
fn at(builder: &Builder, time: Timestamp) -> Option<&State> {
    builder.states.iter().rfind(|state| state.time <= time)
}

/// A history in which each state has a snapshot, and of the first half only those that are kept are left, with nothing
/// else.
async fn thinned(steps: &[(i64, bool)]) -> (Builder, Vec<u64>, u64) {
    let mut builder = Builder::started(512, 2).await;
    let mut kept = Vec::new();
    for (number, &(pause, keeps)) in (3..).zip(steps) {
        builder.wait(pause);
        builder.commit(&[(0, number)], 2);
        builder.snapshot().await;
        builder.cut().await;
        if keeps {
            kept.push(number);
        }
    }
    // The last state that is kept is what the window begins from.
    let base = kept.last().copied().unwrap_or(2).min(builder.states.len() as u64 - 1);
    let states = kept.iter().copied().filter(|&number| number < base).chain([base]);
    let kept: Vec<u64> = states.collect();
    let path = |number: u64| (number, vec![Key::Snapshot(txid(number))]);
    let says = Says {
        number: 1,
        window: base + 1,
        states: kept.iter().map(|&number| path(number)).collect(),
        condemned: Vec::new(),
        held: Vec::new(),
    };
    put_horizon(&builder, 0, says).await;
    for number in 2..=base {
        // The claim's segment stays.
        builder.store.delete(&Key::Log(txid(number))).await.unwrap();
        if !kept.contains(&number) {
            builder.store.delete(&Key::Snapshot(txid(number))).await.unwrap();
        }
    }
    (builder, kept, base)
}

async fn check(builder: &Builder, kept: &[u64], base: u64, time: Timestamp) {
    let result = restored(&builder.store, Target::Time(time)).await;
    let expected = at(builder, time);
    let is_kept = |state: &&State| {
        let number = state.txid.get();
        number > base || kept.contains(&number)
    };
    match (result, expected.filter(is_kept)) {
        (Ok((image, report)), Some(state)) => {
            assert!(image == state.image(), "{time} gives txid {}", state.txid);
            assert_eq!(report.outline.point.state.txid(), state.txid, "{time}");
        }
        (Err(Error::Plan(PlanError::Nothing(Nothing::At { wanted, nearest }))), None) => {
            assert_eq!(wanted, time);
            let before = kept.iter().rfind(|&&number| builder.state(number).time <= time);
            let after = kept.iter().find(|&&number| builder.state(number).time > time);
            assert_eq!(nearest.before.map(|point| point.txid.get()).as_ref(), before, "{time}");
            assert_eq!(nearest.after.map(|point| point.txid.get()).as_ref(), after, "{time}");
        }
        (Err(Error::Plan(PlanError::Nothing(Nothing::Before { first }))), None) => {
            assert_eq!(first.map(|point| point.txid.get()).as_ref(), kept.first(), "{time}");
            assert!(time < builder.state(kept[0]).time, "{time}");
        }
        (result, expected) => panic!("{time}: {expected:?}, and {:?}", result.map(|_| ())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn h22_a_time_of_thinned_history_gives_its_state_or_both_neighbours(
        steps in vec((prop_oneof![Just(0), Just(1), Just(2), 1..3 * SECOND], any::<bool>()), 2..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (builder, kept, base) = thinned(&steps).await;
            let boundaries: Vec<i64> =
                builder.states.iter().map(|state| state.time.as_micros()).collect();
            for boundary in boundaries {
                for time in [boundary - 1, boundary, boundary + 1] {
                    check(&builder, &kept, base, micros(time)).await;
                }
            }
        });
    }
}

#[tokio::test]
async fn h22_an_entry_that_is_not_kept_is_refused_with_both_neighbours() {
    let steps = [false, true, false, false, true, false].map(|keeps| (SECOND, keeps));
    let (builder, kept, base) = thinned(&steps).await;
    assert_eq!((&kept[..], base), (&[4, 7][..], 7));
    for (number, before, after) in
        [(3, None, Some(4)), (5, Some(4), Some(7)), (6, Some(4), Some(7))]
    {
        let result = restored(&builder.store, Target::Txid(txid(number))).await;
        let Err(Error::Plan(PlanError::Nothing(Nothing::Kept { wanted, nearest }))) = result else {
            panic!("{number}")
        };
        assert_eq!(wanted, txid(number));
        let found = (nearest.before, nearest.after);
        let found = (found.0.map(|it| it.txid.get()), found.1.map(|it| it.txid.get()));
        assert_eq!(found, (before, after), "{number}");
    }
}
