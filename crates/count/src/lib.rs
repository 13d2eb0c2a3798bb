//! Counts that any thread adds to and any thread reads: a few relaxed atomics, so that they cost nothing where something
//! happens, and mean nothing to what is counted. Who reads them decides what they are called.
//!
//! The words that are ours are in `docs/glossary.md`.

mod counter;
mod durations;

pub use counter::Counter;
pub use durations::{Distribution, Durations};
