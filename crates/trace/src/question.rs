//! A question: a query whose answer the database alone decides.

use std::fmt;

/// Functions whose value is another one each time, or depends on what a connection did before.
const REFUSED: [&str; 7] = [
    "random",
    "randomblob",
    "changes",
    "total_changes",
    "last_insert_rowid",
    "load_extension",
    "ebbtide",
];

/// A query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    sql: String,
    is_ordered: bool,
}

/// Why a query is no question.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unsuitable {
    /// It is not one statement.
    NotOne,
    /// It is no statement that gives rows, or one that also changes something.
    NoQuery,
    /// It uses this function.
    Function(String),
    /// It asks for the time of day.
    Clock,
    /// SQLite does not understand it.
    Syntax(String),
}

impl Question {
    /// The question that this query asks. Whether it is suitable, asking it tells.
    #[must_use]
    pub fn new(sql: &str) -> Question {
        let sql = sql.trim().trim_end_matches(';').trim_end().to_owned();
        let is_ordered = words_of(&sql).windows(2).any(|pair| pair == ["order", "by"]);
        Question { sql, is_ordered }
    }

    /// The query.
    #[must_use]
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Whether the order of its rows is a part of the answer.
    #[must_use]
    pub fn is_ordered(&self) -> bool {
        self.is_ordered
    }
}

/// Whether a query with this function is no question.
pub(crate) fn is_refused(function: &str) -> bool {
    REFUSED.iter().any(|refused| refused.eq_ignore_ascii_case(function))
}

/// The words of a query in lower case, without what is quoted.
fn words_of(sql: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = sql.chars();
    let mut word = String::new();
    while let Some(next) = rest.next() {
        if next.is_alphanumeric() || next == '_' {
            word.extend(next.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        let closing = match next {
            '\'' | '"' | '`' => next,
            '[' => ']',
            _ => continue,
        };
        // A doubled quote ends one and begins another, which comes to the same.
        rest.by_ref().find(|&end| end == closing);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

impl std::error::Error for Unsuitable {}

impl fmt::Display for Unsuitable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unsuitable::NotOne => f.write_str("the question has to be one statement"),
            Unsuitable::NoQuery => {
                f.write_str("the question has to be a query, such as SELECT count(*) FROM orders")
            }
            Unsuitable::Function(name) => write!(
                f,
                "the question uses {name}(), whose value is not decided by the database: ask without it"
            ),
            Unsuitable::Clock => f.write_str(
                "the question asks for the time of day ('now'), so its answer is not decided by the database: write the \
                 time that is meant",
            ),
            Unsuitable::Syntax(message) => write!(f, "the question is no SQL: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_ordered_if_it_says_so_outside_of_quotes() {
        let is_ordered = |sql| Question::new(sql).is_ordered();
        assert!(is_ordered("SELECT a FROM t ORDER\n BY a;"));
        assert!(is_ordered("select 'x''y' from t order by 1"));
        assert!(!is_ordered("SELECT 'order by', \"order by\", [order by] FROM t"));
        assert!(!is_ordered("SELECT reorder, by_hand FROM t"));
        assert_eq!(Question::new(" SELECT 1 ; ").sql(), "SELECT 1");
    }
}
