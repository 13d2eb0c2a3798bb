//! Reading a replica: what it is, which objects it has, what is in them without their pages, and where its history ends.
//!
//! Names come from listings, everything else from the objects themselves, and each object is checked against the name
//! that it was found under and against the manifest. So an object that was swapped with another, or that belongs to
//! another replica, is damaged like one with a flipped byte.
//!
//! The words that are ours are in `docs/glossary.md`.

mod anchor;
mod chronology;
mod error;
mod gap;
mod hash_list;
mod hashes;
mod head;
mod horizon;
mod identity;
mod index_cache;
mod index_keys;
mod junk;
mod kept;
mod known;
mod listing;
mod marks;
mod outline;
mod piece;
mod plan;
mod plan_error;
mod progress;
mod read;
mod rebuild;
mod requests;
mod sealing;
mod seek;
mod survey;
mod tally;
mod target;
mod walk;
mod wanted;

#[cfg(test)]
mod tests;

pub use anchor::{Anchor, hold_to};
pub use chronology::chronology;
pub use error::CatalogError;
pub use gap::{ResyncDetail, missed_since};
pub use hash_list::{Expected, HashList, read_ahead};
pub use hashes::{HashRun, Hashes};
pub use head::{Head, head};
pub use horizon::{StoredHorizon, horizon_before, newest_horizon};
pub use identity::{Identity, identify, stated_manifest};
pub use index_cache::IndexCache;
pub use index_keys::index_keys;
pub use kept::KeptAt;
pub use known::{Known, first_of, last_of};
pub use listing::{Listing, list, list_recent};
pub use marks::{Marks, StoredMark, read_marks};
pub use outline::{Outline, outline};
pub use piece::{Carrier, Change, IndexState, Interest, Piece};
pub use plan::{Culprit, Goal, Part, Plan, Refusal, Step, lost_beginning, plan, vouched_path};
pub use plan_error::{Nearest, Nothing, PlanError};
pub use progress::{Counts, Progress};
pub use read::{Fetched, read_index, read_indexes, read_manifest, read_short_index};
pub use rebuild::rebuild_table;
pub use requests::{Request, WantedBlock, WantedRun, requests, wanted_blocks};
pub use sealing::sealing;
pub use seek::{Seek, seek};
pub use survey::{Ahead, CLOCKS_APART_MICROS_MAX, Range, Survey};
pub use tally::Tally;
pub use target::{Notice, Target};
pub use wanted::Wanted;
