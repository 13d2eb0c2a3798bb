//! The order of text.

use std::cmp::Ordering;

use super::encoding::Encoding;

/// A collating sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Collation {
    /// By the bytes in the database's encoding.
    Binary,
    /// By the bytes in UTF-8, with the 26 capital letters of ASCII folded to lower case.
    NoCase,
    /// By the bytes in UTF-8 without blanks at the end.
    RTrim,
    /// One that an application brings along.
    Other(String),
}

impl Collation {
    /// The collation of this name.
    #[must_use]
    pub fn named(name: &str) -> Collation {
        match name {
            _ if name.eq_ignore_ascii_case("BINARY") => Collation::Binary,
            _ if name.eq_ignore_ascii_case("NOCASE") => Collation::NoCase,
            _ if name.eq_ignore_ascii_case("RTRIM") => Collation::RTrim,
            name => Collation::Other(name.to_owned()),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Collation::Binary => "BINARY",
            Collation::NoCase => "NOCASE",
            Collation::RTrim => "RTRIM",
            Collation::Other(name) => name,
        }
    }

    /// Its name, if it is not SQLite's own.
    pub(crate) fn unknown(&self) -> Option<&str> {
        if let Collation::Other(name) = self { Some(name) } else { None }
    }

    /// Compares two texts, given in UTF-8, as SQLite does in a database of this encoding. `None` if it is not ours to know.
    #[must_use]
    pub fn compare(&self, encoding: Encoding, a: &[u8], b: &[u8]) -> Option<Ordering> {
        match self {
            Collation::Binary => Some(compare_bytes(encoding, a, b)),
            Collation::NoCase => {
                let fold = |text| -> Vec<u8> { <[u8]>::to_ascii_lowercase(text) };
                Some(fold(before_nul(a)).cmp(&fold(before_nul(b))).then(a.len().cmp(&b.len())))
            }
            // SQLite has it for UTF-8 alone, and converts.
            Collation::RTrim => Some(without_blanks(a).cmp(without_blanks(b))),
            Collation::Other(_) => None,
        }
    }
}

/// The order of UTF-16's bytes is another one than that of UTF-8's.
fn compare_bytes(encoding: Encoding, a: &[u8], b: &[u8]) -> Ordering {
    match encoding {
        Encoding::Utf8 => a.cmp(b),
        _ => encoding.encode(a).cmp(&encoding.encode(b)),
    }
}

/// SQLite's NOCASE looks no further than a NUL that both texts have at the same place, and then at their lengths.
fn before_nul(text: &[u8]) -> &[u8] {
    text.split(|&byte| byte == 0).next().unwrap_or_default()
}

fn without_blanks(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|&byte| byte != b' ').map_or(0, |last| last + 1);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::literal::Literal;
    use super::super::value::ValueRef;
    use super::*;

    /// Catches a merge that takes a row for missing because it expects it elsewhere.
    #[test]
    fn t08_texts_are_ordered_as_sqlite_orders_them() {
        let texts: [&[u8]; 14] = [
            b"",
            b" ",
            b"a",
            b"A",
            b"a ",
            b"aB",
            b"ab\0",
            b"ab\0c",
            b"AB",
            b"_",
            b"Z",
            b"z  ",
            "\u{ff5e}".as_bytes(),
            "\u{1f30a}".as_bytes(),
        ];
        for (name, encoding) in Encoding::NAMES {
            let connection = Connection::open_in_memory().unwrap();
            let pragma = format!("PRAGMA encoding = '{name}'; CREATE TABLE t (a);");
            connection.execute_batch(&pragma).unwrap();
            for collation in [Collation::Binary, Collation::NoCase, Collation::RTrim] {
                for (a, b) in texts.iter().flat_map(|a| texts.iter().map(move |b| (*a, *b))) {
                    let literal = |text| Literal::in_encoding(ValueRef::Text(text), encoding);
                    let (left, right, by) = (literal(a), literal(b), collation.name());
                    let sql = format!(
                        "SELECT CASE WHEN x < y COLLATE {by} THEN -1 ELSE x > y COLLATE {by} END \
                         FROM (SELECT {left} AS x, {right} AS y)"
                    );
                    let said: i64 = connection.query_row(&sql, [], |row| row.get(0)).unwrap();
                    let ours = collation.compare(encoding, a, b).unwrap() as i64;
                    assert_eq!(ours, said, "{name} {by}: {a:?} {b:?}");
                }
            }
        }
    }
}
