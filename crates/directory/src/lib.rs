//! Directories that others may write, too, and what is opened in them.
//!
//! Whoever may write a directory can put a link, a pipe or another directory in the place of a name between two looks at
//! it. So a directory is opened once, and everything within is opened, made, named and removed by that descriptor and a
//! single name: no link is followed, no pipe is waited for, and what was opened is looked at before it is used.
//!
//! Only the directories from the one that is opened on are judged. Those above it are the choice of whoever gave the
//! path, and may be links.
//!
//! The words that are ours are in `docs/glossary.md`.

mod beside;
mod entries;
mod identity;
mod open;
mod peek;
mod private;
mod refused;
mod unsupported;

pub use beside::{database_owner, open_state_directory, state_directory};
pub use entries::Entries;
pub use identity::Identity;
pub use open::{Directory, open_regular};
pub use peek::read_start;
pub use private::Private;
pub use refused::{Refused, kind_of};
pub use unsupported::is_unsupported;

#[cfg(test)]
mod tests;
