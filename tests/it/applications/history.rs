//! What applications told of their commits, and the comparison with what is restored.

use std::collections::{BTreeMap, BTreeSet};

use ebbtide_replica::{Entry, EntryKind};

use super::program::{Answer, State};
use crate::scene::Compared;

/// All that was told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What the rows were after each transaction.
    rows: BTreeMap<u64, String>,
    /// What the pages were after it, and after what is done without one, such as VACUUM.
    pages: BTreeMap<u64, BTreeSet<String>>,
    /// How often an application was killed, each time with one transaction at most that it did not tell.
    pub(super) untold_max: usize,
    /// Two tellings of the same that differ.
    wrong: Vec<String>,
}

impl Told {
    /// An application said this.
    pub(super) fn tell(&mut self, answer: &Answer) {
        match answer {
            Answer::Committed(number, rows) => self.tell_rows(*number, rows),
            Answer::State(state) => {
                self.tell_rows(state.number, &state.rows);
                let pages = self.pages.entry(state.number).or_default();
                pages.extend(state.pages.clone());
            }
            Answer::Done | Answer::Failed(_) => {}
        }
    }

    fn tell_rows(&mut self, number: u64, rows: &str) {
        let known = self.rows.entry(number).or_insert_with(|| rows.to_owned());
        if known != rows {
            self.wrong.push(format!("transaction {number} is told in two ways"));
        }
    }

    /// How many transactions were told.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Compares what was restored, in order, with what was told.
    pub(super) fn compare(&self, restored: &[(Entry, State)], end: &State) -> Compared {
        let mut found = Compared { states: restored.len(), ..Compared::default() };
        found.wrong.clone_from(&self.wrong);
        let mut before = None;
        for (entry, state) in restored {
            found.gaps += usize::from(ebbtide_catalog::missed_since(entry).is_some());
            self.compare_rows(entry, state, before, &mut found);
            before = Some(state.number);
        }
        self.compare_pages(restored, &mut found);
        let rows = |state: &State| (state.number, state.rows.clone());
        if restored.last().map(|(_, state)| rows(state)) != Some(rows(end)) {
            found.wrong.push(format!("the history does not end with {end:?}"));
        }
        let last = self.rows.keys().next_back().copied().unwrap_or(0);
        let untold = usize::try_from(last).unwrap() + 1 - self.rows.len();
        if untold > self.untold_max {
            found.wrong.push(format!("{untold} transactions were not told"));
        }
        found
    }

    /// The rows are those that were told, and right after those before them.
    fn compare_rows(
        &self,
        entry: &Entry,
        state: &State,
        before: Option<u64>,
        found: &mut Compared,
    ) {
        let (kind, txid, number) = (entry.kind.name(), entry.txid, state.number);
        if self.rows.get(&number).is_some_and(|rows| *rows != state.rows) {
            found.phantoms += 1;
            found.wrong.push(format!("{kind} {txid} is not transaction {number}"));
        }
        let Some(before) = before else { return };
        if number < before {
            found.phantoms += 1;
            found.wrong.push(format!("{kind} {txid} falls back from {before} to {number}"));
        }
        if entry.kind == EntryKind::Commit && number > before + 1 {
            found.missing += 1;
            found.wrong.push(format!("{kind} {txid} jumps from {before} to {number}"));
        }
    }

    /// Each image that was told of a transaction is among those restored of it, unless a gap begins there.
    fn compare_pages(&self, restored: &[(Entry, State)], found: &mut Compared) {
        let mut images: BTreeMap<u64, BTreeSet<&String>> = BTreeMap::new();
        let mut gaps = BTreeSet::new();
        for (at, (entry, state)) in restored.iter().enumerate() {
            images.entry(state.number).or_default().extend(&state.pages);
            if entry.kind != EntryKind::Commit {
                // Neither what it ends with nor what came before it need be all there.
                gaps.insert(state.number);
                gaps.extend(at.checked_sub(1).map(|before| restored[before].1.number));
            }
        }
        for (number, restored) in images.iter().filter(|(number, _)| !gaps.contains(number)) {
            let told = self.pages.get(number).into_iter().flatten();
            if let Some(image) = told.into_iter().find(|image| !restored.contains(image)) {
                found.missing += 1;
                found.wrong.push(format!("transaction {number} was never restored as {image}"));
            }
        }
    }
}
