//! What was done to a log, counted for whoever asks.

use std::time::Duration;

use ebbtide_count::{Counter, Durations};

/// The bounds by which the stops of writers are counted. None should take longer than the last but one.
const STOP_BOUNDS: [Duration; 7] = [
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(200),
];

/// Counts of one log, for as long as its database is followed, by however many followers.
#[derive(Debug)]
pub struct LogCounts {
    /// Passive checkpoints that were begun.
    pub checkpoints: Counter,
    /// Exclusive checkpoints that were run, for which writers were stopped.
    pub exclusive_checkpoints: Counter,
    /// How often the log was truncated, because nothing was written any more.
    pub truncations: Counter,
    /// For how long writers were stopped, each time.
    pub stops: Durations,
}

impl Default for LogCounts {
    fn default() -> LogCounts {
        LogCounts {
            checkpoints: Counter::default(),
            exclusive_checkpoints: Counter::default(),
            truncations: Counter::default(),
            stops: Durations::new(&STOP_BOUNDS),
        }
    }
}
