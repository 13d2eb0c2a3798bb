//! What the declared type of a column was meant to be.
//!
//! SQLite gives a declared type one of five affinities by its letters, and keeps the rest of the word for whoever reads
//! it. The words that people write for dates, booleans, JSON and the like are looked for first, then SQLite's own rules.

/// A kind of declared types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// `INTEGER`, `BIGINT`, whatever has "INT" in it.
    Integer,
    /// `BOOLEAN`.
    Boolean,
    /// `REAL`, `DOUBLE PRECISION`, `FLOAT`.
    Real,
    /// `NUMERIC`, `DECIMAL(10,2)`, `MONEY`.
    Decimal,
    /// `DATE`.
    Date,
    /// `TIME`.
    Time,
    /// `DATETIME`, `TIMESTAMP`.
    Timestamp,
    /// `JSON`.
    Json,
    /// `UUID`, `GUID`.
    Uuid,
    /// `TEXT`, `VARCHAR(20)`.
    Text,
    /// `BLOB`.
    Blob,
    /// Nothing, or a word that says nothing to us.
    Other,
}

impl Family {
    /// The family of a declared type.
    pub(crate) fn of(declared: &str) -> Family {
        let word = declared.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
        if has(&["BOOL"]) {
            Family::Boolean
        } else if has(&["JSON"]) {
            Family::Json
        } else if has(&["UUID", "GUID", "UNIQUEIDENTIFIER"]) {
            Family::Uuid
        } else if has(&["DATETIME", "TIMESTAMP"]) {
            Family::Timestamp
        } else if has(&["DATE"]) {
            Family::Date
        } else if has(&["TIME"]) {
            Family::Time
        } else if has(&["INT"]) {
            Family::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Family::Text
        } else if has(&["BLOB", "BYTEA", "BINARY"]) {
            Family::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Family::Real
        } else if has(&["NUM", "DEC", "MONEY"]) {
            Family::Decimal
        } else {
            Family::Other
        }
    }

    /// Whether it is about dates and times.
    pub(crate) fn is_temporal(self) -> bool {
        matches!(self, Family::Date | Family::Time | Family::Timestamp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_types_are_taken_as_they_are_meant() {
        for (declared, family) in [
            ("INTEGER", Family::Integer),
            ("unsigned big int", Family::Integer),
            ("boolean", Family::Boolean),
            ("tinyint(1)", Family::Integer),
            ("DOUBLE PRECISION", Family::Real),
            ("DECIMAL(10,2)", Family::Decimal),
            ("NUMERIC", Family::Decimal),
            ("DATE", Family::Date),
            ("datetime", Family::Timestamp),
            ("TIMESTAMP WITH TIME ZONE", Family::Timestamp),
            ("time", Family::Time),
            ("NVARCHAR(160)", Family::Text),
            ("JSONB", Family::Json),
            ("uniqueidentifier", Family::Uuid),
            ("VARBINARY(16)", Family::Blob),
            ("", Family::Other),
            ("STRING", Family::Other),
        ] {
            assert_eq!(Family::of(declared), family, "{declared}");
        }
    }
}
