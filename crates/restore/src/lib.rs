//! Plans, fetches, applies, proves and publishes a database file.

mod anchor;
mod check;
mod error;
mod fetch;
mod jobs;
mod known;
mod likeness;
mod occupied;
mod outline;
mod output;
mod piece;
mod plan;
mod progress;
mod run;
mod seek;
mod sink;
mod survey;
mod target;
mod temporary;
mod verify;
mod walk;
mod wanted;

pub use anchor::Anchor;
pub use check::{Check, Checked};
pub use error::{Error, Nearest, Nothing, Result};
pub use known::Known;
pub use outline::{Outline, outline};
pub use piece::{Carrier, Change, Interest, Piece, Point};
pub use plan::{Culprit, Goal, Part, Plan, Refusal, Step, plan};
pub use progress::{Counts, Progress};
pub use run::{LocalState, Options, Report, restore};
pub use seek::{Seek, seek};
pub use survey::{CLOCKS_APART_MICROS_MAX, Survey};
pub use target::{Notice, Target};
pub use verify::{Finding, Moment, Severity, Totals, Verification, verify};
