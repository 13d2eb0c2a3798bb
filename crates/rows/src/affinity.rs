//! The affinity of a column.

/// What SQLite tries to store values of a column as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Affinity {
    /// TEXT.
    Text,
    /// NUMERIC.
    Numeric,
    /// INTEGER.
    Integer,
    /// REAL.
    Real,
    /// BLOB, which was called NONE.
    Blob,
}

impl Affinity {
    /// The affinity of a declared type, by the rules of section 3.1 of SQLite's "Datatypes".
    #[must_use]
    pub fn of(declared: &str) -> Affinity {
        let declared = declared.to_ascii_uppercase();
        let has = |part: &str| declared.contains(part);
        if has("INT") {
            Affinity::Integer
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Affinity::Text
        } else if has("BLOB") || declared.is_empty() {
            Affinity::Blob
        } else if has("REAL") || has("FLOA") || has("DOUB") {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// In a STRICT table ANY is stored as it comes, so it has no affinity there; `Column` knows of it.
#[test]
fn affinities_are_those_of_the_documentation() {
    let known = [
        ("INTEGER", Affinity::Integer),
        ("CHARINT", Affinity::Integer),
        ("FLOATING POINT", Affinity::Integer),
        ("VARCHAR(255)", Affinity::Text),
        ("", Affinity::Blob),
        ("double precision", Affinity::Real),
        ("DECIMAL(10,5)", Affinity::Numeric),
        ("STRING", Affinity::Numeric),
    ];
    for (declared, affinity) in known {
        assert_eq!(Affinity::of(declared), affinity, "{declared}");
    }
}
