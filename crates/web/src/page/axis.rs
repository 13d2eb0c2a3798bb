//! A stretch of time: where in it a moment lies, and which moments are named below it.

use ebbtide_replica::Timestamp;

const SECOND: i64 = 1_000_000;

/// No more moments than this are named.
const TICKS_MAX: i64 = 6;

/// So many have room in the narrowest picture.
const FEW: i64 = 3;

/// The distances of named moments, in seconds.
const STEPS: [i64; 19] = [
    1,
    5,
    15,
    30,
    60,
    300,
    900,
    1800,
    3600,
    10_800,
    21_600,
    43_200,
    86_400,
    172_800,
    604_800,
    2_592_000,
    7_776_000,
    31_536_000,
    157_680_000,
];

/// A moment that is named.
#[derive(Debug, PartialEq)]
pub(super) struct Tick {
    /// Where it lies, in percent.
    pub(super) at: f64,
    /// Its name in UTC.
    pub(super) name: String,
    /// Whether a narrow picture does without its name, so that the others do not overlap.
    pub(super) is_second: bool,
}

/// From when to when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Axis {
    /// How long it is, in microseconds; not 0.
    pub(super) fn length(&self) -> i64 {
        (self.to.as_micros().saturating_sub(self.from.as_micros())).max(1)
    }

    /// Where a time lies, in percent; below 0 or above 100 if it is not within.
    pub(super) fn percent(&self, time: Timestamp) -> f64 {
        let offset = time.as_micros().saturating_sub(self.from.as_micros());
        rough(offset) / rough(self.length()) * 100.0
    }

    /// The same of what is within.
    pub(super) fn within(&self, time: Timestamp) -> Option<f64> {
        Some(self.percent(time)).filter(|percent| (0.0..=100.0).contains(percent))
    }

    /// The moments that are named.
    pub(super) fn ticks(&self) -> Vec<Tick> {
        let seconds = self.length() / SECOND;
        let step = STEPS.into_iter().find(|step| seconds / step < TICKS_MAX);
        let step = step.unwrap_or(STEPS[STEPS.len() - 1]) * SECOND;
        let first = self.from.as_micros().div_euclid(step) + 1;
        let last = self.to.as_micros().div_euclid(step);
        let are_many = last - first >= FEW;
        let tick = |number: i64| {
            let time = Timestamp::from_micros(number.checked_mul(step)?)?;
            let is_second = are_many && number % 2 != 0;
            Some(Tick { at: self.percent(time), name: name(time, step), is_second })
        };
        let most = usize::try_from(TICKS_MAX).unwrap_or(6) + 1;
        (first..=last).take(most).filter_map(tick).collect()
    }
}

/// As much of a time as tells it from its neighbours.
fn name(time: Timestamp, step: i64) -> String {
    let text = time.to_string();
    let part = match step / SECOND {
        0..60 => text.get(11..19),
        60..86_400 => text.get(11..16),
        86_400..2_592_000 => text.get(5..10),
        _ => text.get(..7),
    };
    // At midnight the day is news.
    let is_midnight = (60..86_400).contains(&(step / SECOND)) && part == Some("00:00");
    let part = if is_midnight { text.get(5..10) } else { part };
    part.unwrap_or(&text).to_owned()
}

#[expect(clippy::cast_precision_loss, reason = "it is a place in a picture")]
fn rough(micros: i64) -> f64 {
    micros as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn few_moments_are_named_from_seconds_to_decades() {
        let to = at("2026-11-28T12:00:00Z");
        for seconds in [1, 9, 60, 600, 3600, 86_400, 604_800, 31_536_000, 630_720_000] {
            let from = Timestamp::from_micros(to.as_micros() - seconds * SECOND).unwrap();
            let ticks = Axis { from, to }.ticks();
            assert!((1..=7).contains(&ticks.len()), "{seconds}: {ticks:?}");
            assert!(ticks.iter().all(|it| (0.0..=100.0).contains(&it.at)), "{ticks:?}");
            let named = ticks.iter().filter(|it| !it.is_second).count();
            assert!((1..=4).contains(&named), "in a narrow picture, {seconds}: {ticks:?}");
        }
        let axis = Axis { from: at("2026-11-27T22:30:00Z"), to: at("2026-11-28T01:30:00Z") };
        let names: Vec<String> = axis.ticks().into_iter().map(|it| it.name).collect();
        assert_eq!(names, ["23:00", "11-28", "01:00"]);
        assert_eq!(axis.percent(at("2026-11-28T00:00:00Z")), 50.0);
        assert_eq!(axis.within(at("2026-11-28T02:00:00Z")), None);
        let none = Axis { from: to, to };
        assert!(none.percent(to).is_finite() && none.ticks().len() < 8);
    }
}
