//! The databases that a pattern names, as they come and go: found by walks, and by the file system's events in between.
//!
//! A walk is the truth; an event only says where to look now. Nothing of a file is opened that a task of this process
//! follows, because closing it would drop the locks of that task's connections.

mod book;
mod content;
mod events;
mod known;
mod present;
mod rounds;
mod walk;

pub(crate) use book::Change;
pub(crate) use known::{FileKey, key_of};
pub use present::{PresentDatabases, present};
pub(crate) use rounds::Roster;
