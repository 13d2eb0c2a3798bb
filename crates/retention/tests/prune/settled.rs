//! What the next horizon takes over from the newest one: a pass reads little, and nothing that a kept state needs goes,
//! whatever the newest horizon says.

use std::sync::Arc;

use ebbtide_catalog::newest_horizon;
use ebbtide_replica::{Condemned, Horizon, HorizonContents, Key};
use ebbtide_retention::{PruneError, Pruned, prune};
use ebbtide_store::Store as _;
use ebbtide_testkit::Random;
use ebbtide_testkit::builder::micros;
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};

use crate::history::{DAY, HOUR, History, number, pass};

const KEEP: &str = "every-commit=2d,hourly=6d,daily=1y";

/// A pass, and how often it asked for an object or a part of one.
async fn counted(history: &History, keep: &str) -> (Result<Pruned, PruneError>, usize) {
    let store = Faulty::new(history.store());
    let pruned = prune(Arc::new(store.clone()), &pass(keep)).await;
    let is_read = |call: &&Call| matches!(call, Call::Get(_) | Call::GetRange(..));
    (pruned, store.calls().iter().filter(is_read).count())
}

/// So many days with deltas, each with a pass.
async fn lived(seed: u64, days: usize) -> (History, Vec<(usize, usize)>) {
    let mut random = Random::new(seed);
    let mut history = History::begin(true).await;
    history.make_deltas();
    let mut passes = Vec::new();
    for _ in 0..days {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        let (pruned, reads) = counted(&history, KEEP).await;
        passes.push((pruned.unwrap().outlook.states.len(), reads));
    }
    (history, passes)
}

async fn newest(history: &History) -> (Horizon, [u8; 32]) {
    let manifest = &history.builder.manifest;
    let stored = newest_horizon(&history.builder.store, manifest).await.unwrap().unwrap();
    (stored.horizon, stored.root)
}

/// Puts the next horizon, which says what somebody wants it to say.
async fn put_next(history: &mut History, change: impl FnOnce(&mut HorizonContents)) {
    let (mut horizon, root) = newest(history).await;
    horizon.number += 1;
    horizon.contents.number = horizon.number;
    horizon.contents.previous = Some(HorizonContents::naming(&root));
    horizon.contents.condemned.clear();
    change(&mut horizon.contents);
    history.wait(HOUR);
    let body = horizon.encode().unwrap();
    history.builder.store.put(&horizon.key(), body.into()).await.unwrap();
    history.wait(HOUR);
}

/// As was planned before: each pass read the ways of all states that are kept.
#[tokio::test]
async fn what_a_pass_reads_does_not_grow_with_the_states_that_are_kept() {
    let (history, passes) = lived(11, 70).await;
    let median = |passes: &[(usize, usize)], of: fn(&(usize, usize)) -> usize| {
        let mut all: Vec<usize> = passes.iter().map(of).collect();
        all.sort_unstable();
        all[all.len() / 2]
    };
    let [early, late] = [&passes[10..30], &passes[50..]]
        .map(|passes| (median(passes, |pass| pass.0), median(passes, |pass| pass.1)));
    assert!(late.0 > early.0 + 50, "the states that are kept: {passes:?}");
    // A few have their turn.
    assert!(late.1 < early.1 + (late.0 - early.0) / 4, "{early:?}, later {late:?}: {passes:?}");
    history.assert_sound().await;
    let restorable = history.restorable().await;
    for state in newest(&history).await.0.contents.states {
        assert!(restorable.contains(&state.txid), "{} is kept", state.txid);
    }
}

/// Only a state that has its turn is read again; a horizon that finds one damaged is not put, so the next one finds it, too.
#[tokio::test]
async fn damage_that_no_listing_shows_is_found_in_its_turn_and_stops_all_passes_from_there_on() {
    let (mut history, _) = lived(12, 12).await;
    let snapshot = Key::Snapshot(number(2));
    let mut body = history.builder.body(snapshot).await;
    let at = body.len() - 100;
    body[at] ^= 1;
    let now = history.now;
    history.builder.store.set_now(micros(now - 11 * DAY));
    history.builder.replace(snapshot, body).await;
    history.builder.store.set_now(micros(now));
    let mut random = Random::new(1);
    let (mut put, mut refused) = (0, 0);
    for _ in 0..40 {
        let until = history.now + DAY;
        history.live(&mut random, until).await;
        match counted(&history, KEEP).await.0 {
            Ok(_) => {
                assert_eq!(refused, 0, "it was found before");
                put += 1;
            }
            Err(PruneError::Damaged { why, .. }) => {
                assert!(why.contains(&snapshot.to_string()), "{why}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert!(put < 32 && refused > 0, "{put} horizons were put, {refused} were not");
}

/// A horizon whose rows leave an object out does not get it condemned by who comes next.
#[tokio::test]
async fn a_row_that_does_not_lead_to_its_state_is_not_taken_over() {
    for place in 0..3 {
        let (mut history, _) = lived(20 + place, 10).await;
        let all = history.restorable().await;
        let mut omitted = None;
        put_next(&mut history, |contents| {
            let long = |state: &&mut ebbtide_replica::HorizonState| state.path.len() > 2;
            let states = contents.states.iter_mut().filter(long);
            for state in states {
                // The one after the snapshot, the last one, or the snapshot itself.
                let at = [1, state.path.len() - 1, 0][usize::try_from(place).unwrap()];
                omitted = Some((state.txid, contents.objects[state.path[at] as usize].name));
                state.path.remove(at);
            }
        })
        .await;
        let (txid, omitted) = omitted.unwrap();
        let pruned = history.prune(KEEP).await.unwrap();
        let condemned = pruned.outlook.unneeded.iter().map(|object| object.key);
        assert!(!condemned.clone().any(|key| key == omitted), "{omitted} is needed by {txid}");
        history.wait(2 * DAY);
        history.prune(KEEP).await.unwrap();
        assert!(history.is_there(omitted).await.unwrap(), "{omitted} is needed by {txid}");
        let kept = newest(&history).await.0.contents.states;
        let restorable = history.restorable().await;
        for state in kept.iter().filter(|state| all.contains(&state.txid)) {
            assert!(restorable.contains(&state.txid), "{} is kept", state.txid);
        }
    }
}

/// A horizon that condemns what its own states need, or what reaches into its window, does not get it deleted.
#[tokio::test]
async fn what_a_horizon_condemns_against_its_own_word_is_not_deleted() {
    let (mut history, _) = lived(30, 10).await;
    let mut lost = None;
    put_next(&mut history, |contents| {
        let names = |at: &u32| contents.objects[*at as usize].clone();
        let mut path = contents.states.iter().flat_map(|state| &state.path).map(names);
        let delta = path.find(|object| matches!(object.name, Key::Delta { .. })).unwrap();
        let at = contents.objects.iter().position(|object| object.name == delta.name).unwrap();
        let last = u32::try_from(contents.objects.len() - 1).unwrap();
        contents.objects.swap_remove(at);
        let at = u32::try_from(at).unwrap();
        for state in &mut contents.states {
            state.path.retain(|index| *index != at);
            state.path.iter_mut().filter(|index| **index == last).for_each(|index| *index = at);
        }
        let since = contents.number;
        contents.condemned.push(Condemned { name: delta.name, size: delta.size, since });
        lost = Some(delta.name);
    })
    .await;
    let lost = lost.unwrap();
    history.wait(2 * DAY);
    let error = history.prune(KEEP).await.unwrap_err();
    assert!(matches!(error, PruneError::Damaged { .. }), "{error}");
    assert!(history.is_there(lost).await.unwrap(), "{lost}");

    let (mut history, _) = lived(31, 10).await;
    let listing = ebbtide_catalog::list(&history.builder.store).await.unwrap();
    let window = newest(&history).await.0.window;
    let within = listing.objects().filter(|object| match object.key {
        Key::Log(first) => first >= window,
        Key::Pack { last, .. } | Key::Delta { last, .. } | Key::Snapshot(last) => last >= window,
        _ => false,
    });
    let within: Vec<_> = within.collect();
    assert!(within.len() > 10, "{within:?}");
    put_next(&mut history, |contents| {
        let since = contents.number;
        let condemned = |object: &ebbtide_store::Object| Condemned {
            name: object.key,
            size: object.size,
            since,
        };
        contents.condemned = within.iter().map(condemned).collect();
    })
    .await;
    history.wait(DAY);
    let pruned = history.prune(KEEP).await;
    // The head cannot be planned without them, but nothing of it is gone.
    assert!(pruned.is_err(), "{pruned:?}");
    let packs = listing.packs.iter().map(|object| object.key);
    for object in within {
        // A segment that is in a pack goes for that reason.
        let is_packed = |first| packs.clone().any(|pack| pack.is_pack_with(first));
        if !matches!(object.key, Key::Log(first) if is_packed(first)) {
            assert!(history.is_there(object.key).await.unwrap(), "{}", object.key);
        }
    }
}

/// Who sees an older horizon than the newest takes its word and finds the next name taken.
#[tokio::test]
async fn a_horizon_that_is_not_the_newest_any_more_decides_nothing() {
    let (mut history, _) = lived(40, 10).await;
    let mut random = Random::new(2);
    let until = history.now + DAY;
    history.live(&mut random, until).await;
    let pruned = history.prune(KEEP).await.unwrap();
    assert!(pruned.horizon.is_some());
    let before = newest(&history).await;
    let stale = Faulty::new(history.store());
    let is_horizons = |call: &Call| matches!(call, Call::List(ebbtide_replica::KeyPrefix::Horizon));
    stale.script(move |call| is_horizons(call).then_some(Outcome::Lag(1)));
    let objects = history.builder.objects().await;
    let error = prune(Arc::new(stale), &pass("last=1")).await.unwrap_err();
    assert!(matches!(error, PruneError::Overtaken), "{error}");
    assert_eq!(newest(&history).await, before);
    assert_eq!(history.builder.objects().await, objects);
}

/// A state whose way has a segment is planned again once the segment is in a pack, which then is what it needs.
#[tokio::test]
async fn a_segment_on_a_way_is_replaced_by_its_pack() {
    let mut history = History::begin(false).await;
    for seed in 0..12 {
        history.wait(2 * HOUR);
        history.commit(seed).await;
    }
    let head = history.head();
    let mark = history.mark(head.get() - 2, None).await;
    history.wait(DAY);
    history.commit(1).await;
    history.builder.snapshot().await;
    history.commit(2).await;
    history.wait(DAY);
    history.commit(3).await;
    let policy = "every-commit=1d";
    history.prune(policy).await.unwrap();
    let named = |horizon: &Horizon| {
        horizon.contents.objects.iter().map(|object| object.name).collect::<Vec<Key>>()
    };
    let segments = named(&newest(&history).await.0);
    assert!(segments.iter().any(|name| matches!(name, Key::Log(_))), "{segments:?}");
    // Somebody packs late.
    history.builder.pack(3, head.get() - 2).await;
    for day in 0..4 {
        history.wait(DAY + HOUR);
        history.commit(day).await;
        history.builder.snapshot().await;
        history.commit(day).await;
        history.prune(policy).await.unwrap();
    }
    let packs = named(&newest(&history).await.0);
    assert!(packs.iter().any(|name| matches!(name, Key::Pack { .. })), "{packs:?}");
    assert!(!history.is_there(Key::Log(number(4))).await.unwrap(), "it is in the pack");
    let restorable = history.restorable().await;
    assert!(restorable.contains(&number(head.get() - 2)), "{mark} marks it");
}
