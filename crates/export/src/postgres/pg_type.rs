//! The types of PostgreSQL that columns become.

use std::fmt;
use std::str::FromStr;

/// A type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PgType {
    /// 16 bits; only by `--cast`.
    Smallint,
    /// 32 bits; only by `--cast`.
    Integer,
    /// All that SQLite's integers are.
    Bigint,
    /// Decimal digits, all or so many.
    Numeric(Option<Precision>),
    /// The same bits as SQLite's reals.
    Double,
    /// From 0 and 1.
    Boolean,
    /// Text without NUL.
    Text,
    /// Text of so many characters at most; only by `--cast`.
    Varchar(u32),
    /// Bytes.
    Bytea,
    /// A day.
    Date,
    /// A time of day.
    Time,
    /// Date and time without a zone.
    Timestamp,
    /// A point in time.
    Timestamptz,
    /// JSON as it was written.
    Json,
    /// JSON that can be indexed.
    Jsonb,
    /// 16 bytes.
    Uuid,
}

/// How many decimal digits, and how many of those after the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// All of them.
    pub digits: u16,
    /// After the point.
    pub scale: u16,
}

/// What a type can be called in `--cast`.
const NAMES: &[(&str, PgType)] = &[
    ("smallint", PgType::Smallint),
    ("int2", PgType::Smallint),
    ("integer", PgType::Integer),
    ("int", PgType::Integer),
    ("int4", PgType::Integer),
    ("bigint", PgType::Bigint),
    ("int8", PgType::Bigint),
    ("numeric", PgType::Numeric(None)),
    ("decimal", PgType::Numeric(None)),
    ("double precision", PgType::Double),
    ("double", PgType::Double),
    ("float8", PgType::Double),
    ("boolean", PgType::Boolean),
    ("bool", PgType::Boolean),
    ("text", PgType::Text),
    ("bytea", PgType::Bytea),
    ("date", PgType::Date),
    ("time", PgType::Time),
    ("timestamp", PgType::Timestamp),
    ("timestamptz", PgType::Timestamptz),
    ("json", PgType::Json),
    ("jsonb", PgType::Jsonb),
    ("uuid", PgType::Uuid),
];

/// PostgreSQL's own bounds.
const NUMERIC_DIGITS_MAX: u16 = 1000;
const VARCHAR_MAX: u32 = 10_485_760;

impl FromStr for PgType {
    type Err = String;

    fn from_str(text: &str) -> Result<PgType, String> {
        let word = text.trim().to_ascii_lowercase();
        if let Some((_, known)) = NAMES.iter().find(|(name, _)| *name == word) {
            return Ok(*known);
        }
        let unknown = || {
            let mut names: Vec<&str> = NAMES.iter().map(|(name, _)| *name).collect();
            names.extend(["numeric(p,s)", "varchar(n)"]);
            format!("{text} is none of {}", names.join(", "))
        };
        let (name, numbers) =
            word.strip_suffix(')').and_then(|word| word.split_once('(')).ok_or_else(unknown)?;
        match name.trim() {
            "numeric" | "decimal" => {
                let (digits, scale) = numbers.split_once(',').unwrap_or((numbers, "0"));
                let number = |text: &str| text.trim().parse::<u16>().ok();
                let (digits, scale) = number(digits).zip(number(scale)).ok_or_else(unknown)?;
                let fits = (1..=NUMERIC_DIGITS_MAX).contains(&digits) && scale <= digits;
                let precision = Precision { digits, scale };
                fits.then_some(PgType::Numeric(Some(precision))).ok_or_else(unknown)
            }
            "varchar" | "character varying" => {
                let length = numbers.trim().parse::<u32>().ok();
                let length = length.filter(|length| (1..=VARCHAR_MAX).contains(length));
                length.map(PgType::Varchar).ok_or_else(unknown)
            }
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for PgType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            PgType::Smallint => "smallint",
            PgType::Integer => "integer",
            PgType::Bigint => "bigint",
            PgType::Numeric(None) => "numeric",
            PgType::Numeric(Some(Precision { digits, scale })) => {
                return write!(f, "numeric({digits},{scale})");
            }
            PgType::Double => "double precision",
            PgType::Boolean => "boolean",
            PgType::Text => "text",
            PgType::Varchar(length) => return write!(f, "varchar({length})"),
            PgType::Bytea => "bytea",
            PgType::Date => "date",
            PgType::Time => "time",
            PgType::Timestamp => "timestamp",
            PgType::Timestamptz => "timestamptz",
            PgType::Json => "json",
            PgType::Jsonb => "jsonb",
            PgType::Uuid => "uuid",
        };
        f.write_str(name)
    }
}

impl PgType {
    /// Whether it is of integers.
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, PgType::Smallint | PgType::Integer | PgType::Bigint)
    }

    /// Whether it is of text.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, PgType::Text | PgType::Varchar(_))
    }

    /// Whether a column of it may refer to one of `other`.
    pub(crate) fn can_refer_to(self, other: PgType) -> bool {
        let is_numeric = matches!(other, PgType::Numeric(_));
        self == other
            || self.is_integer() && (other.is_integer() || is_numeric)
            || self.is_text() && other.is_text()
            || matches!(self, PgType::Numeric(_)) && is_numeric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_read_as_it_is_written() {
        for (_, known) in NAMES {
            assert_eq!(known.to_string().parse::<PgType>().as_ref(), Ok(known));
        }
        let price = PgType::Numeric(Some(Precision { digits: 10, scale: 2 }));
        assert_eq!("Numeric(10, 2)".parse::<PgType>(), Ok(price));
        assert_eq!(price.to_string(), "numeric(10,2)");
        assert_eq!("varchar(20)".parse::<PgType>(), Ok(PgType::Varchar(20)));
        for bad in [
            "",
            "money",
            "numeric(2,3)",
            "numeric(0)",
            "varchar(0)",
            "varchar",
            "text; DROP TABLE t",
        ] {
            assert!(bad.parse::<PgType>().is_err(), "{bad}");
        }
    }
}
