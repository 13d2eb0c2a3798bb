//! A table of both sides, or of one, and how its rows find each other.

use super::super::collation::Collation;
use super::super::encoding::Encoding;
use super::super::table::{Table, TableKind};
use super::super::value::Value;

/// Which sides have a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// Both: it is compared.
    Both,
    /// The old one alone: the column was dropped. It is not compared.
    Old,
    /// The new one alone: the column was added. The old rows have its default, as SQLite reads them.
    New,
    /// It is the rowid, which no column shows.
    Rowid,
}

/// One value of each row: a column whose values are stored, or the rowid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name of the column, or one by which the rowid can be named.
    pub name: String,
    /// Which sides have it.
    pub on: On,
    /// What a row of a side without the column has there.
    pub default: Value,
}

/// One part of the key by which rows are paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPart {
    /// Its field.
    pub field: usize,
    /// The order of its texts.
    pub collation: Collation,
    /// Whether the greatest comes first.
    pub is_descending: bool,
}

/// By what rows of both sides are taken for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// The rowid, or the INTEGER PRIMARY KEY, which is another name of it.
    Rowid,
    /// The declared key.
    Key,
    /// All values: a row is either there or not, and as often as it is.
    WholeRow,
}

impl Pairing {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Pairing::Rowid => "rowid",
            Pairing::Key => "key",
            Pairing::WholeRow => "whole row",
        }
    }
}

/// A table as it is compared.
#[derive(Debug, Clone)]
pub struct TablePair<'a> {
    /// Its name, as the new side has it.
    pub name: &'a str,
    /// The table of the old side.
    pub old: Option<&'a Table>,
    /// The table of the new side.
    pub new: Option<&'a Table>,
    /// What each row has: the new side's columns in order, then those that only the old side has.
    pub fields: Vec<Field>,
    /// By what rows are paired.
    pub pairing: Pairing,
    /// The key of the pairing, which is also the order of the rows; empty for whole rows.
    pub key: Vec<KeyPart>,
    /// The encoding of both sides.
    pub encoding: Encoding,
    /// Whether two rows of one rowid that have no value in common are another row each, because rowids that no column
    /// shows may have been given out again.
    pub(super) splits_strangers: bool,
}

impl TablePair<'_> {
    /// The table that there is, the new one if there are two.
    #[must_use]
    pub fn table(&self) -> &Table {
        self.new.or(self.old).expect("a pair has a table")
    }

    /// Whether a row is found by a rowid that no column shows.
    #[must_use]
    pub fn has_implicit_rowid(&self) -> bool {
        self.fields.first().is_some_and(|field| field.on == On::Rowid)
    }

    /// Whether its rows are written through a module.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        matches!(self.table().kind, TableKind::Virtual { .. })
    }

    /// Whether the field is part of the key.
    #[must_use]
    pub fn is_key(&self, field: usize) -> bool {
        self.key.iter().any(|part| part.field == field)
    }

    /// The fields whose values are compared, which are not those of the key if rows are paired by the rowid.
    pub(super) fn compared(&self) -> Vec<usize> {
        let is_paired_by = |at: &usize| self.pairing == Pairing::Rowid && self.is_key(*at);
        let is_compared =
            |at: &usize| matches!(self.fields[*at].on, On::Both | On::New) && !is_paired_by(at);
        (0..self.fields.len()).filter(is_compared).collect()
    }
}
