//! Plans, fetches, applies, proves and publishes a database file.
//!
//! The words that are ours are in `docs/glossary.md`.

mod check;
mod error;
mod fetch;
mod jobs;
mod likeness;
mod occupied;
mod output;
mod run;
mod sink;
mod temporary;
mod verify;
mod wanted;

pub use check::{Check, Checked};
pub use ebbtide_catalog::{Nearest, Nothing, PlanError, Progress, Target};
pub use error::{Error, Result};
pub use run::{LocalState, Options, Report, restore};
pub use verify::{Finding, Moment, Severity, Totals, Verification, verify};
