//! What is asked about a column, and what is chosen for it.

use super::excerpt::excerpt;
use super::facts::Facts;
use super::family::Family;
use super::pg_type::PgType;
use super::probe::Probe;
use super::target::Target;
use crate::nul::NulPolicy;
use crate::report::Finding;
use ebbtide_rows::ValueRef;

/// A column as it is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) declared: &'a str,
    pub(crate) family: Family,
    pub(crate) facts: &'a Facts,
    /// Whether values that differ must stay different: it is in a key, a unique index or a foreign key.
    pub(crate) is_key: bool,
    /// Its name as `--cast` takes it.
    pub(crate) name: &'a str,
    pub(crate) nul: NulPolicy,
}

/// A type with what is to be said about it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Choice {
    pub(crate) target: Target,
    pub(crate) findings: Vec<Finding>,
}

impl Choice {
    /// Without a word.
    pub(super) fn plain(pg_type: PgType) -> Choice {
        Choice { target: Target::plain(pg_type), findings: Vec::new() }
    }

    /// With one.
    pub(super) fn with(pg_type: PgType, finding: Finding) -> Choice {
        Choice { target: Target::plain(pg_type), findings: vec![finding] }
    }
}

/// The argument that gives a column another type.
pub(super) fn cast(asked: &Asked<'_>, pg_type: &str) -> String {
    format!("--cast '{}={pg_type}'", asked.name)
}

/// With the first text that is none.
pub(super) fn miss(what: &str, probe: &Probe) -> String {
    match &probe.first_miss {
        Some(text) => format!("{what}, such as {}", excerpt(ValueRef::Text(text))),
        None => what.to_owned(),
    }
}
