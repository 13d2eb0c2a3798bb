//! Takes differences back: what a database was changed by is undone in one that has gone on since.
//!
//! Each row is given back only if it still is as the changes left it; a row that is not is a *conflict*, and a [`Policy`]
//! says what becomes of it. The same steps are printed as a script that guards itself in any client ([`Undo::print`]), or
//! run ([`Undo::apply`]).

mod apply;
mod check;
mod objects;
mod policy;
mod print;
mod references;
mod sink;
mod steps;

pub use apply::{Applied, Conflict};
pub use policy::{Policy, Refusal};
pub use sink::Undo;
