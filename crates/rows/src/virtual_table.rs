//! What a virtual table's rows are: its own, or another table's.

/// Where the rows of a virtual table are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// In its shadow tables; through the virtual table they are read and written.
    Own,
    /// In the table of this name; the virtual table is an index over them.
    Of(String),
    /// Nowhere: an index of what was inserted once (`content=''`).
    Nowhere,
    /// Nowhere, either: it shows what another table or SQLite itself has.
    Derived,
    /// Only the module knows.
    Unknown,
}

impl Content {
    /// What the statement that made the table says, for the modules that SQLite has.
    pub(crate) fn of(module: &str, sql: &str) -> Content {
        match module.to_ascii_lowercase().as_str() {
            "rtree" | "rtree_i32" | "geopoly" => Content::Own,
            "fts3" | "fts4" | "fts5" => full_text(sql),
            "fts5vocab" | "fts4aux" | "fts3tokenize" | "dbstat" | "sqlite_dbpage" => {
                Content::Derived
            }
            _ => Content::Unknown,
        }
    }
}

fn full_text(sql: &str) -> Content {
    for argument in arguments(sql) {
        let Some((key, value)) = argument.split_once('=') else { continue };
        if key.trim().eq_ignore_ascii_case("content") {
            let name = unquoted(value.trim());
            return if name.is_empty() { Content::Nowhere } else { Content::Of(name) };
        }
    }
    Content::Own
}

/// The module of `CREATE VIRTUAL TABLE t USING module(…)`, which SQLite keeps as it was written.
pub(crate) fn module(sql: &str) -> Option<String> {
    let (_, after) = split_at_using(sql)?;
    let after = after.trim_start();
    if after.starts_with(['"', '`', '[']) {
        return Some(unquoted(after.split('(').next()?.trim()));
    }
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    Some(after[..end].to_owned())
}

/// The text before and after the word USING, which is in no quotes.
fn split_at_using(sql: &str) -> Option<(&str, &str)> {
    let mut tokens = Tokens::new(sql);
    let at = tokens.find(|(_, token)| token.eq_ignore_ascii_case("USING"))?.0;
    Some((&sql[..at], &sql[at + "USING".len()..]))
}

/// What stands between the parentheses and the commas at the outermost level.
fn arguments(sql: &str) -> Vec<&str> {
    let Some((_, after)) = split_at_using(sql) else { return Vec::new() };
    let (mut depth, mut start, mut found) = (0_u32, 0, Vec::new());
    for (at, token) in Tokens::new(after) {
        match token {
            "(" => {
                depth += 1;
                if depth == 1 {
                    start = at + 1;
                }
            }
            ")" => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    found.push(&after[start..at]);
                }
            }
            "," if depth == 1 => {
                found.push(&after[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// A name without its quotes of any kind.
fn unquoted(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next_back()) {
        (Some('['), Some(']')) => chars.as_str().to_owned(),
        (Some(open), Some(close)) if open == close && "\"'`".contains(open) => {
            chars.as_str().replace(&format!("{open}{open}"), &open.to_string())
        }
        _ => text.to_owned(),
    }
}

/// Words, quoted names and single characters, each with where it begins.
struct Tokens<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(text: &'a str) -> Tokens<'a> {
        Tokens { text, at: 0 }
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<(usize, &'a str)> {
        let rest = self.text.get(self.at..)?;
        let skipped = rest.len() - rest.trim_start().len();
        let (start, rest) = (self.at + skipped, rest.trim_start());
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let until =
            |close: char| rest[1..].find(close).map_or(rest.len(), |at| 1 + at + close.len_utf8());
        let length = match first {
            '"' | '\'' | '`' => until(first),
            '[' => until(']'),
            _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        self.at = start + length;
        Some((start, &rest[..length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t18_what_a_virtual_table_owns_is_read_from_its_statement() {
        let known = [
            ("CREATE VIRTUAL TABLE t USING fts5(a, b)", "fts5", Content::Own),
            ("CREATE VIRTUAL TABLE t USING fts5(a, content='')", "fts5", Content::Nowhere),
            (
                "CREATE VIRTUAL TABLE \"t using\" using FTS5 (a, Content = \"my docs\", content_rowid='id')",
                "FTS5",
                Content::Of("my docs".to_owned()),
            ),
            (
                "CREATE VIRTUAL TABLE t USING fts4(content=docs, a)",
                "fts4",
                Content::Of("docs".to_owned()),
            ),
            ("CREATE VIRTUAL TABLE t USING rtree(id, x0, x1)", "rtree", Content::Own),
            ("CREATE VIRTUAL TABLE t USING vec0(a float[8])", "vec0", Content::Unknown),
            (
                "CREATE VIRTUAL TABLE t USING fts5(a, tokenize = \"x, content=''\")",
                "fts5",
                Content::Own,
            ),
        ];
        for (sql, name, content) in known {
            assert_eq!(module(sql).as_deref(), Some(name), "{sql}");
            assert_eq!(Content::of(name, sql), content, "{sql}");
        }
    }
}
