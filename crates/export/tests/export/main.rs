//! Databases that are taken elsewhere and come back: through SQLite's own shell and through a real PostgreSQL, with every
//! value compared.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod awkward;
mod body;
mod dumps;
mod fixtures;
mod loads;
mod orders;
mod real;
mod refusals;
#[expect(dead_code, reason = "the tests of the whole use the rest")]
mod server;
mod shell;
