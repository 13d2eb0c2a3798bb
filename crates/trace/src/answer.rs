//! What a question was answered, as far as it has to be told and compared.

use std::fmt;

use ebbtide_rows::{Literal, Value, ValueRef};

/// So many rows are kept to be shown…
const ROWS_SHOWN: usize = 20;
/// …of so many bytes together at most.
const BYTES_SHOWN: usize = 64 * 1024;

/// An answer: the beginning of its rows, and what tells it from every other one.
#[derive(Debug, Clone)]
pub struct Answer {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
    count: u64,
    print: Print,
}

/// What tells two answers from each other: the sum of the hashes of the rows where their order does not matter, and one
/// hash over all where it does; or what SQLite says in the place of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Print {
    Rows([u128; 2]),
    Fault(String),
}

impl PartialEq for Answer {
    fn eq(&self, other: &Answer) -> bool {
        self.count == other.count && self.print == other.print
    }
}

impl Eq for Answer {}

impl Answer {
    /// SQLite cannot answer: there is no such table yet, or no more.
    pub(crate) fn fault(message: String) -> Answer {
        Answer { columns: Vec::new(), rows: Vec::new(), count: 0, print: Print::Fault(message) }
    }

    /// Why SQLite could not answer, if it could not.
    #[must_use]
    pub fn why_not(&self) -> Option<&str> {
        match &self.print {
            Print::Fault(message) => Some(message),
            Print::Rows(_) => None,
        }
    }

    /// The names of the columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The first rows.
    #[must_use]
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// How many rows there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The value, if the answer is a single one.
    #[must_use]
    pub fn value(&self) -> Option<&Value> {
        match (self.count, self.rows.first().map(Vec::as_slice)) {
            (1, Some([value])) => Some(value),
            _ => None,
        }
    }

    /// The value as a number, if the answer is a single number.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self.value()? {
            // What is lost beyond 2^53 only matters between neighbours.
            Value::Integer(integer) => Some(*integer as f64),
            Value::Real(real) => Some(*real),
            _ => None,
        }
    }

    /// The rows that are shown of `self` and not of `after`, and the other way round.
    #[must_use]
    pub fn difference<'a>(&'a self, after: &'a Answer) -> Difference<'a> {
        Difference {
            gone: without(&self.rows, &after.rows),
            come: without(&after.rows, &self.rows),
        }
    }
}

/// The rows in which two answers differ, as far as both are shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference<'a> {
    /// Those of the earlier one.
    pub gone: Vec<&'a [Value]>,
    /// Those of the later one.
    pub come: Vec<&'a [Value]>,
}

/// Those of `rows` that are not in `others`, each as often as it is more often there.
fn without<'a>(rows: &'a [Vec<Value>], others: &[Vec<Value>]) -> Vec<&'a [Value]> {
    let mut others: Vec<Option<&Vec<Value>>> = others.iter().map(Some).collect();
    let mut left = Vec::new();
    for row in rows {
        match others.iter_mut().find(|other| **other == Some(row)) {
            Some(other) => *other = None,
            None => left.push(row.as_slice()),
        }
    }
    left
}

/// A single value as itself, several rows as rows, everything as SQL writes it.
impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.print, self.value()) {
            (Print::Fault(message), _) => write!(f, "({message})"),
            (Print::Rows(_), Some(value)) => write!(f, "{}", Literal::new(value.as_ref())),
            (Print::Rows(_), None) if self.count == 0 => f.write_str("(no rows)"),
            (Print::Rows(_), None) if self.count == 1 && self.rows.len() == 1 => {
                f.write_str(&row(&self.rows[0]))
            }
            (Print::Rows(_), None) => write!(f, "({} rows)", self.count),
        }
    }
}

/// A row as SQL writes it.
pub(crate) fn row(values: &[Value]) -> String {
    let values = values.iter().map(|value| Literal::new(value.as_ref()).to_string());
    format!("({})", values.collect::<Vec<_>>().join(", "))
}

/// An answer in the making.
#[derive(Debug)]
pub(crate) struct Answering {
    answer: Answer,
    is_ordered: bool,
    all: blake3::Hasher,
    sum: [u128; 2],
    bytes: usize,
}

impl Answering {
    /// An answer with these columns, in which the order of the rows matters or does not.
    pub(crate) fn new(columns: Vec<String>, is_ordered: bool) -> Answering {
        let print = Print::Rows([0; 2]);
        let answer = Answer { columns, rows: Vec::new(), count: 0, print };
        Answering { answer, is_ordered, all: blake3::Hasher::new(), sum: [0; 2], bytes: 0 }
    }

    /// Takes the next row.
    pub(crate) fn take(&mut self, row: &[ValueRef<'_>]) {
        let mut hasher = blake3::Hasher::new();
        let mut bytes = 0;
        for value in row {
            bytes += feed(&mut hasher, *value);
        }
        let hash = hasher.finalize();
        match self.is_ordered {
            true => drop(self.all.update(hash.as_bytes()).count()),
            false => {
                for (sum, half) in self.sum.iter_mut().zip(halves(&hash)) {
                    *sum = sum.wrapping_add(half);
                }
            }
        }
        self.answer.count += 1;
        if self.answer.rows.len() < ROWS_SHOWN && self.bytes + bytes <= BYTES_SHOWN {
            self.bytes += bytes;
            self.answer.rows.push(row.iter().map(|&value| ValueRef::to_owned(value)).collect());
        }
    }

    /// The answer.
    pub(crate) fn end(self) -> Answer {
        let sum = if self.is_ordered { halves(&self.all.finalize()) } else { self.sum };
        Answer { print: Print::Rows(sum), ..self.answer }
    }
}

fn halves(hash: &blake3::Hash) -> [u128; 2] {
    let half = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[at..at + 16]);
        u128::from_le_bytes(bytes)
    };
    [half(0), half(16)]
}

/// A value into a hash, so that no two rows look alike; how many bytes it has.
fn feed(hasher: &mut blake3::Hasher, value: ValueRef<'_>) -> usize {
    let mut write = |class: u8, bytes: &[u8]| {
        hasher.update(&[class]);
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
        bytes.len()
    };
    match value {
        ValueRef::Null => write(0, &[]),
        ValueRef::Integer(integer) => write(1, &integer.to_le_bytes()),
        ValueRef::Real(real) => write(2, &real.to_bits().to_le_bytes()),
        ValueRef::Text(text) => write(3, text),
        ValueRef::Blob(blob) => write(4, blob),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(is_ordered: bool, rows: &[&[i64]]) -> Answer {
        let mut answering = Answering::new(vec!["a".to_owned()], is_ordered);
        for row in rows {
            answering.take(&row.iter().map(|&value| ValueRef::Integer(value)).collect::<Vec<_>>());
        }
        answering.end()
    }

    #[test]
    fn the_order_of_rows_matters_only_where_the_question_has_one() {
        assert_eq!(answer(false, &[&[1], &[2]]), answer(false, &[&[2], &[1]]));
        assert_ne!(answer(true, &[&[1], &[2]]), answer(true, &[&[2], &[1]]));
        assert_ne!(answer(false, &[&[1], &[1]]), answer(false, &[&[1]]));
        assert_ne!(answer(false, &[&[1, 2]]), answer(false, &[&[1], &[2]]));
    }

    #[test]
    fn a_difference_has_each_row_as_often_as_it_is_more_often_there() {
        let (before, after) = (answer(false, &[&[1], &[1], &[2]]), answer(false, &[&[1], &[3]]));
        let difference = before.difference(&after);
        assert_eq!(difference.gone, [&[Value::Integer(1)][..], &[Value::Integer(2)]]);
        assert_eq!(difference.come, [&[Value::Integer(3)][..]]);
    }

    #[test]
    fn one_and_one_point_zero_are_two_answers() {
        let one = |value| {
            let mut answering = Answering::new(Vec::new(), false);
            answering.take(&[value]);
            answering.end()
        };
        assert_ne!(one(ValueRef::Integer(1)), one(ValueRef::Real(1.0)));
        assert_ne!(one(ValueRef::Text(b"a")), one(ValueRef::Blob(b"a")));
        assert_eq!(one(ValueRef::Real(1.0)).to_string(), "1.0");
        assert_eq!(one(ValueRef::Null).number(), None);
    }
}
