//! Points in time as plain values, for crates that know nothing of replicas as well as for those that do. There is no
//! clock here: the time is always an argument.
//!
//! The words that are ours are in `docs/glossary.md`.

/// For [`serde_as_text`], so that crates that use it need not name it themselves.
#[doc(hidden)]
pub use serde;

mod text;
mod timestamp;
mod words;

pub use text::ParseError;
pub use timestamp::Timestamp;
pub use words::{ago, span};
