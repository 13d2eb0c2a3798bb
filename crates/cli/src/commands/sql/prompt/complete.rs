//! What a word may become, and whether a statement goes on in the next line.

use ebbtide_sql::{Past, is_complete};
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};

/// Words of SQL that are worth completing.
const KEYWORDS: &[&str] = &[
    "ATTACH",
    "BETWEEN",
    "CREATE",
    "DELETE",
    "DISTINCT",
    "EXCEPT",
    "EXPLAIN",
    "FROM",
    "GROUP BY",
    "HAVING",
    "INSERT INTO",
    "INTERSECT",
    "LEFT JOIN",
    "LIMIT",
    "ORDER BY",
    "PRAGMA",
    "SELECT",
    "UNION ALL",
    "UPDATE",
    "VALUES",
    "WHERE",
    "WITH",
];

/// The names of the tables and columns, and keywords.
pub(super) struct Names {
    words: Vec<String>,
}

impl Names {
    /// Those of a connection; without those that cannot be read.
    pub(super) fn of(past: &Past) -> Names {
        let mut words: Vec<String> = KEYWORDS.iter().map(|&word| word.to_owned()).collect();
        let schemas: Vec<String> = std::iter::once("main")
            .chain(past.moments().map(|(name, _)| name))
            .map(str::to_owned)
            .collect();
        words.extend(schemas.iter().cloned());
        for schema in &schemas {
            if let Err(error) = names(past, schema, &mut words) {
                tracing::debug!(%error, schema, "its names cannot be completed");
            }
        }
        words.sort();
        words.dedup();
        Names { words }
    }
}

fn names(past: &Past, schema: &str, words: &mut Vec<String>) -> rusqlite::Result<()> {
    let mut statement = past.prepare(
        "SELECT l.name FROM pragma_table_list l WHERE l.schema = ?1 AND l.type <> 'shadow'
         UNION SELECT i.name FROM pragma_table_list l, pragma_table_info(l.name, l.schema) i
         WHERE l.schema = ?1 AND l.type <> 'shadow' AND l.name NOT LIKE 'sqlite%'",
    )?;
    let mut rows = statement.query([schema])?;
    while let Some(row) = rows.next()? {
        words.push(row.get(0)?);
    }
    Ok(())
}

/// Where the word begins that ends the text.
fn word_begin(text: &str) -> usize {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.char_indices()
        .rev()
        .take_while(|(_, c)| is_part(*c))
        .last()
        .map_or(text.len(), |(at, _)| at)
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> Result<(usize, Vec<String>)> {
        let begin = word_begin(&line[..at]);
        let word = line[begin..at].to_lowercase();
        if word.is_empty() {
            return Ok((begin, Vec::new()));
        }
        let fitting = self.words.iter().filter(|known| known.to_lowercase().starts_with(&word));
        Ok((begin, fitting.cloned().collect()))
    }
}

impl Hinter for Names {
    type Hint = String;
}

impl Highlighter for Names {}

impl Validator for Names {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        let text = context.input().trim();
        let is_done = text.is_empty() || text.starts_with('.') || is_complete(text);
        Ok(if is_done { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for Names {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_completed_whatever_stands_before_it() {
        for (text, begin) in
            [("", 0), ("SEL", 0), ("SELECT or", 7), ("main.o", 5), ("(a,ö", 3), ("a ", 2)]
        {
            assert_eq!(word_begin(text), begin, "{text}");
        }
    }
}
