//! What the values of a column are made of on their way.

use super::cast::Reading;
use super::pg_type::PgType;

/// A type, and how values become ones of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) pg_type: PgType,
    pub(crate) reading: Reading,
    /// NULs are taken out of text.
    pub(crate) strips_nul: bool,
}

impl Target {
    /// The type, with values as they stand there.
    pub(crate) fn plain(pg_type: PgType) -> Target {
        Target { pg_type, reading: Reading::AsIs, strips_nul: false }
    }
}
