//! Plans, fetches, writes, proves and publishes a database file, or proves that a replica could give one.
//!
//! It is a library for whoever wants to restore from a program of their own: [`restore()`] and [`verify()`] take a store, a
//! target and the time of day, and `examples/restore.rs` is all there is to it. What must hold:
//!
//! 1. A database appears under its name only when it is whole, proved and durable; after an error, and after a kill,
//!    everything that was there is there, and nothing else.
//! 2. What cannot be proved is refused, by the name of the object and with the nearest states that can be had.
//! 3. What is fetched and not yet written is bounded, whatever the size of the database.
//!
//! The words that are ours are in `docs/glossary.md`.

mod blocking;
mod check;
mod drill;
mod drill_record;
mod error;
mod fetch;
mod likeness;
mod occupied;
mod output;
mod run;
mod sink;
mod space;
mod temporary;
mod verify;

pub use check::{Check, Checked};
pub use drill::{Drill, Drilled, DrilledState, arbitrary, drill, remove_drill_files};
pub use drill_record::{DrillRecord, FailedDrill, Proved};
pub use ebbtide_catalog::{Nearest, Nothing, PlanError, Progress, Target};
pub use error::{Error, Result};
pub use run::{LocalState, Options, Report, restore};
pub use verify::{Depth, Finding, Severity, Thinned, Totals, Verification, check_object, verify};
pub use verify::{NoShare, Sample, Sampled, SampledObject, Share, sample};
