//! Which rows can differ between two states of one database, when it is known which pages do.
//!
//! A row is on a leaf of its table's tree, and what does not fit there on overflow pages. A leaf that both trees have, with
//! the same bytes, has the same rows. So only these can differ:
//!
//! 1. **rows on a leaf that changed**, on either side: a page that changed is looked for in the trees by its first rowid, as
//!    SQLite would look for that row. A free page that still looks like a leaf is not found.
//! 2. **rows below a child that only one side's tree has**: freed pages are not written, so a leaf can leave the tree without
//!    a change of its own. The topmost page that left has a parent which is in both trees and changed, so it is found as a
//!    child of a changed interior page that no changed interior page of the other side names.
//! 3. **rows whose overflow pages changed in place**, beside a leaf that did not: overwriting a value with one of the same
//!    length does that. Overflow pages do not say whose they are, so those that changed are handed on
//!    ([`Narrow::overflow`]): all of them must be found to belong to rows that are compared anyway ([`leftover`]), or
//!    everything is compared.
//!
//! Whatever cannot be said for certain is a [`Doubt`], and then everything is compared. Nothing of a record is decoded.

mod doubt;
mod free_pages;
mod leftover;
mod narrowed;
mod paged;
mod tables;
mod touched;
mod tree_pages;
mod trees;

pub use doubt::Doubt;
pub use leftover::leftover;
pub use narrowed::{Narrow, narrow};
pub use paged::{Paged, ReadPages};
