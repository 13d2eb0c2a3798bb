//! The set of databases of a process, which changes while it runs: by files that come and go, by a configuration that is read
//! again, and by commands.

mod database_set;
mod descriptors;
mod listed;
mod member;
mod plan;

pub use database_set::DatabaseSet;
pub(crate) use descriptors::NoDescriptors;
pub use descriptors::descriptors_needed;
pub use listed::{ListedDatabase, ListedPattern, SetList};
pub use member::NamedBy;
pub use plan::Reloaded;
