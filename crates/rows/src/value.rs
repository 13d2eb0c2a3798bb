//! A value: its storage class and its exact bytes.

use std::hash::{Hash, Hasher};

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef as Sqlite};

/// SQLite's storage classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// NULL.
    Null,
    /// A signed integer of up to 8 bytes.
    Integer,
    /// An IEEE double, which is never NaN.
    Real,
    /// Text.
    Text,
    /// Bytes.
    Blob,
}

impl Class {
    /// The name that SQLite's `typeof` gives.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Class::Null => "null",
            Class::Integer => "integer",
            Class::Real => "real",
            Class::Text => "text",
            Class::Blob => "blob",
        }
    }
}

/// A value that is borrowed from the row that it stands in. Two are equal if their classes and bytes are.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// Text in UTF-8 as SQLite gives it, which may have NUL and need not be well-formed.
    Text(&'a [u8]),
    /// Bytes.
    Blob(&'a [u8]),
}

/// A value of its own.
#[derive(Debug, Clone)]
pub enum Value {
    /// NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A double.
    Real(f64),
    /// Text, as in [`ValueRef::Text`].
    Text(Vec<u8>),
    /// Bytes.
    Blob(Vec<u8>),
}

impl<'a> ValueRef<'a> {
    /// Its storage class.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            ValueRef::Null => Class::Null,
            ValueRef::Integer(_) => Class::Integer,
            ValueRef::Real(_) => Class::Real,
            ValueRef::Text(_) => Class::Text,
            ValueRef::Blob(_) => Class::Blob,
        }
    }

    /// The same value, which outlives the row.
    #[must_use]
    pub fn to_owned(self) -> Value {
        match self {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(integer) => Value::Integer(integer),
            ValueRef::Real(real) => Value::Real(real),
            ValueRef::Text(text) => Value::Text(text.to_vec()),
            ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
        }
    }

    /// The text, if it is text that can be written between quotes: well-formed, and without NUL, at which SQLite's parser
    /// ends.
    #[must_use]
    pub fn plain_text(self) -> Option<&'a str> {
        match self {
            ValueRef::Text(text) if !text.contains(&0) => std::str::from_utf8(text).ok(),
            _ => None,
        }
    }
}

impl PartialEq for ValueRef<'_> {
    fn eq(&self, other: &ValueRef<'_>) -> bool {
        match (*self, *other) {
            (ValueRef::Null, ValueRef::Null) => true,
            (ValueRef::Integer(a), ValueRef::Integer(b)) => a == b,
            (ValueRef::Real(a), ValueRef::Real(b)) => a.to_bits() == b.to_bits(),
            (ValueRef::Text(a), ValueRef::Text(b)) | (ValueRef::Blob(a), ValueRef::Blob(b)) => {
                a == b
            }
            _ => false,
        }
    }
}

impl Eq for ValueRef<'_> {}

impl Hash for ValueRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.class().hash(state);
        match self {
            ValueRef::Null => {}
            ValueRef::Integer(integer) => integer.hash(state),
            ValueRef::Real(real) => real.to_bits().hash(state),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.hash(state),
        }
    }
}

impl<'a> From<Sqlite<'a>> for ValueRef<'a> {
    fn from(value: Sqlite<'a>) -> ValueRef<'a> {
        match value {
            Sqlite::Null => ValueRef::Null,
            Sqlite::Integer(integer) => ValueRef::Integer(integer),
            Sqlite::Real(real) => ValueRef::Real(real),
            Sqlite::Text(text) => ValueRef::Text(text),
            Sqlite::Blob(blob) => ValueRef::Blob(blob),
        }
    }
}

impl<'a> From<ValueRef<'a>> for Sqlite<'a> {
    fn from(value: ValueRef<'a>) -> Sqlite<'a> {
        match value {
            ValueRef::Null => Sqlite::Null,
            ValueRef::Integer(integer) => Sqlite::Integer(integer),
            ValueRef::Real(real) => Sqlite::Real(real),
            ValueRef::Text(text) => Sqlite::Text(text),
            ValueRef::Blob(blob) => Sqlite::Blob(blob),
        }
    }
}

impl Value {
    /// The value as it is borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Value::Null => ValueRef::Null,
            Value::Integer(integer) => ValueRef::Integer(*integer),
            Value::Real(real) => ValueRef::Real(*real),
            Value::Text(text) => ValueRef::Text(text),
            Value::Blob(blob) => ValueRef::Blob(blob),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.as_ref() == other.as_ref()
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_ref().hash(state);
    }
}

impl ToSql for ValueRef<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed((*self).into()))
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.as_ref().into()))
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn t09_values_that_sql_calls_equal_are_told_apart() {
        assert_ne!(ValueRef::Integer(1), ValueRef::Real(1.0));
        assert_ne!(ValueRef::Real(0.0), ValueRef::Real(-0.0));
        assert_ne!(ValueRef::Text(b"abc"), ValueRef::Text(b"ABC"));
        assert_ne!(ValueRef::Text(b"abc"), ValueRef::Blob(b"abc"));
        assert_eq!(ValueRef::Null, ValueRef::Null);
    }

    #[test]
    fn values_come_back_from_sqlite_as_they_were_bound() {
        let connection = Connection::open_in_memory().unwrap();
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Real(-0.0),
            Value::Real(f64::INFINITY),
            Value::Text(b"a\0b\xff".to_vec()),
            Value::Blob(Vec::new()),
        ];
        for value in &values {
            let is_same = |row: &rusqlite::Row<'_>| Ok(ValueRef::from(row.get_ref(0)?).to_owned());
            let back = connection.query_row("SELECT ?1", [value], is_same).unwrap();
            assert_eq!(back, *value);
        }
    }
}
