//! What a policy keeps, compared with an oracle that knows nothing of buckets: it counts seconds.

use ebbtide_replica::{Timestamp, Txid};
use ebbtide_retention::{
    Candidate, Keep, Kind, Logged, Marked, Period, Present, Selection, Why, select,
};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000;
/// 2026-01-01T00:00:00Z, a Thursday.
const NEW_YEAR: i64 = 1_767_225_600_000_000;

fn time(hours: i64) -> Timestamp {
    Timestamp::from_micros(NEW_YEAR + hours * HOUR).unwrap()
}

fn txid(number: u64) -> Txid {
    Txid::new(number).unwrap()
}

/// A replica in which each state is a candidate and an object of the log, given by the hours of its time and of its
/// object, and whether it is a snapshot.
#[derive(Debug, Clone)]
struct Replica {
    candidates: Vec<Candidate>,
    log: Vec<Logged>,
    marks: Vec<Marked>,
}

impl Replica {
    fn new(states: &[(i64, i64, bool)], marks: &[(u64, i64, Period)]) -> Replica {
        let candidate = |(number, &(own, stored, is_snapshot)): (u64, &(i64, i64, bool))| {
            let (txid, time, stored) = (txid(number), time(own), time(stored));
            Candidate { txid, time, is_timed: true, stored, is_snapshot }
        };
        let candidates: Vec<_> = (1..).zip(states).map(candidate).collect();
        let log = candidates.iter().map(|one| Logged { first: one.txid, stored: one.stored });
        let mark = |&(number, stored, lasts): &(u64, i64, Period)| Marked {
            txid: txid(number),
            stored: time(stored),
            lasts,
        };
        Replica { log: log.collect(), marks: marks.iter().map(mark).collect(), candidates }
    }

    fn select(&self, keep: &Keep, now: i64) -> Selection {
        let head = self.candidates.last().expect("it has an entry").txid;
        let present = Present {
            first: Txid::FIRST,
            head,
            candidates: &self.candidates,
            log: &self.log,
            marks: &self.marks,
        };
        select(keep, &present, time(now))
    }
}

/// Hours since the epoch's first Monday of our calendar, by counting days: no calendar of a library is asked.
fn bucket(kind: Kind, hour: i64) -> i64 {
    let day = hour.div_euclid(24);
    // NEW_YEAR is a Thursday; the years here have 365 days until 2028-01-01.
    let month = || {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (year, mut left) = (day.div_euclid(365), day.rem_euclid(365));
        let mut month = 0;
        while left >= lengths[month] {
            left -= lengths[month];
            month += 1;
        }
        year * 12 + i64::try_from(month).unwrap()
    };
    match kind {
        Kind::EveryCommit => unreachable!("it has no buckets"),
        Kind::Hourly => hour,
        Kind::Daily => day,
        Kind::Weekly => (day + 3).div_euclid(7),
        Kind::Monthly => month(),
        Kind::Yearly => day.div_euclid(365),
    }
}

/// Whether the state at `at` is to be kept, by the words of the documentation alone.
fn is_wanted(replica: &Replica, keep: &Keep, at: usize, now: i64) -> bool {
    let hours = |time: Timestamp| (time.as_micros() - NEW_YEAR) / HOUR;
    let is_within = |period: Period, since: Timestamp| match period {
        Period::Forever => true,
        Period::Hours(most) => now - hours(since) < i64::from(most),
    };
    let state = replica.candidates[at];
    let of = |kind: Kind, one: &Candidate| bucket(kind, hours(one.time.min(one.stored)));
    let by_kind = keep.periods().any(|(kind, period)| match kind {
        Kind::EveryCommit => {
            replica.candidates[..=at].iter().any(|one| is_within(period, one.stored))
        }
        _ => {
            is_within(period, state.stored)
                && replica.candidates[at + 1..]
                    .iter()
                    .all(|later| of(kind, later) != of(kind, &state))
        }
    });
    let later = replica.candidates[at + 1..].iter().filter(|one| one.is_snapshot).count();
    let is_last = state.is_snapshot && later < keep.last() as usize;
    let is_marked = replica
        .marks
        .iter()
        .any(|mark| mark.txid == state.txid && is_within(mark.lasts, mark.stored));
    by_kind || is_last || is_marked || at + 1 == replica.candidates.len()
}

fn is_kept(selection: &Selection, txid: Txid) -> bool {
    txid >= selection.window || selection.states.contains_key(&txid)
}

fn keeps() -> impl Strategy<Value = Keep> {
    let period = prop_oneof![
        Just(None),
        (1..1500u32).prop_map(|hours| Some(Period::Hours(hours))),
        Just(Some(Period::Forever)),
    ];
    (prop::collection::vec(period, 6), 0..4u32).prop_filter_map("refused", |(periods, last)| {
        let mut given: Vec<Period> = periods.iter().flatten().copied().collect();
        given.sort_unstable();
        let mut given = given.into_iter();
        let mut words = Vec::new();
        for (kind, period) in Kind::ALL.into_iter().zip(&periods) {
            if period.is_some() {
                words.push(format!("{}={}", kind.word(), given.next()?));
            }
        }
        if last > 0 {
            words.push(format!("last={last}"));
        }
        words.join(",").parse().ok()
    })
}

fn replicas() -> impl Strategy<Value = Replica> {
    // Clocks that jump, and objects that come later than their entries.
    let state = (0..40i64, -300..300i64, 0..30i64, prop::bool::weighted(0.3));
    let mark = (1..30u64, 0..1500i64, prop_oneof![Just(Period::Forever), Just(Period::Hours(400))]);
    let marks = prop::collection::vec(mark, 0..3);
    (prop::collection::vec(state, 1..30), marks).prop_map(|(steps, mut marks)| {
        let (mut now, mut own) = (0, 0);
        let states: Vec<(i64, i64, bool)> = steps
            .into_iter()
            .map(|(step, skew, late, is_snapshot)| {
                now += step;
                // Times of entries never go back.
                own = own.max(if skew.abs() > 250 { now + skew } else { now }).max(0);
                (own, now + late, is_snapshot)
            })
            .collect();
        marks.retain(|&(number, ..)| number <= states.len() as u64);
        Replica::new(&states, &marks)
    })
}

proptest! {
    #[test]
    fn what_the_words_say_is_kept(keep in keeps(), replica in replicas(), now in 0..3000i64) {
        let selection = replica.select(&keep, now);
        for at in 0..replica.candidates.len() {
            let state = replica.candidates[at].txid;
            let wanted = is_wanted(&replica, &keep, at, now);
            if wanted {
                prop_assert!(is_kept(&selection, state), "{state} is wanted: {selection:?}");
            }
            // Nothing else is, but for the state that the window begins from.
            let is_base = state.next() == selection.window;
            let is_first = selection.window == Txid::FIRST;
            prop_assert!(wanted || is_base || is_first || !is_kept(&selection, state), "{state}: {selection:?}");
        }
        let base = selection.window.previous();
        prop_assert!(base.is_none_or(|base| selection.states.contains_key(&base)), "{selection:?}");
    }

    /// Whoever thins today keeps what tomorrow's policy keeps, so that it makes no difference how often it is done.
    #[test]
    fn thinning_often_is_thinning_once(
        keep in keeps(), replica in replicas(), now in 0..2000i64, later in 0..2000i64,
    ) {
        let first = replica.select(&keep, now);
        let then = replica.select(&keep, now + later);
        for state in &replica.candidates {
            let is_base = state.txid.next() == then.window;
            let kept = !is_kept(&then, state.txid) || is_kept(&first, state.txid) || is_base;
            prop_assert!(kept, "{} now {first:?}, later {then:?}", state.txid);
        }
        if let Some(base) = then.window.previous() {
            prop_assert!(is_kept(&first, base), "{base} now {first:?}, later {then:?}");
        }
    }
}

#[test]
fn h10_a_host_clock_that_is_years_off_expires_nothing_and_folds_nothing() {
    let keep: Keep = "every-commit=1d,hourly=30d,last=1".parse().unwrap();
    let year = 365 * 24;
    // One state each two hours, stored at once, by a clock that is right, a year ahead, and a year behind.
    for skew in [0, year, -year] {
        let states: Vec<_> =
            (0..100).map(|number| (2 * number + skew, 2 * number, false)).collect();
        let selection = Replica::new(&states, &[]).select(&keep, 200);
        let kept = (1..=100).filter(|&number| is_kept(&selection, txid(number))).count();
        // A bucket of each object's time, as if the clock were right.
        let expected = 100;
        assert_eq!(kept, expected, "skew {skew}: {selection:?}");
    }
}

#[test]
fn h11_an_idle_database_older_than_all_periods_keeps_its_head_and_its_last_snapshots() {
    let keep: Keep = "every-commit=7d,hourly=30d,daily=60d,last=2".parse().unwrap();
    let states = [(0, 0, true), (1, 1, true), (2, 2, true), (3, 3, false)];
    let selection = Replica::new(&states, &[]).select(&keep, 2 * 365 * 24);
    let kept: Vec<u64> = selection.states.keys().map(|txid| txid.get()).collect();
    assert_eq!((kept, selection.window), (vec![2, 3, 4], txid(5)));
    assert_eq!(selection.states[&txid(4)].why, [Why::Base]);
}

#[test]
fn h12_last_counts_full_snapshots_and_never_deltas() {
    let keep: Keep = "every-commit=1h,last=3".parse().unwrap();
    let mut states = vec![(0, 0, true)];
    states.extend((1..50).map(|hour| (hour, hour, false)));
    let selection = Replica::new(&states, &[]).select(&keep, 1000);
    assert_eq!(selection.states[&txid(1)].why, [Why::Last]);
    assert_eq!(selection.states[&txid(1)].until, None);
}

#[test]
fn h13_a_mark_between_restore_points_is_kept_and_its_neighbours_go() {
    let keep: Keep = "every-commit=1d".parse().unwrap();
    let states: Vec<_> = (0..100).map(|hour| (hour, hour, false)).collect();
    let lasts = Period::Hours(500);
    let replica = Replica::new(&states, &[(40, 60, Period::Forever), (41, 60, lasts)]);
    let kept =
        |now| replica.select(&keep, now).states.into_keys().map(Txid::get).collect::<Vec<_>>();
    assert_eq!(kept(200), [40, 41, 100]);
    assert_eq!(kept(559), [40, 41, 100]);
    assert_eq!(kept(560), [40, 100]);
}

#[test]
fn h25_a_copy_whose_times_are_new_expires_nothing_early() {
    let keep: Keep = "every-commit=7d,daily=30d".parse().unwrap();
    let states: Vec<_> = (0..2000).map(|hour| (hour, 2500, false)).collect();
    let selection = Replica::new(&states, &[]).select(&keep, 2500 + 6 * 24);
    assert_eq!(selection.window, Txid::FIRST);
    // After the window: a state a day, of the days that the entries are of.
    let selection = Replica::new(&states, &[]).select(&keep, 2500 + 8 * 24);
    assert_eq!(selection.states.len(), 2000_usize.div_ceil(24));
}
