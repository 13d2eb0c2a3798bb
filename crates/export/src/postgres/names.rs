//! Names on the other side. PostgreSQL keeps 63 bytes of each, and has tables, indexes and sequences in one space.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Beyond this PostgreSQL cuts a name off.
pub(crate) const NAME_BYTES_MAX: usize = 63;

/// Columns that every table of PostgreSQL has already.
const SYSTEM_COLUMNS: [&str; 6] = ["tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"];

/// As much of a name as PostgreSQL keeps.
pub(crate) fn cut(name: &str) -> &str {
    cut_to(name, NAME_BYTES_MAX)
}

fn cut_to(name: &str, bytes: usize) -> &str {
    let mut end = name.len().min(bytes);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Names that would be one.
pub(crate) fn agreeing<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Vec<&'a str>> {
    let mut by_cut: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for name in names {
        by_cut.entry(cut(name)).or_default().push(name);
    }
    by_cut.into_values().filter(|names| names.len() > 1).collect()
}

/// Why PostgreSQL takes no column of this name.
pub(crate) fn column_trouble(name: &str) -> Option<&'static str> {
    match () {
        () if name.is_empty() => Some("a name without a letter"),
        () if SYSTEM_COLUMNS.contains(&name) => {
            Some("a name that PostgreSQL has for a column of its own")
        }
        () => None,
    }
}

/// Names that are taken, and new ones that are not.
#[derive(Debug, Default)]
pub(crate) struct Taken(BTreeSet<String>);

impl Taken {
    pub(crate) fn insert(&mut self, name: &str) {
        self.0.insert(cut(name).to_owned());
    }

    /// A name that begins so and is free; it is taken then.
    pub(crate) fn free(&mut self, parts: &[&str], suffix: &str) -> String {
        let stem = parts.join("_");
        let with = |number: usize| {
            let suffix =
                if number == 0 { format!("_{suffix}") } else { format!("_{suffix}{number}") };
            format!("{}{suffix}", cut_to(&stem, NAME_BYTES_MAX - suffix.len()))
        };
        // One of them is free: there are more than names.
        let name = (0..=self.0.len()).map(with).find(|name| !self.0.contains(name));
        let name = name.unwrap_or_default();
        self.0.insert(name.clone());
        name
    }
}

/// A name in double quotes, as PostgreSQL would keep it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PgName<'a>(pub(crate) &'a str);

impl fmt::Display for PgName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", cut(self.0).replace('"', "\"\""))
    }
}

/// A string in single quotes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PgString<'a>(pub(crate) &'a str);

impl fmt::Display for PgString<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t31_names_that_agree_in_63_bytes_are_found() {
        let (a, b) = (format!("{}a", "x".repeat(63)), format!("{}b", "x".repeat(63)));
        assert_eq!(agreeing([a.as_str(), "x", b.as_str()].into_iter()), [[a.as_str(), b.as_str()]]);
        let umlauts = "ü".repeat(40);
        assert_eq!(cut(&umlauts).len(), 62, "no letter is cut apart");
        assert!(column_trouble("xmin").is_some() && column_trouble("XMIN").is_none());
    }

    #[test]
    fn free_names_are_free() {
        let mut taken = Taken::default();
        taken.insert("orders_pkey");
        assert_eq!(taken.free(&["orders"], "pkey"), "orders_pkey1");
        assert_eq!(taken.free(&["orders"], "pkey"), "orders_pkey2");
        let long = "x".repeat(80);
        assert_eq!(taken.free(&[&long], "pkey").len(), 63);
        assert_ne!(taken.free(&[&long], "pkey"), taken.free(&[&long], "pkey"));
        assert_eq!(PgName("a \"b\"").to_string(), "\"a \"\"b\"\"\"");
        assert_eq!(PgString("it's").to_string(), "'it''s'");
    }
}
