//! Everything of a replica that can be restored, along the time: how many commits there are when, and what is special.
//!
//! It is read out of the indexes of the replica's objects once, and then what is new. What is kept of it is bounded, however
//! long the history is: neighbouring commits become one cell. Where a part of it is looked at closely, the objects of that
//! part are read again.

mod bucket;
mod cells;
mod commit;
mod event;
mod history;
mod kept;
mod row;

pub(crate) use bucket::{Bucket, buckets};
pub(crate) use commit::{Picked, Wanted};
pub(crate) use event::{Event, EventKind};
pub(crate) use history::{History, TimelineError};
pub(crate) use kept::NamedState;
