//! The rows of a database as SQLite stores them: values with their storage class and exact bytes, the shape of tables, and
//! how both are written as SQL and as JSON.
//!
//! - **A value is its storage class and its bytes.** 1 and 1.0 are two values, and so are `abc` and `ABC` whatever the
//!   collation. Text is bytes, because SQLite keeps text with NUL or bad UTF-8.
//! - **What is written reads back exactly**, by any SQLite: [`Literal`] says how.
//! - **The schema is asked of SQLite**, not parsed, wherever SQLite answers.
//! - It knows connections and names of schemas, and not where a database comes from.
//!
//! The words that are ours are in `docs/glossary.md`.

mod affinity;
mod balanced;
mod btree;
mod changeset;
mod collation;
mod column;
mod diff;
mod encoding;
mod error;
mod extent;
mod foreign_key;
mod hex;
mod ident;
mod index;
mod json;
mod json_lines;
mod literal;
mod narrow;
mod object;
mod real;
mod schema;
mod script;
mod table;
mod undo;
mod value;
mod virtual_table;

pub use affinity::Affinity;
pub use changeset::Changeset;
pub use collation::Collation;
pub use column::{Column, ColumnKind};
pub use diff::*;
pub use encoding::Encoding;
pub use error::RowsError;
pub use extent::{Extent, Extents};
pub use foreign_key::ForeignKey;
pub use ident::{Ident, Qualified};
pub use index::{Index, IndexColumn, IndexOrigin};
pub use json::json;
pub use json_lines::JsonLines;
pub use literal::Literal;
pub use narrow::{Doubt, Narrow, Paged, ReadPages, leftover, narrow};
pub use object::{Object, ObjectKind};
pub use schema::Schema;
pub use script::Script;
pub use table::{Table, TableKind};
pub use undo::{Applied, Conflict, Policy, Refusal, Undo};
pub use value::{Class, Value, ValueRef};
pub use virtual_table::Content;
