//! Which seeds a test runs, and how a failing one is told.
//!
//! A test runs the same few seeds every time, so that a failure is the same for everybody. `EBBTIDE_SEEDS=5000` runs
//! more of them, `EBBTIDE_SEED=17` that one alone.

use std::ops::RangeInclusive;

/// Calls `run` with `count` seeds, or with those that the environment names, and prints the one that fails in a form
/// that can be pasted back.
///
/// # Panics
///
/// As soon as `run` does, or when the environment names a seed that is no number.
pub fn for_each_seed(count: u64, mut run: impl FnMut(u64)) {
    for seed in seeds(count) {
        let told = Told(seed);
        run(seed);
        drop(told);
    }
}

fn seeds(count: u64) -> RangeInclusive<u64> {
    if let Some(seed) = number("EBBTIDE_SEED") {
        return seed..=seed;
    }
    1..=number("EBBTIDE_SEEDS").unwrap_or(count)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    match text.parse() {
        Ok(number) => Some(number),
        Err(_) => panic!("{variable}={text} is not a number"),
    }
}

/// Prints its seed when it is dropped by a panic.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to run this again: EBBTIDE_SEED={}", self.0);
        }
    }
}
