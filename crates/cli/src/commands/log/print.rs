//! A history as it is shown: what comes before the entries, the entries, and what they amount to.

use std::collections::VecDeque;

use ebbtide_catalog::{CLOCKS_APART_MICROS_MAX, Listing, Notice, StoredMark, Tally};
use ebbtide_replica::{Entry, EntryFlags, EntryKind, Key, Manifest, Timestamp, Txid};
use serde_json::{Value, json};

use super::line::LoggedEntry;
use super::screen::LogScreen;
use crate::commands::thinned::{self, Thinned};
use crate::commands::{mark_line, tally};
use crate::when::Point;
use crate::{output, terminal};

/// Who looks.
pub(super) enum Output {
    /// A program.
    Json,
    /// A pipe.
    Lines,
    /// Somebody at a terminal.
    Screen(Box<LogScreen>),
}

/// Prints entries as they come.
pub(super) struct Print {
    form: Output,
    /// Only so many of the newest are shown, which are held until then.
    newest: Option<usize>,
    held: VecDeque<LoggedEntry>,
    from: Option<Point>,
    to: Option<Point>,
    tally: Tally,
    first: Option<Entry>,
    last: Option<Entry>,
    now: Timestamp,
    /// The first entry that is dated after now.
    ahead: Option<Txid>,
    /// The entry before the present one that was no claim.
    before: Option<Txid>,
    /// The last entry that was read.
    read: Option<Txid>,
    /// The first entries that are in no object, though some after them are.
    hole: Option<(Txid, Txid)>,
    /// Entries whose pages are in a snapshot alone.
    in_snapshots: Vec<Txid>,
}

impl Print {
    pub(super) fn new(
        form: Output,
        newest: Option<usize>,
        (from, to): (Option<Point>, Option<Point>),
        now: Timestamp,
    ) -> Print {
        let (tally, first, last, ahead) = (Tally::default(), None, None, None);
        let (before, read, hole, in_snapshots) = (None, None, None, Vec::new());
        let held = VecDeque::new();
        Print {
            form,
            newest,
            held,
            from,
            to,
            tally,
            first,
            last,
            now,
            ahead,
            before,
            read,
            hole,
            in_snapshots,
        }
    }

    pub(super) fn head(&self, place: &str, manifest: &Manifest) {
        if !matches!(self.form, Output::Lines) {
            return;
        }
        output::line(format_args!(
            "replica {} in {place}, pages of {} bytes, since {}",
            manifest.replica, manifest.page_size, manifest.created
        ));
        output::line("TXID              TIME                         WHAT      PAGES     DATABASE");
    }

    /// The history begins with the window; before that there are single states.
    pub(super) fn begin_after(&mut self, thinned: &Thinned) {
        self.read = thinned.window().previous();
        for state in thinned.states() {
            let early = self.from.is_some_and(|from| from.is_after(state.txid, state.time));
            let late = self.to.is_some_and(|to| to.is_before(state.txid, state.time));
            if early || late {
                continue;
            }
            match &mut self.form {
                Output::Json => output::json(thinned::as_json(state)),
                Output::Lines => output::line(thinned::as_text(state)),
                Output::Screen(screen) => screen.add_state(state),
            }
        }
    }

    /// Notes an entry; whether it is to be shown.
    pub(super) fn note(&mut self, entry: &Entry) -> bool {
        let expected = self.read.map_or(Txid::FIRST, Txid::next);
        if let Some(last) = entry.txid.previous().filter(|&last| last >= expected) {
            self.hole.get_or_insert((expected, last));
        }
        self.read = Some(entry.txid);
        self.before = self.last.as_ref().map(|last| last.txid);
        if entry.kind != EntryKind::Claim {
            self.first.get_or_insert_with(|| entry.clone());
            self.last = Some(entry.clone());
        }
        if entry.flags.contains(EntryFlags::IN_SNAPSHOT) {
            self.in_snapshots.push(entry.txid);
        }
        if entry.time > self.now {
            self.ahead.get_or_insert(entry.txid);
        }
        let early = self.from.is_some_and(|from| from.is_after(entry.txid, entry.time));
        let late = self.to.is_some_and(|to| to.is_before(entry.txid, entry.time));
        !early && !late
    }

    pub(super) fn entry(&mut self, entry: &Entry, page_bytes: u64, rows: Option<&Value>) {
        self.tally.add(entry);
        let (entry, before, rows) = (entry.clone(), self.before, rows.cloned());
        let held = LoggedEntry { entry, before, rows, page_bytes };
        match (&mut self.form, self.newest) {
            (Output::Screen(screen), _) => screen.add(held),
            (_, None) => held.print(matches!(self.form, Output::Json)),
            (_, Some(most)) => {
                self.held.push_back(held);
                if self.held.len() > most {
                    self.held.pop_front();
                }
            }
        }
    }

    /// Whether entries are held until the end, so that it is not known before which of them are shown.
    pub(super) fn is_holding(&self) -> bool {
        self.newest.is_some() || matches!(self.form, Output::Screen(_))
    }

    /// Those that are held, the oldest first.
    pub(super) fn held(&mut self) -> &mut VecDeque<LoggedEntry> {
        match &mut self.form {
            Output::Screen(screen) => screen.entries_mut(),
            Output::Json | Output::Lines => &mut self.held,
        }
    }

    pub(super) fn end(
        &mut self,
        place: &str,
        listing: &Listing,
        marks: &[StoredMark],
        thinned: Option<&Thinned>,
    ) {
        if self.read.is_none() && thinned.is_none() {
            // All of the log is gone, if there is anything besides.
            let newest = listing.snapshots.last().and_then(|snapshot| snapshot.key.state());
            self.hole = newest.map(|newest| (Txid::FIRST, newest));
        }
        let is_json = matches!(self.form, Output::Json);
        self.held.drain(..).for_each(|held| held.print(is_json));
        match &self.form {
            Output::Json => self.json(listing, marks, thinned),
            Output::Lines => {
                marks.iter().for_each(|mark| output::line(mark_as_text(mark, self.now)));
                let bytes = listing.objects().map(|object| object.size).sum();
                output::line(self.objects(listing, bytes));
                output::line(tally::text(&self.tally));
                self.can_be_restored(listing, thinned).iter().for_each(output::line);
            }
            Output::Screen(screen) => {
                let bytes = listing.objects().map(|object| object.size).sum();
                let more = self.can_be_restored(listing, thinned);
                let text = screen.text(place, (&self.tally, bytes), marks, &more, self.now);
                output::lines(&text);
            }
        }
    }

    fn json(&self, listing: &Listing, marks: &[StoredMark], thinned: Option<&Thinned>) {
        marks.iter().for_each(|mark| output::json(mark_line::as_json(mark)));
        for snapshot in &listing.snapshots {
            if let Key::Snapshot(txid) = snapshot.key {
                let line =
                    json!({"what": "snapshot", "txid": txid.to_string(), "bytes": snapshot.size});
                output::json(line);
            }
        }
        for delta in &listing.deltas {
            if let Key::Delta { first, last } = delta.key {
                let (first, last) = (first.to_string(), last.to_string());
                let line = json!({"what": "delta", "first_txid": first, "txid": last, "bytes": delta.size});
                output::json(line);
            }
        }
        let mut summary = tally::json(&self.tally);
        summary["first_txid_ahead"] = self.ahead().map(|txid| txid.to_string()).into();
        summary["first_txid_missing"] = self.hole.map(|(first, _)| first.to_string()).into();
        summary["first_txid"] = self.first.as_ref().map(|first| first.txid.to_string()).into();
        summary["last_txid"] = self.last.as_ref().map(|last| last.txid.to_string()).into();
        summary["every_commit_from"] = thinned.map(|thinned| thinned.window().to_string()).into();
        summary["kept_states"] = thinned.map_or(0, |thinned| thinned.states().len()).into();
        summary["last_time"] = self.last.as_ref().map(|last| last.time.to_string()).into();
        output::json(summary);
    }

    /// The first entry that is dated after now, if a clock was wrong and not only another one.
    fn ahead(&self) -> Option<Txid> {
        let newest = self.last.as_ref()?.time.as_micros();
        let ahead = newest.saturating_sub(self.now.as_micros());
        self.ahead.filter(|_| ahead > CLOCKS_APART_MICROS_MAX)
    }

    fn objects(&self, listing: &Listing, bytes: u64) -> String {
        let snapshots = listing.snapshots.iter().filter_map(|object| object.key.state());
        let snapshots: Vec<String> = snapshots.map(|txid| txid.to_string()).collect();
        format!(
            "{} entries shown; {} segments, {} packs, {} deltas; {} in all; snapshots at {}",
            self.tally.entries,
            listing.log.len(),
            listing.packs.len(),
            listing.deltas.len(),
            terminal::bytes(bytes),
            if snapshots.is_empty() { "none".to_owned() } else { snapshots.join(", ") }
        )
    }

    /// What can be restored of it, in lines.
    fn can_be_restored(&self, listing: &Listing, thinned: Option<&Thinned>) -> Vec<String> {
        let mut lines: Vec<String> =
            thinned.into_iter().flat_map(|thinned| thinned.summary(listing)).collect();
        let ahead = self.ahead().zip(self.last.as_ref());
        if let Some((first, last)) = ahead {
            let (newest, until) = (last.txid, last.time);
            let notice = Notice::Ahead { first, newest, until, is_without: false };
            lines.push(format!("note: {notice}"));
        }
        lines.push(self.extent(listing, thinned));
        lines
    }

    fn extent(&self, listing: &Listing, thinned: Option<&Thinned>) -> String {
        if let Some((first, last)) = self.hole {
            return format!(
                "can be restored: not all of this, because entries {first} to {last} are in no object; `ebbtide verify` \
                 says what can be"
            );
        }
        let has_snapshot =
            |txid: &Txid| listing.snapshots.iter().any(|object| object.key == Key::Snapshot(*txid));
        if let Some(missing) = self.in_snapshots.iter().find(|txid| !has_snapshot(txid)) {
            return format!(
                "can be restored: not all of this, because {} is missing; `ebbtide verify` says what can be",
                Key::Snapshot(*missing)
            );
        }
        let older = thinned.is_some_and(|thinned| !thinned.states().is_empty());
        match self.first.as_ref().zip(self.last.as_ref()) {
            Some((first, last)) => format!(
                "can be restored: any txid from {} of {} to {} of {}{}",
                first.txid,
                first.time,
                last.txid,
                last.time,
                if older { ", and each state before that" } else { "" }
            ),
            None if older => "can be restored: each state that is listed".to_owned(),
            None => {
                "nothing can be restored yet: the replica holds no state of the database".to_owned()
            }
        }
    }
}

fn mark_as_text(stored: &StoredMark, now: Timestamp) -> String {
    let StoredMark { mark, .. } = stored;
    let (txid, time, name) = (mark.txid, mark.contents.time, &mark.contents.name);
    format!("{txid}  {time}  mark      {name}  ({})", mark_line::lasts(stored, now))
}
