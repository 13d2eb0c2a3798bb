//! A value as SQL.

use std::fmt;

use super::encoding::Encoding;
use super::hex::hex;
use super::real;
use super::value::ValueRef;

/// A value as SQL that gives back the same class and bytes, in any SQLite.
///
/// Reals are as in the module `real`; text that a parser cannot read between quotes is cast from its bytes, which stand in the
/// encoding of the database that the SQL is for.
#[derive(Debug, Clone, Copy)]
pub struct Literal<'a> {
    value: ValueRef<'a>,
    encoding: Encoding,
}

impl<'a> Literal<'a> {
    /// For a database in UTF-8.
    #[must_use]
    pub fn new(value: ValueRef<'a>) -> Literal<'a> {
        Literal { value, encoding: Encoding::Utf8 }
    }

    /// For a database in this encoding.
    #[must_use]
    pub fn in_encoding(value: ValueRef<'a>, encoding: Encoding) -> Literal<'a> {
        Literal { value, encoding }
    }
}

impl fmt::Display for Literal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            ValueRef::Null => f.write_str("NULL"),
            // The least integer is not a literal: its digits alone are beyond the greatest.
            ValueRef::Integer(i64::MIN) => f.write_str("(-9223372036854775807-1)"),
            ValueRef::Integer(integer) => write!(f, "{integer}"),
            ValueRef::Real(real) => f.write_str(&real::sql(real)),
            ValueRef::Text(text) => match self.value.plain_text() {
                // A shell that reads lines takes `\r\n` for `\n`, within quotes, too.
                Some(plain) if !plain.contains('\r') => {
                    write!(f, "'{}'", plain.replace('\'', "''"))
                }
                _ => write!(f, "CAST(x'{}' AS TEXT)", hex(&self.encoding.encode(text))),
            },
            ValueRef::Blob(blob) => write!(f, "x'{}'", hex(blob)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::value::Value;
    use super::*;

    #[test]
    fn t09_literals_give_back_class_and_bytes_in_each_encoding() {
        let values = [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Integer(-1),
            Value::Real(1.0),
            Value::Real(f64::INFINITY),
            Value::Text("it's a \u{1f30a}\n".as_bytes().to_vec()),
            Value::Text(b"a\0b".to_vec()),
            Value::Text(b"a\r\nb".to_vec()),
            Value::Text(Vec::new()),
            Value::Blob(b"\0\xff".to_vec()),
            Value::Blob(Vec::new()),
        ];
        for (name, encoding) in Encoding::NAMES {
            let connection = Connection::open_in_memory().unwrap();
            let pragma = format!("PRAGMA encoding = '{name}'; CREATE TABLE t (a);");
            connection.execute_batch(&pragma).unwrap();
            for value in &values {
                let sql = format!("SELECT {}", Literal::in_encoding(value.as_ref(), encoding));
                let read = |row: &rusqlite::Row<'_>| Ok(ValueRef::from(row.get_ref(0)?).to_owned());
                let back = connection.query_row(&sql, [], read).unwrap();
                assert_eq!(back, *value, "{name}: {sql}");
            }
        }
        let line = Literal::new(ValueRef::Text(b"\r\n")).to_string();
        assert_eq!(line, "CAST(x'0d0a' AS TEXT)", "shells read lines");
        let bad = Literal::new(ValueRef::Text(b"a\xff")).to_string();
        assert_eq!(bad, "CAST(x'61ff' AS TEXT)");
        let back = |row: &rusqlite::Row<'_>| Ok(ValueRef::from(row.get_ref(0)?).to_owned());
        let connection = Connection::open_in_memory().unwrap();
        let back = connection.query_row(&format!("SELECT {bad}"), [], back).unwrap();
        assert_eq!(back, Value::Text(b"a\xff".to_vec()));
    }
}
