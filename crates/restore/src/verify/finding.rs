//! What a verification finds in an object.

use std::fmt;

use ebbtide_replica::Key;
use serde::Serialize;

/// Something about one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The object, or the one that would hold what is missing.
    pub key: Key,
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub what: String,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is lost.
    Note,
    /// Something cannot be restored, or not from this object.
    Damage,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}
