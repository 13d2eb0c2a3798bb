//! Databases that are taken elsewhere and come back: through SQLite's own shell and through a real PostgreSQL, with every
//! value compared.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod awkward;
mod body;
mod dumps;
mod loads;
mod refusals;
mod server;
mod shell;
