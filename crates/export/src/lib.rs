//! Takes a database elsewhere, from a connection of SQLite's, whatever is behind it: a file, or a moment of a replica.
//!
//! - **Nothing is changed without a word.** What the other side cannot hold as it is is counted and named in a
//!   [`Report`]; where a person has to choose, nothing is written until they have.
//! - **One state.** Give a connection that sees one state from the first reading to the last.
//!
//! The words that are ours are in `docs/glossary.md`.

mod buffer;
mod csv;
mod dump;
mod error;
mod fixture;
mod flat;
mod hex;
mod json_lines;
mod nul;
mod orders;
mod postgres;
mod report;
mod select;
mod words;

pub use csv::{CsvOptions, write_csv};
pub use dump::{DumpOptions, dump};
pub use error::ExportError;
pub use fixture::{Fixture, FixtureOptions, write_fixture};
pub use flat::{FlatPlan, look_at_texts, plan_flat};
pub use json_lines::write_json;
pub use nul::NulPolicy;
pub use orders::read_past_orders;
pub use postgres::{
    BrokenKeys, Cast, PgType, PostgresOptions, PostgresPlan, Precision, Reading, plan, write_script,
};
pub use report::{ColumnReport, Counts, Finding, FindingKind, Report, TableReport};
