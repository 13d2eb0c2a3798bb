//! Differences as a script of SQL that makes one database the other.

mod alter;
mod forward;
mod statement;

pub use forward::Script;
pub(crate) use statement::{
    assignments, columns_and_values, exactly, fields_of_new, literal, locate, name, touches_unique,
};
