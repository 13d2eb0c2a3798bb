//! A script for `psql` that makes a PostgreSQL database of a SQLite database.
//!
//! [`plan`] looks at every value, chooses types, names and keys, and says what is not the same on the other side;
//! [`write_script`] writes what was planned. Nothing is changed that the report does not count and name, and what only a
//! person can decide is refused before the first byte is written.

mod cast;
mod choice;
mod columns;
mod copy_text;
mod decide;
mod defaults;
mod digits;
mod encode;
mod epoch;
mod excerpt;
mod facts;
mod family;
mod foreign_keys;
mod iso;
mod json_text;
mod keys;
mod links;
mod names;
mod pg_type;
mod plan;
mod probe;
mod scan;
mod script;
mod stored;
mod target;
mod temporal;
mod uuid_text;

pub use cast::{Cast, Reading};
pub use keys::BrokenKeys;
pub use pg_type::{PgType, Precision};
pub use plan::{PostgresOptions, PostgresPlan, plan};
pub use script::write_script;
