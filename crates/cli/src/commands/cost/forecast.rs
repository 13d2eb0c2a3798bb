//! What will be stored once the policy has thinned for as long as it reaches, if the application goes on as it did lately.
//!
//! It is reckoned from the names, sizes and times of what is there, without reading any of it: so much history a day, as
//! long as every commit is kept, and so many deltas a day with the snapshots that they bring about, as long as any state is.

use ebbtide_catalog::Listing;
use ebbtide_replica::{Key, Timestamp, Txid};
use ebbtide_retention::{Keep, Kind, Period};
use ebbtide_store::Object;

use super::float::{as_bytes, as_float};

const HOUR: f64 = 1.0 / 24.0;

/// The rate is that of so many days, or of all that there are.
const DAYS_MEASURED_MAX: f64 = 7.0;

/// Segments are deleted a day after their pack was made.
const DAYS_OF_SEGMENTS: f64 = 1.0;

/// A snapshot is made once the deltas since are half of one, so deltas bring about twice their bytes in snapshots.
const WITH_SNAPSHOTS: f64 = 3.0;

/// What comes each day, and where that leads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    /// Over how many days the rate was measured.
    pub(super) days_measured: f64,
    /// What comes each day: history, deltas, and the snapshots that they bring about.
    pub(super) bytes_a_day: u64,
    /// What is stored in the end; nothing if it grows for ever.
    pub(super) bytes: Option<u64>,
    /// How many days it takes until then.
    pub(super) days: f64,
}

impl Forecast {
    /// That of a replica with these objects; nothing if they are younger than an hour.
    pub(super) fn of(listing: &Listing, keep: Option<&Keep>, now: Timestamp) -> Option<Forecast> {
        let age = |object: &Object| {
            let micros = now.as_micros().saturating_sub(object.modified.as_micros());
            as_float(u64::try_from(micros).unwrap_or(0)) / 86_400e6
        };
        let span = listing.objects().map(|object| age(&object)).fold(0.0, f64::max);
        if span < HOUR {
            return None;
        }
        let days_measured = span.min(DAYS_MEASURED_MAX);
        let packed = listing.packs.iter().filter_map(|object| last_of(object.key)).max();
        // The first entry is the database as it was then.
        let later = listing.log.iter().filter(|object| object.key != Key::Log(Txid::FIRST));
        let unpacked =
            later.clone().filter(|object| packed.is_none_or(|last| is_after(object, last)));
        let segments = bytes_a_day(later, span.min(DAYS_OF_SEGMENTS), age);
        let history = bytes_a_day(listing.packs.iter().chain(unpacked), days_measured, age);
        let deltas = WITH_SNAPSHOTS * bytes_a_day(listing.deltas.iter(), days_measured, age);
        let base = listing.snapshots.last().copied().or(listing.log.first().copied());
        let base = as_float(base.map_or(0, |object| object.size));
        let reach = keep.map(|keep| (days(keep.period(Kind::EveryCommit)), longest(keep)));
        let bytes = reach.and_then(|(every, all)| {
            // Where there are no deltas, packs are what older states are kept by.
            let kept = if deltas > 0.0 { every? * history + all? * deltas } else { all? * history };
            Some(as_bytes(base + segments * DAYS_OF_SEGMENTS + kept))
        });
        let bytes_a_day = as_bytes(history + deltas);
        let days = reach.and_then(|(_, all)| all).unwrap_or(f64::INFINITY);
        Some(Forecast { days_measured, bytes_a_day, bytes, days })
    }
}

/// The bytes of those that are no older than so many days, a day.
fn bytes_a_day<'a>(
    objects: impl Iterator<Item = &'a Object>,
    days: f64,
    age: impl Fn(&Object) -> f64,
) -> f64 {
    let recent = objects.filter(|object| age(object) <= days);
    as_float(recent.map(|object| object.size).sum()) / days
}

fn last_of(key: Key) -> Option<Txid> {
    match key {
        Key::Pack { last, .. } => Some(last),
        _ => None,
    }
}

fn is_after(object: &Object, last: Txid) -> bool {
    matches!(object.key, Key::Log(first) if first > last)
}

/// A period in days; nothing if it has no end.
fn days(period: Option<Period>) -> Option<f64> {
    match period {
        None => Some(0.0),
        Some(Period::Hours(hours)) => Some(f64::from(hours) * HOUR),
        Some(Period::Forever) => None,
    }
}

/// The longest of all periods in days; nothing if one has no end.
fn longest(keep: &Keep) -> Option<f64> {
    keep.periods().try_fold(0.0_f64, |longest, (_, period)| Some(longest.max(days(Some(period))?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_micros(day * DAY).unwrap()
    }

    /// Ten days of a pack of 10 MB and a delta of 2 MB each, after a snapshot of 100 MB.
    fn ten_days() -> Listing {
        let mut listing = Listing::default();
        listing.snapshots.push(Object {
            key: Key::Snapshot(txid(1)),
            size: 100_000_000,
            modified: at(0),
        });
        for day in 0..10 {
            let (first, last) = (txid(1 + 100 * day), txid(100 + 100 * day));
            let modified = at(i64::try_from(day).unwrap() + 1);
            listing.packs.push(Object {
                key: Key::Pack { first, last },
                size: 10_000_000,
                modified,
            });
            listing.deltas.push(Object {
                key: Key::Delta { first, last },
                size: 2_000_000,
                modified,
            });
        }
        listing
    }

    #[test]
    fn a_policy_comes_to_its_end_and_none_grows() {
        let now = at(10);
        let keep: Keep = "every-commit=7d,daily=1y".parse().unwrap();
        let forecast = Forecast::of(&ten_days(), Some(&keep), now).unwrap();
        assert!((forecast.days_measured - 7.0).abs() < 1e-9);
        // Seven whole days and the ends of two others are within seven days.
        let (pack, delta) = (80e6 / 7.0, 16e6 / 7.0);
        let expected = 100e6 + 7.0 * pack + 365.0 * 3.0 * delta;
        let bytes = as_float(forecast.bytes.unwrap());
        assert!((bytes - expected).abs() < 1e3, "{bytes} instead of {expected}");
        let growing = Forecast::of(&ten_days(), None, now).unwrap();
        assert_eq!(growing.bytes, None);
        assert!((as_float(growing.bytes_a_day) - (pack + 3.0 * delta)).abs() < 2.0, "{growing:?}");
        let forever: Keep = "every-commit=7d,yearly=forever".parse().unwrap();
        assert_eq!(Forecast::of(&ten_days(), Some(&forever), now).unwrap().bytes, None);
    }

    #[test]
    fn where_packs_are_cheaper_than_deltas_they_are_what_is_kept() {
        let listing = Listing { deltas: Vec::new(), ..ten_days() };
        let keep: Keep = "every-commit=7d,daily=1y".parse().unwrap();
        let bytes = Forecast::of(&listing, Some(&keep), at(10)).unwrap().bytes.unwrap();
        let expected = 100e6 + 365.0 * 80e6 / 7.0;
        assert!((as_float(bytes) - expected).abs() < 1e3, "{bytes} instead of {expected}");
    }

    #[test]
    fn what_is_younger_than_an_hour_says_nothing_of_a_year() {
        let object = Object { key: Key::Log(Txid::FIRST), size: 1000, modified: at(1) };
        let listing = Listing { log: vec![object], ..Listing::default() };
        let later = Timestamp::from_micros(DAY + 1_000_000).unwrap();
        assert_eq!(Forecast::of(&listing, None, later), None);
        // What a store gives no time of never counts as old.
        let timeless = Object { modified: Timestamp::MAX, ..object };
        let listing = Listing { log: vec![timeless], ..Listing::default() };
        assert_eq!(Forecast::of(&listing, None, at(100)), None);
    }
}
