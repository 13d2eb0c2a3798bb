//! `--cast TABLE.COLUMN=TYPE[:READING]`: a word about one column.

use std::str::FromStr;

use super::pg_type::PgType;

/// What was said about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cast {
    /// The table, as it was written.
    pub table: String,
    /// The column, as it was written.
    pub column: String,
    /// The type that it gets.
    pub pg_type: PgType,
    /// How its values are read.
    pub reading: Reading,
}

/// How a value becomes one of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// As it stands there.
    AsIs,
    /// Seconds since 1970.
    Epoch,
    /// Milliseconds since 1970.
    EpochMillis,
    /// Microseconds since 1970.
    EpochMicros,
    /// Days since noon of 24 November 4714 BC, as SQLite's `julianday` has them.
    JulianDay,
    /// A text without a zone is of UTC.
    Utc,
}

const READINGS: &[(&str, Reading)] = &[
    ("epoch", Reading::Epoch),
    ("epoch-ms", Reading::EpochMillis),
    ("epoch-us", Reading::EpochMicros),
    ("julian", Reading::JulianDay),
    ("utc", Reading::Utc),
];

impl FromStr for Cast {
    type Err = String;

    fn from_str(text: &str) -> Result<Cast, String> {
        let form = || format!("{text}: write TABLE.COLUMN=TYPE or TABLE.COLUMN=TYPE:READING");
        // A name may have anything in it; a type has neither of these.
        let (name, meant) = text.rsplit_once('=').ok_or_else(form)?;
        let (table, column) = name.rsplit_once('.').ok_or_else(form)?;
        let (type_name, reading) = match meant.split_once(':') {
            None => (meant, Reading::AsIs),
            Some((type_name, word)) => {
                let known = READINGS.iter().find(|(name, _)| *name == word.trim());
                let names: Vec<&str> = READINGS.iter().map(|(name, _)| *name).collect();
                let unknown = || format!("{word} is none of {}", names.join(", "));
                (type_name, known.map(|(_, reading)| *reading).ok_or_else(unknown)?)
            }
        };
        let pg_type = type_name.parse::<PgType>()?;
        let is_point = matches!(pg_type, PgType::Timestamp | PgType::Timestamptz | PgType::Date);
        match reading {
            Reading::AsIs => {}
            Reading::Utc if pg_type == PgType::Timestamptz => {}
            Reading::Utc => return Err(format!("{text}: :utc is for timestamptz")),
            _ if is_point => {}
            _ => {
                return Err(format!("{text}: that reading is for timestamptz, timestamp and date"));
            }
        }
        let (table, column) = (unquoted(table), unquoted(column));
        if table.is_empty() || column.is_empty() {
            return Err(form());
        }
        Ok(Cast { table, column, pg_type, reading })
    }
}

/// A name without the quotes that a person put around it.
fn unquoted(name: &str) -> String {
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cast_names_a_column_a_type_and_a_reading() {
        let cast: Cast = "orders.created_at=timestamptz:epoch-ms".parse().unwrap();
        let expected = Cast {
            table: "orders".to_owned(),
            column: "created_at".to_owned(),
            pg_type: PgType::Timestamptz,
            reading: Reading::EpochMillis,
        };
        assert_eq!(cast, expected);
        let cast: Cast = "\"Order Details\".\"Unit=Price\"=numeric(10,2)".parse().unwrap();
        assert_eq!((cast.table.as_str(), cast.column.as_str()), ("Order Details", "Unit=Price"));
        for bad in [
            "t=text",
            "t.c",
            "t.c=",
            "t.c=text:epoch",
            "t.c=timestamp:utc",
            "t.c=date:noon",
            ".c=text",
        ] {
            assert!(bad.parse::<Cast>().is_err(), "{bad}");
        }
    }
}
