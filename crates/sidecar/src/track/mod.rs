//! What a restore of the newest state of a database begins with, and when that is added to: the deciding half of deltas and
//! snapshots. It makes nothing and asks no clock, so that a year can be gone through in minutes (`tests/bench`).

mod boundaries;
mod head_path;
mod restore_track;
mod tail;
mod worth;

pub use head_path::{Found, HeadPath};
pub use restore_track::Track;
pub use worth::Worth;
