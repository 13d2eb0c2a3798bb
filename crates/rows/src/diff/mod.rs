//! How the rows of two databases differ.
//!
//! Each table's rows come from two cursors in the order of their key and are merged here, so memory does not depend on how
//! many there are. [`Pairing`] says what the key is, a [`Sink`] hears of each difference as it is found, and whatever is
//! not compared is told by name.

mod change;
mod cursor;
mod defaults;
mod leaves;
mod merge;
mod number;
mod order;
mod pair;
mod pairing;
mod run;
mod schema_change;
mod side;
mod sink;
mod unequal;
mod whole;

pub use change::{Change, Counts};
pub use leaves::Pages;
pub use number::NumberChange;
pub use pair::{Field, KeyPart, On, Pairing, TablePair};
pub use run::{Compared, NotCompared, Options, Summary, diff};
pub use schema_change::{SchemaChange, schema_changes};
pub use side::Side;
pub use sink::{Sink, Want};
