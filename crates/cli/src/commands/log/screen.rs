//! A history on a terminal: the newest entries first, what matters before that, and the next command at the end.

use std::collections::VecDeque;

use ebbtide_catalog::{ResyncDetail, StoredMark, Tally};
use ebbtide_replica::{Entry, EntryFlags, EntryKind, HorizonState, Timestamp, Txid};
use ebbtide_time::span;

use super::changed;
use super::line::LoggedEntry;
use crate::commands::remark::remark;
use crate::commands::{mark_line, quote, tally};
use crate::escape::OneLine;
use crate::screen::{Screen, Tone, cut, short};
use crate::terminal;

/// The newest entries that are shown, unless somebody wants more.
pub(super) const NEWEST: usize = 20;

/// The entries to be shown, the last of those that came.
pub(super) struct LogScreen {
    screen: Screen,
    most: usize,
    has_claims: bool,
    /// States of the history before it, of which every commit is kept.
    states: Vec<HorizonState>,
    entries: VecDeque<LoggedEntry>,
    /// How many there were that could be restored.
    count: u64,
    first: Option<Timestamp>,
}

impl LogScreen {
    /// The last `most` entries, those by which processes took over with them only if `has_claims`.
    pub(super) fn new(screen: Screen, most: Option<usize>, has_claims: bool) -> LogScreen {
        let most = most.unwrap_or(NEWEST);
        let (states, entries, count, first) = (Vec::new(), VecDeque::new(), 0, None);
        LogScreen { screen, most, has_claims, states, entries, count, first }
    }

    /// Adds a state that is kept of the history before.
    pub(super) fn add_state(&mut self, state: &HorizonState) {
        self.count += 1;
        self.first.get_or_insert(state.time);
        self.states.push(state.clone());
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, entry: LoggedEntry) {
        if entry.entry.kind == EntryKind::Claim && !self.has_claims {
            return;
        }
        self.count += 1;
        self.first.get_or_insert(entry.entry.time);
        self.entries.push_back(entry);
        if self.entries.len() > self.most {
            self.entries.pop_front();
        }
    }

    /// Those that are shown, the oldest first.
    pub(super) fn entries_mut(&mut self) -> &mut VecDeque<LoggedEntry> {
        &mut self.entries
    }

    /// All of it, with the lines of the summary that others know.
    pub(super) fn text(
        &self,
        place: &str,
        (counts, bytes): (&Tally, u64),
        marks: &[StoredMark],
        more: &[String],
        now: Timestamp,
    ) -> String {
        let columns = self.screen.columns;
        let mut text = String::new();
        let mut line = |line: &str| text += &format!("{}\n", OneLine(line));
        line(place);
        line(&self.extent(counts, bytes, now));
        let soft = |text: &str| self.screen.paint(Tone::Soft, text);
        text += &format!("{}\n\n", soft(&self.what_is_shown(now)));
        text += "      TXID  TIME                       PAGES       SIZE  WHAT\n";
        let mut after: Option<&LoggedEntry> = None;
        for shown in self.entries.iter().rev() {
            if let Some(after) = after
                && let Some(gap) = gap(&after.entry)
            {
                text += &format!("{}\n", self.screen.paint(Tone::Warn, &cut(&gap, columns)));
            }
            text += &format!("{}\n", self.row(shown, marks, now));
            after = Some(shown);
        }
        let room = self.most.saturating_sub(self.entries.len());
        for state in self.states.iter().rev().take(room) {
            let (time, why) = (self.screen.time(state.time, now), state.why.join(", "));
            let said =
                format!("{:>10}  {time:<25}  {:>5}  {:>9}  kept: {why}", short(state.txid), "", "");
            text += &format!("{}\n", cut(&OneLine(said).to_string(), columns));
        }
        let hidden = marks.iter().filter(|mark| !self.has(mark.mark.txid));
        for mark in hidden {
            let (txid, time) = (mark.mark.txid, mark.mark.contents.time);
            let said = format!(
                "{:>10}  {:<25}  ◆ {} ({})",
                short(txid),
                self.screen.time(time, now),
                mark.mark.contents.name,
                mark_line::lasts(mark, now)
            );
            text += &format!("{}\n", cut(&OneLine(said).to_string(), columns));
        }
        text += "\n";
        more.iter().for_each(|said| text += &format!("{}\n", OneLine(said)));
        if let Some(newest) = self.entries.back() {
            let txid = short(newest.entry.txid);
            text += &format!(
                "restore one:  ebbtide restore -o copy.db --txid {txid} {}\n",
                quote::word(place)
            );
        }
        text
    }

    fn has(&self, txid: Txid) -> bool {
        self.entries.iter().any(|shown| shown.entry.txid == txid)
    }

    fn extent(&self, counts: &Tally, bytes: u64, now: Timestamp) -> String {
        let newest = self.entries.back().map(|shown| shown.entry.time);
        let from_to = self.first.zip(newest).map_or(String::new(), |(first, newest)| {
            let time = |time| self.screen.time(time, now);
            format!(" from {} to {}", time(first), time(newest))
        });
        let states = terminal::number_of(self.count, "state");
        format!("{states}{from_to} · {} · {}", tally::text(counts), terminal::bytes(bytes))
    }

    fn what_is_shown(&self, now: Timestamp) -> String {
        let room = self.most.saturating_sub(self.entries.len());
        let shown = (self.entries.len() + self.states.len().min(room)) as u64;
        let of = match shown == self.count {
            true => String::new(),
            false => format!("; {shown} of {} (-n N, --all, --from WHEN)", self.count),
        };
        format!("{}; newest first{of}", self.screen.zone(now))
    }

    fn row(&self, shown: &LoggedEntry, marks: &[StoredMark], now: Timestamp) -> String {
        let entry = &shown.entry;
        let names = marks.iter().filter(|mark| mark.mark.txid == entry.txid);
        let names = names.map(|mark| format!("◆ {}", mark.mark.contents.name));
        // The gap has a line of its own.
        let said = remark(entry, shown.before);
        let said: Vec<&str> = said.split("; ").filter(|part| !part.starts_with("gap: ")).collect();
        let said = said.join("; ");
        let what = (!said.is_empty()).then(|| format!("{}{said}", sign(entry)));
        let rows = shown.rows.as_ref().map(changed::as_text);
        let what: Vec<String> = names.chain(what).chain(rows).collect();
        let pages = match entry.page_count {
            0 => "–".to_owned(),
            pages => pages.to_string(),
        };
        let line = format!(
            "{:>10}  {:<25}  {pages:>5}  {:>9}  {}",
            short(entry.txid),
            self.screen.time(entry.time, now),
            terminal::bytes(u64::from(entry.database_pages) * shown.page_bytes),
            what.join("; ")
        );
        let line = cut(OneLine(line.trim_end()).to_string().as_str(), self.screen.columns);
        match entry.kind {
            EntryKind::Claim => self.screen.paint(Tone::Soft, &line),
            EntryKind::Resync if gap(entry).is_some() => self.screen.paint(Tone::Warn, &line),
            _ => line,
        }
    }
}

fn sign(entry: &Entry) -> &'static str {
    let is_back = ResyncDetail::of(entry).is_some_and(|detail| detail.set_back_to.is_some());
    if is_back || entry.flags.contains(EntryFlags::FORK) { "⑂ " } else { "" }
}

/// The time before a resync during which nobody looked, as a line of its own.
fn gap(entry: &Entry) -> Option<String> {
    let since = ebbtide_catalog::missed_since(entry)?;
    let micros = entry.time.as_micros().saturating_sub(since.as_micros());
    Some(format!(
        "            ── {} of history missed: nobody followed the database ──",
        span(micros)
    ))
}
