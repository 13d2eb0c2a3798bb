//! Which seeds a test runs, and how a failing one is told.
//!
//! A test runs the same few seeds every time, so that a failure is the same for everybody. `EBBTIDE_SEEDS=5000` runs
//! more of them, `EBBTIDE_SEED=17` that one alone.

use std::num::NonZero;
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::thread;

/// Calls `run` with `count` seeds, or with those that the environment names, and prints the one that fails in a form
/// that can be pasted back.
///
/// # Panics
///
/// As soon as `run` does, or when the environment names a seed that is no number.
pub fn for_each_seed(count: u64, mut run: impl FnMut(u64)) {
    for seed in seeds(count) {
        let told = Told { seed };
        run(seed);
        drop(told);
    }
}

/// The same with so many of them at once for each CPU: for runs that mostly wait.
///
/// # Panics
///
/// As [`for_each_seed`], once those under way have ended.
pub fn for_each_seed_at_once(count: u64, per_cpu: usize, run: impl Fn(u64) + Sync) {
    for_each_at_once(seeds(count), per_cpu, |seed| {
        let told = Told { seed };
        run(seed);
        drop(told);
    });
}

/// Calls `run` with each item, with so many at once for each CPU.
///
/// # Panics
///
/// When `run` does, once those under way have ended; the others are not begun.
pub fn for_each_at_once<I: Iterator + Send>(
    items: I,
    per_cpu: usize,
    run: impl Fn(I::Item) + Sync,
) {
    let items = Mutex::new(items);
    let cpus = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..cpus * per_cpu {
            scope.spawn(|| {
                let rest = Rest(&items);
                while let Some(item) = items.lock().ok().and_then(|mut items| items.next()) {
                    run(item);
                }
                drop(rest);
            });
        }
    });
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
struct Told {
    seed: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("to run this again: EBBTIDE_SEED={}", self.seed);
        }
    }
}

/// Leaves no item for the others when it is dropped by a panic.
struct Rest<'a, I: Iterator>(&'a Mutex<I>);

impl<I: Iterator> Drop for Rest<'_, I> {
    fn drop(&mut self) {
        if thread::panicking()
            && let Ok(mut items) = self.0.lock()
        {
            items.by_ref().for_each(drop);
        }
    }
}
