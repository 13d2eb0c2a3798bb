//! The types of all columns: each by its own values, and those at the two ends of a foreign key in agreement.

use std::collections::BTreeSet;

use ebbtide_rows::Table;

use super::cast::Cast;
use super::choice::{Asked, Choice};
use super::decide::{by_storage, decide};
use super::encode::Misfit;
use super::family::Family;
use super::links::Link;
use super::scan::{Scanned, Trial, columns_read};
use super::target::Target;
use crate::error::{ExportError, Result};
use crate::nul::NulPolicy;
use crate::report::Finding;

/// What is known of a table when its columns get their types.
#[derive(Debug)]
pub(crate) struct Looked<'a> {
    pub(crate) table: &'a Table,
    pub(crate) scanned: Scanned,
    /// Of each column that is read.
    pub(crate) choices: Vec<Choice>,
}

impl Looked<'_> {
    /// The choice for a column by its place in the table.
    pub(crate) fn choice(&self, column: usize) -> Option<&Choice> {
        self.place(column).and_then(|place| self.choices.get(place))
    }

    /// Its place among those that are read.
    pub(crate) fn place(&self, column: usize) -> Option<usize> {
        columns_read(self.table).position(|(index, _)| index == column)
    }
}

/// The types that were said for the columns of a table.
pub(crate) fn said(table: &Table, casts: &[Cast], nul: NulPolicy) -> Vec<Option<Target>> {
    let of_column = |name: &str| {
        let is_it = |cast: &&Cast| {
            cast.table.eq_ignore_ascii_case(&table.name) && cast.column.eq_ignore_ascii_case(name)
        };
        casts.iter().rev().find(is_it).map(|cast| Target {
            pg_type: cast.pg_type,
            reading: cast.reading,
            strips_nul: nul == NulPolicy::Strip,
        })
    };
    columns_read(table).map(|(_, column)| of_column(&column.name)).collect()
}

/// Refuses a word about a column that is not there.
pub(crate) fn check_casts(tables: &[&Table], casts: &[Cast]) -> Result<()> {
    for cast in casts {
        let table = tables.iter().find(|table| table.name.eq_ignore_ascii_case(&cast.table));
        let column = table.and_then(|table| table.column(&cast.column));
        if column.is_none() {
            let why = format!("--cast: no column {}.{} is exported", cast.table, cast.column);
            return Err(ExportError::Usage(why));
        }
    }
    Ok(())
}

/// Chooses for each column by itself.
pub(crate) fn choose(
    table: &Table,
    scanned: &Scanned,
    keys: &BTreeSet<usize>,
    nul: NulPolicy,
) -> Vec<Choice> {
    let choice = |(place, (index, column)): (usize, (usize, &ebbtide_rows::Column))| {
        if let Some(Some(trial)) = scanned.trials.get(place) {
            return of_trial(trial);
        }
        let name = format!("{}.{}", table.name, column.name);
        decide(&Asked {
            declared: &column.declared,
            family: Family::of(&column.declared),
            facts: &scanned.facts[place],
            is_key: keys.contains(&index),
            name: &name,
            nul,
        })
    };
    columns_read(table).enumerate().map(choice).collect()
}

/// What is to be said of a type that was said.
fn of_trial(trial: &Trial) -> Choice {
    let pg_type = trial.target.pg_type;
    let mut findings = Vec::new();
    if let Some((value, misfit)) = &trial.first_misfit {
        let why = match misfit {
            Misfit::Class => "is of another storage class",
            Misfit::Range => "is beyond its bounds",
            Misfit::Form => "is not written so",
            Misfit::Nul => "has a NUL",
            Misfit::Encoding => "is not UTF-8",
        };
        let what = format!("not all are {pg_type}: {value} {why}");
        findings.push(Finding::refused(what).of(trial.misfits).word("another --cast"));
    }
    if trial.lossy > 0 {
        findings
            .push(Finding::coerced(format!("lost a part by becoming {pg_type}")).of(trial.lossy));
    }
    if trial.changed > 0 {
        findings.push(Finding::coerced(format!("became {pg_type}")).of(trial.changed));
    }
    Choice { target: trial.target, findings }
}

/// Has the two ends of foreign keys agree where both can. A type goes from key to key in a round, so there are no more
/// rounds than keys, and what disagrees then disagrees.
pub(crate) fn agree(tables: &mut [Looked<'_>], links: &[Link], nul: NulPolicy) {
    for _ in links {
        let mut changed = false;
        for link in links {
            for (from, to) in link.from.iter().zip(&link.to) {
                changed |= agree_one(tables, (link.child, *from), (link.parent, *to), nul);
            }
        }
        if !changed {
            return;
        }
    }
}

/// Whether something was changed.
fn agree_one(
    tables: &mut [Looked<'_>],
    child: (usize, usize),
    parent: (usize, usize),
    nul: NulPolicy,
) -> bool {
    let pg_type = |(table, column): (usize, usize)| -> Option<_> {
        let looked: &Looked<'_> = &tables[table];
        Some((
            looked.choice(column)?.target.pg_type,
            looked.scanned.facts[looked.place(column)?].values(),
        ))
    };
    let (Some((from, values)), Some((to, there))) = (pg_type(child), pg_type(parent)) else {
        return false;
    };
    if from.can_refer_to(to) {
        return false;
    }
    if values == 0 {
        return set(tables, child, Target::plain(to));
    }
    if there == 0 {
        return set(tables, parent, Target::plain(from));
    }
    let (of_child, of_parent) = (demote(tables, child, nul), demote(tables, parent, nul));
    of_child || of_parent
}

fn set(tables: &mut [Looked<'_>], (table, column): (usize, usize), target: Target) -> bool {
    let looked = &mut tables[table];
    let Some(place) = looked.place(column) else { return false };
    let is_said = matches!(looked.scanned.trials.get(place), Some(Some(_)));
    if is_said || looked.choices[place].target == target {
        return false;
    }
    let what = format!("no values: {} as at the other end of a foreign key", target.pg_type);
    looked.choices[place] = Choice { target, findings: vec![Finding::coerced(what)] };
    true
}

/// Gives a column the type of its storage class.
fn demote(tables: &mut [Looked<'_>], (table, column): (usize, usize), nul: NulPolicy) -> bool {
    let looked = &mut tables[table];
    let Some(place) = looked.place(column) else { return false };
    if matches!(looked.scanned.trials.get(place), Some(Some(_))) {
        return false;
    }
    let declared = &looked.table.columns[column].declared;
    let name = format!("{}.{}", looked.table.name, looked.table.columns[column].name);
    let mut choice = by_storage(&Asked {
        declared,
        family: Family::of(declared),
        facts: &looked.scanned.facts[place],
        is_key: true,
        name: &name,
        nul,
    });
    if choice.target == looked.choices[place].target {
        return false;
    }
    let what = format!(
        "{} for the sake of a foreign key, whose other end is no {}",
        choice.target.pg_type, looked.choices[place].target.pg_type
    );
    choice.findings.push(Finding::coerced(what).of(looked.scanned.facts[place].values()));
    looked.choices[place] = choice;
    true
}
