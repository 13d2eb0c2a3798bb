//! The state at a time is the one after the last entry at or before it.

use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{
    CLOCKS_APART_MICROS_MAX, Nearest, Nothing, Notice, PlanError, Progress, Target,
};
use ebbtide_replica::{EntryKind, Key, KeyPrefix, Point};
use ebbtide_restore::{Error, Options, restore};
use ebbtide_store::Store as _;
use ebbtide_testkit::faulty::{Call, Faulty, Outcome};
use proptest::prelude::*;

use crate::builder::{
    Builder, Carry, Form, SECOND, START, micros, options, restore_with, restored, txid,
};
use crate::exact::{build, steps};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Around every boundary, with many entries of one time. Catches a search that stops at the first of them, or at the
    /// end of the wrong object.
    #[test]
    fn every_time_chooses_the_last_entry_at_or_before_it(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let builder = build(Form::Plain, 512, &steps).await;
            let mut times: Vec<i64> = builder.states.iter().map(|state| state.time.as_micros()).collect();
            times.dedup();
            for time in times.into_iter().flat_map(|time| [time - 1, time, time + 1]) {
                let expected = builder.states.iter().rev().find(|state| state.time.as_micros() <= time);
                let result = restored(&builder.store, Target::Time(micros(time))).await;
                match expected.filter(|state| state.txid > txid(1)) {
                    None => assert!(matches!(result, Err(Error::Plan(PlanError::Nothing(Nothing::Before { .. }))))),
                    Some(state) => {
                        let (image, report) = result.unwrap();
                        assert_eq!(report.outline.point.state.txid(), state.txid, "at {time}");
                        assert!(image == state.image());
                    }
                }
            }
        });
    }
}

#[tokio::test]
async fn a_time_before_everything_names_the_first_state() {
    let builder = Builder::started(512, 2).await;
    let error = restored(&builder.store, Target::Time(micros(START - 1))).await.unwrap_err();
    let Error::Plan(PlanError::Nothing(Nothing::Before {
        first: Some(Point { txid: first, time }),
    })) = &error
    else {
        panic!("{error}")
    };
    assert_eq!((*first, *time), (txid(2), micros(START)));
    assert!(error.to_string().contains("0000000000000002"), "{error}");
}

#[tokio::test]
async fn the_future_is_the_newest_state_and_says_so() {
    let mut builder = Builder::started(512, 2).await;
    builder.wait(SECOND);
    builder.commit(&[(0, 5)], 2);
    builder.cut().await;
    let directory = tempfile::tempdir().unwrap();
    let wanted = micros(START + 10 * SECOND);
    for (now, notices) in [
        (START + 9 * SECOND, vec![Notice::Future { wanted, newest: micros(START + SECOND) }]),
        (START + 11 * SECOND, vec![]),
    ] {
        let output = directory.path().join(now.to_string());
        let options = Options { now: micros(now), ..options(Target::Time(wanted), &output) };
        let report = restore_with(&builder.store, &options).await.unwrap();
        assert_eq!(report.outline.point.state.txid(), txid(3));
        assert_eq!(report.outline.notices, notices);
    }
}

/// Nobody knows what the database was while nothing followed it: the state before is given, and the gap is named.
#[tokio::test]
async fn a_time_in_a_gap_names_the_gap() {
    let mut builder = Builder::started(512, 2).await;
    builder.wait(10 * SECOND);
    builder.commit(&[(0, 5)], 2);
    builder.cut().await;
    builder.wait(90 * SECOND);
    builder.claim();
    builder.cut().await;
    builder.wait(SECOND);
    let since = micros(START + 20 * SECOND);
    let pages = vec![builder.page_of(90), builder.page_of(91)];
    let detail = format!("{{\"since\":\"{since}\",\"why\":\"away\"}}");
    builder.enter(EntryKind::Resync, pages, Carry::Changes, detail.as_bytes());
    builder.cut().await;
    let until = micros(START + 101 * SECOND);
    let gap = |wanted, before| Notice::Gap { wanted, since, before, after: txid(5), until };
    for (second, before, in_gap) in [
        (10, 3, false),
        (19, 3, false),
        (20, 3, true),
        (99, 3, true),
        (100, 4, true),
        (101, 5, false),
    ] {
        let wanted = micros(START + second * SECOND);
        let (_, report) = restored(&builder.store, Target::Time(wanted)).await.unwrap();
        assert_eq!(report.outline.point.state.txid(), txid(before), "after {second} s");
        let expected: Vec<Notice> = in_gap.then(|| gap(wanted, txid(before))).into_iter().collect();
        assert_eq!(report.outline.notices, expected, "after {second} s");
    }
}

/// The log lost its beginning, and some snapshots stayed.
#[tokio::test]
async fn where_only_snapshots_are_left_a_time_between_them_is_refused_with_both() {
    let mut builder = Builder::started(512, 2).await;
    for number in 0..10 {
        builder.wait(10 * SECOND);
        builder.commit(&[(0, number)], 2);
        if number % 3 == 0 {
            builder.snapshot().await;
        }
        builder.cut().await;
    }
    // Snapshots are 2, 3, 6, 9, 12; the log is there from 8 on, which is before the first snapshot in it.
    for gone in 1..8 {
        builder.store.delete(&Key::Log(txid(gone))).await.unwrap();
    }
    builder.store.delete(&Key::Snapshot(txid(2))).await.unwrap();
    let at = |number: u64, later: i64| micros(builder.state(number).time.as_micros() + later);
    for (time, expected) in [(at(9, 0), 9), (at(11, 3), 11)] {
        let (image, report) = restored(&builder.store, Target::Time(time)).await.unwrap();
        assert_eq!(report.outline.point.state.txid(), txid(expected), "at {time}");
        assert!(image == builder.state(expected).image());
    }
    // The time of a snapshot itself is no exception: the entry after it may have the same.
    for (time, before, after) in [
        (at(3, 0), 3, 6),
        (at(5, 1), 3, 6),
        (at(6, -1), 3, 6),
        (at(6, 5), 6, 9),
        (at(8, 0), 6, 9),
        (at(9, -1), 6, 9),
    ] {
        let nearest = around_damage(&builder, Target::Time(time)).await;
        assert_eq!(nearest.before.map(|point| point.txid), Some(txid(before)), "at {time}");
        assert_eq!(nearest.after.map(|point| point.txid), Some(txid(after)), "at {time}");
    }
    let nearest = around_damage(&builder, Target::Time(at(3, -1))).await;
    assert_eq!(nearest.before, None);
    assert_eq!(nearest.after.map(|point| point.txid), Some(txid(3)));
    let nearest = around_damage(&builder, Target::Txid(txid(8))).await;
    assert_eq!(nearest.before.map(|point| point.txid), Some(txid(6)));
    assert_eq!(nearest.after.map(|point| point.txid), Some(txid(9)));
}

/// The states nearest to one that cannot be had, because the log does not begin where it should.
async fn around_damage(builder: &Builder, target: Target) -> Nearest {
    let error = restored(&builder.store, target).await.unwrap_err();
    let Error::Plan(PlanError::Damaged { culprits, nearest, .. }) = error else {
        panic!("{error}")
    };
    assert_eq!(culprits.len(), 1, "{culprits:?}");
    assert_eq!(culprits[0].key, Key::Log(txid(1)));
    assert!(culprits[0].why.starts_with("it is missing: entries "), "{culprits:?}");
    nearest
}

/// A clock was a year ahead once, and was put right. Whatever was committed since has that later time, and a time of today
/// chooses a state from before, which has to be said.
#[tokio::test]
async fn o08_commits_that_are_dated_after_now_are_named() {
    let mut builder = Builder::started(512, 2).await;
    for number in 0..3 {
        builder.wait(SECOND);
        builder.commit(&[(0, number)], 2);
        builder.cut().await;
    }
    let now = micros(builder.micros + SECOND);
    builder.wait(365 * 86400 * SECOND);
    for number in 3..6 {
        builder.commit(&[(0, number)], 2);
        builder.cut().await;
    }
    let (first, newest, until) = (txid(6), txid(8), micros(builder.micros));
    let directory = tempfile::tempdir().unwrap();
    let mut output = 0;
    let mut check = async |target, expected, is_without: Option<bool>| {
        output += 1;
        let output = directory.path().join(output.to_string());
        let options = Options { now, ..options(target, &output) };
        let report = restore_with(&builder.store, &options).await.unwrap();
        assert_eq!(report.outline.point.state.txid(), txid(expected), "{target:?}");
        let notice = |is_without| Notice::Ahead { first, newest, until, is_without };
        let expected: Vec<Notice> = is_without.map(notice).into_iter().collect();
        let mut notices = report.outline.notices;
        notices.retain(|notice| !matches!(notice, Notice::Future { .. }));
        assert_eq!(notices, expected, "{target:?}");
        assert!(report.bytes_fetched >= 512, "{}", report.bytes_fetched);
    };
    check(Target::Time(now), 5, Some(true)).await;
    check(Target::Time(micros(now.as_micros() - 2 * SECOND)), 4, Some(true)).await;
    check(Target::Latest, 8, Some(false)).await;
    check(Target::Txid(txid(7)), 7, Some(false)).await;
    check(Target::Txid(txid(4)), 4, Some(false)).await;
    check(Target::Time(until), 8, Some(false)).await;
}

/// Clocks of two hosts differ a little.
#[tokio::test]
async fn o08_a_clock_that_is_a_little_ahead_is_no_fault() {
    let mut builder = Builder::started(512, 2).await;
    builder.wait(SECOND);
    builder.commit(&[(0, 5)], 2);
    builder.cut().await;
    let directory = tempfile::tempdir().unwrap();
    let now = micros(builder.micros - CLOCKS_APART_MICROS_MAX);
    let options = Options { now, ..options(Target::Latest, &directory.path().join("out")) };
    let report = restore_with(&builder.store, &options).await.unwrap();
    assert_eq!((report.outline.point.state.txid(), report.outline.notices), (txid(3), vec![]));
}

/// What is committed while a slow store is looked at is dated after the beginning, and no clock is wrong.
#[tokio::test]
async fn o08_what_came_while_it_was_looked_is_no_clock_that_is_ahead() {
    let mut builder = Builder::started(512, 2).await;
    builder.wait(10 * SECOND);
    builder.commit(&[(0, 5)], 2);
    builder.cut().await;
    let directory = tempfile::tempdir().unwrap();
    let now = micros(builder.micros - CLOCKS_APART_MICROS_MAX - SECOND);
    for (delay, notices) in [(0, 1), (1500, 0)] {
        let faulty = Faulty::new(Arc::new(builder.store.clone()));
        faulty.script(move |call| match call {
            Call::List(KeyPrefix::Pack) => Some(Outcome::Delay(Duration::from_millis(delay))),
            _ => None,
        });
        let output = directory.path().join(delay.to_string());
        let options = Options { now, ..options(Target::Latest, &output) };
        let progress = Arc::new(Progress::default());
        let report = restore(Arc::new(faulty), &options, &progress).await.unwrap();
        assert_eq!(report.outline.notices.len(), notices, "{:?}", report.outline.notices);
    }
}
