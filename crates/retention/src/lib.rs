//! Which history of a replica is kept, and what may be deleted without anybody losing any of it.
//!
//! A create-only name is the lock that keeps two writers of a replica apart, and a name that is deleted is a lock that
//! is open again. So nothing is deleted but by these rules, which `tests/model` checks in every state that it can reach,
//! and of which it shows that each is needed:
//!
//! - *Fences.* The segment of a claim is never deleted, nor is the newest segment, nor a claim below the horizon of which
//!   no pack says that it is void.
//! - *Look behind.* A session counts its first put, and what it found of an earlier session of its own, only after it has
//!   looked at what comes behind that put, in `log/` and in the newest horizon.
//! - *One body a name.* A session never puts, or spools, two bodies under one name.
//! - *Packs.* A pack is put only if the segment after it continues it; readers and plans take packs before segments; a
//!   segment goes only a day after a pack of it was put. Where a horizon names a segment, a pack of its entries serves.
//! - *Horizons.* They are numbered and create-only, and condemn; what is condemned goes once the newest horizon is older
//!   than the grace, after the marks were listed again. What was condemned once is not relied on, and is condemned by
//!   every later horizon until it is gone, with a word on who condemned it first.
//!   One that has condemned what is still there is followed by another only once that is gone, or by an undo. A copy whose
//!   horizons come from elsewhere gives up what the source has deleted and no horizon needs that it has had for a day.
//! - *Settled states.* The next horizon takes over what the newest one says of a state if nothing on its way has changed,
//!   and no segment on it is in a pack by now.
//! - *Marks* count once they were judged beside the newest horizon, and an *undo* is two horizons: one that stops the
//!   deleting, and one that promises again.
//!
//! A listing may lag; the grace is more than twice as long as it may.
//!
//! The words that are ours are in `docs/glossary.md`.

mod candidates;
mod condemn;
mod deletion;
mod error;
mod extent;
mod finish;
mod given_up;
mod grace;
mod inventory;
mod keep;
mod mark;
mod marks;
mod outlook;
mod packed;
mod period;
mod prune;
mod select;
mod settled;
mod undo;
mod unneeded;

pub use deletion::Deleted;
pub use error::{PruneError, Result};
pub use extent::Extent;
pub use grace::{GRACE_MICROS, LAG_MICROS, age_micros, is_in_time};
pub use keep::{Keep, KeepError, Kind};
pub use mark::{Made, MarkError, Marking, REMOVED, judge, mark};
pub use outlook::{Kept, Outlook};
pub use period::{Period, PeriodError};
pub use prune::{
    Pass, Preview, Pruned, WORTH_BYTES, WORTH_DAYS, WORTH_OBJECTS, preview, prune, sweep,
};
pub use select::{Candidate, KeptState, Logged, Marked, Present, Selection, Why, select};
pub use undo::{Undone, undo};
