//! Whether a replica is silent for longer than it used to be. Nobody says how often an application commits, but the times of
//! the newest objects do, by the store's clock.

use ebbtide_catalog::Listing;
use ebbtide_replica::Timestamp;
use ebbtide_time::span;
use serde::{Deserialize, Serialize};

/// So many of the newest objects are looked at.
const OBJECTS_MAX: usize = 256;

/// Fewer objects say nothing.
const OBJECTS_MIN: usize = 8;

/// A silence is longer than usual from this many times the longest pause on…
const TIMES: i64 = 2;

/// …and never before it has been this long, in µs: puts are merged, and clocks differ.
const MICROS_MIN: i64 = 15 * 60 * 1_000_000;

/// When something came last, and how long the pauses before were.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// When the newest object was put, by the store's clock.
    pub since: Timestamp,
    /// The longest pause between the objects before it, in µs, if there are enough of them to tell.
    pub longest_pause: Option<i64>,
}

impl Silence {
    /// Of a replica's objects; nothing if there are none with a time.
    #[must_use]
    pub fn of(listing: &Listing) -> Option<Silence> {
        let mut times: Vec<Timestamp> = listing.objects().map(|object| object.modified).collect();
        times.retain(|&time| time != Timestamp::MAX);
        times.sort_unstable();
        let since = *times.last()?;
        let newest = &times[times.len().saturating_sub(OBJECTS_MAX)..];
        let pauses = newest.windows(2).map(|two| two[1].as_micros() - two[0].as_micros());
        let longest_pause = pauses.max().filter(|_| newest.len() >= OBJECTS_MIN);
        Some(Silence { since, longest_pause })
    }

    /// For how long nothing has come, in µs.
    #[must_use]
    pub fn micros(&self, now: Timestamp) -> i64 {
        now.as_micros().saturating_sub(self.since.as_micros()).max(0)
    }

    /// How many times as long as the longest pause before it is, in hundredths, if that is longer than usual.
    #[must_use]
    pub fn is_unusual(&self, now: Timestamp) -> Option<i64> {
        let (longest, micros) = (self.longest_pause?.max(1), self.micros(now));
        let is_unusual = micros > MICROS_MIN && micros > longest.saturating_mul(TIMES);
        is_unusual.then(|| micros.saturating_mul(100) / longest)
    }

    /// The same in words.
    #[must_use]
    pub fn explain(&self, now: Timestamp) -> Option<String> {
        let longest = self.longest_pause.filter(|_| self.is_unusual(now).is_some())?;
        let silent = span(self.micros(now));
        Some(format!("silent for {silent}: until now nothing took longer than {}", span(longest)))
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::{Key, Txid};
    use ebbtide_store::Object;

    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_micros(1_795_253_400_000_000 + minutes * 60_000_000).unwrap()
    }

    fn listing(minutes: &[i64]) -> Listing {
        let key = |index: usize| Key::Log(Txid::new(index as u64 + 1).unwrap());
        let object =
            |(index, &minutes)| Object { modified: at(minutes), ..Object::new(key(index), 1) };
        Listing { log: minutes.iter().enumerate().map(object).collect(), ..Listing::default() }
    }

    #[test]
    fn a_silence_is_unusual_from_twice_the_longest_pause_and_a_quarter_of_an_hour_on() {
        let hourly: Vec<i64> = (0..10).map(|hour| hour * 60).collect();
        let silence = Silence::of(&listing(&hourly)).unwrap();
        assert_eq!(silence.longest_pause, Some(3_600_000_000));
        assert_eq!(silence.is_unusual(at(9 * 60 + 120)), None);
        assert_eq!(silence.is_unusual(at(9 * 60 + 180)), Some(300));
        assert_eq!(silence.explain(at(9 * 60 + 120)), None);
        assert!(silence.explain(at(9 * 60 + 180)).unwrap().starts_with("silent for 3 h: "));
        let often: Vec<i64> = (0..10).collect();
        let silence = Silence::of(&listing(&often)).unwrap();
        assert_eq!(silence.is_unusual(at(9 + 15)), None);
        assert_eq!(silence.is_unusual(at(9 + 16)), Some(1600));
    }

    #[test]
    fn few_objects_and_clocks_that_are_behind_say_nothing() {
        assert_eq!(Silence::of(&listing(&[])), None);
        let few = Silence::of(&listing(&[0, 1, 2])).unwrap();
        assert_eq!((few.is_unusual(at(99_999)), few.micros(at(3))), (None, 60_000_000));
        assert_eq!(few.micros(at(-5)), 0);
    }
}
