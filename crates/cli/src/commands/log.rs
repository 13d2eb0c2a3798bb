//! `ebbtide log`: the history of a replica.

mod changed;
mod kept;

use std::pin::pin;

use ebbtide_catalog::{self, Identity, Listing, ResyncDetail};
use ebbtide_catalog::{CLOCKS_APART_MICROS_MAX, Notice, StoredMark, Tally};
use ebbtide_replica::{Claim, Entry, EntryFlags, EntryKind, Key, Manifest, Timestamp, Txid};
use ebbtide_store::{Store, StoreError};
use futures::TryStreamExt as _;
use serde_json::{Value, json};

use changed::Changed;

use super::remark::remark;
use super::tally;
use super::thinned::{self, Thinned};
use super::{drill, mark_line, marked, unreadable};
use crate::args::Log;
use crate::exit::{Code, Failure, Outcome};
use crate::source::Source;
use crate::when::{Point, When};
use crate::{clock, logging, output, terminal};

/// Runs the command.
///
/// # Errors
/// When there is no replica, or it cannot be read.
pub(crate) async fn run(args: Log) -> Result<Outcome, Failure> {
    let source = Source::find(&args.source, &args.access)?;
    let now = ebbtide_sidecar::clock::now();
    let (from, to) = (bound(args.from.as_ref(), now)?, bound(args.to.as_ref(), now)?);
    check_order(from, to, now)?;
    let store = source.open().await?;
    let identity = ebbtide_catalog::identify(&*store, None).await.map_err(unreadable)?;
    let Some(Identity { manifest, .. }) = identity else {
        let why = format!("there is no replica in {}: check the address", store.describe());
        return Err(Failure::new(Code::Nothing, why));
    };
    let listing = list(&*store).await.map_err(|error| Failure::new(Code::Failed, error))?;
    let marks = marked::shown(&store, &manifest).await?;
    let thinned = Thinned::read(&*store, &manifest).await.map_err(unreadable)?;
    let mut changed = match args.tables || args.changed.is_some() {
        true => Some(Changed::open(&source).await?),
        false => None,
    };
    let mut print = Print::new(args.json, from, to, now);
    print.head(&store.describe(), &manifest);
    if let Some(thinned) = &thinned {
        print.begin_after(thinned);
    }
    let window = thinned.as_ref().map_or(Txid::FIRST, Thinned::window);
    let history = ebbtide_catalog::chronology(&listing, window);
    let mut indexes = pin!(ebbtide_catalog::read_indexes(&*store, &manifest, history));
    let mut shown = None;
    while let Some((_, fetched)) = indexes.try_next().await.map_err(unreadable)? {
        let entries = fetched.index.entries().iter();
        // Packs that two processes have made may overlap.
        // What is left of the history before the window is not kept.
        let is_new = |entry: &&Entry| Some(entry.txid) > shown && entry.txid >= window;
        for entry in entries.filter(is_new) {
            if !print.note(entry) {
                continue;
            }
            let rows = match &mut changed {
                Some(changed) => changed.by(entry).await?,
                None => None,
            };
            if let Some(table) = &args.changed
                && !rows.as_ref().is_some_and(|rows| changed::has_table(rows, table))
            {
                continue;
            }
            print.entry(entry, manifest.page_size.offset(), rows.as_ref());
        }
        if let Some(changed) = &changed {
            changed.keep();
        }
        shown = shown.max(Some(fetched.index.footer().last));
        if output::is_gone() {
            return Ok(Outcome::Done);
        }
    }
    drill::show(&source, args.json);
    print.end(&listing, &marks, thinned.as_ref());
    Ok(Outcome::Done)
}

/// One end of what is to be shown. How it was read is printed.
fn bound(when: Option<&When>, now: Timestamp) -> Result<Option<Point>, Failure> {
    let Some(when) = when else { return Ok(None) };
    let reading = when.resolve(&clock::in_local_zone(now));
    let reading = reading.map_err(|error| Failure::new(Code::Usage, error))?;
    if let Some(said) = reading.said {
        logging::note(said);
    }
    Ok(Some(reading.point))
}

/// What begins after its end would show nothing, and somebody may take that for an answer.
fn check_order(from: Option<Point>, to: Option<Point>, now: Timestamp) -> Result<(), Failure> {
    let time = |point| match point {
        Point::Now => Some(now),
        Point::Time(time) => Some(time),
        Point::Txid(_) => None,
    };
    let (Some(from), Some(to)) = (from, to) else { return Ok(()) };
    let said = match (from, to) {
        (Point::Txid(from), Point::Txid(to)) if from > to => {
            Some(format!("txid {from}, comes after txid {to}"))
        }
        _ => time(from)
            .zip(time(to))
            .filter(|(from, to)| from > to)
            .map(|(from, to)| format!("{from}, comes after {to}")),
    };
    said.map_or(Ok(()), |said| {
        let why = format!(
            "--from, {said}, the end by --to: nothing lies between; give the earlier one as --from"
        );
        Err(Failure::new(Code::Usage, why))
    })
}

/// The names, without those of segments that are in packs, if all others are known then.
pub(super) async fn list(store: &dyn Store) -> Result<Listing, StoreError> {
    match ebbtide_catalog::list_recent(store).await? {
        (listing, None) => Ok(listing),
        (_, Some(_)) => ebbtide_catalog::list(store).await,
    }
}

/// Prints entries as they come.
struct Print {
    json: bool,
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
    fn new(json: bool, from: Option<Point>, to: Option<Point>, now: Timestamp) -> Print {
        let (tally, first, last, ahead) = (Tally::default(), None, None, None);
        let (before, read, hole, in_snapshots) = (None, None, None, Vec::new());
        Print { json, from, to, tally, first, last, now, ahead, before, read, hole, in_snapshots }
    }

    fn head(&mut self, place: &str, manifest: &Manifest) {
        if self.json {
            return;
        }
        output::line(format_args!(
            "replica {} in {place}, pages of {} bytes, since {}",
            manifest.replica, manifest.page_size, manifest.created
        ));
        output::line("TXID              TIME                         WHAT      PAGES     DATABASE");
    }

    /// The history begins with the window; before that there are single states.
    fn begin_after(&mut self, thinned: &Thinned) {
        self.read = thinned.window().previous();
        for state in thinned.states() {
            let early = self.from.is_some_and(|from| from.is_after(state.txid, state.time));
            let late = self.to.is_some_and(|to| to.is_before(state.txid, state.time));
            if early || late {
                continue;
            }
            match self.json {
                true => output::json(thinned::as_json(state)),
                false => output::line(thinned::as_text(state)),
            }
        }
    }

    /// Notes an entry; whether it is to be shown.
    fn note(&mut self, entry: &Entry) -> bool {
        if let Some(read) = self.read.filter(|read| !read.precedes(entry.txid)) {
            self.hole.get_or_insert((read.next(), entry.txid.previous().unwrap_or(read)));
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

    fn entry(&mut self, entry: &Entry, page_bytes: u64, rows: Option<&Value>) {
        self.tally.add(entry);
        if self.json {
            let mut line = as_json(entry, page_bytes);
            if let Some(rows) = rows {
                line["changed"] = rows.clone();
            }
            output::json(line);
        } else {
            output::line(as_text(entry, self.before, page_bytes));
            if let Some(rows) = rows {
                output::line(format_args!("                  {}", changed::as_text(rows)));
            }
        }
    }

    fn end(&mut self, listing: &Listing, marks: &[StoredMark], thinned: Option<&Thinned>) {
        if self.json {
            marks.iter().for_each(|mark| output::json(mark_line::as_json(mark)));
            for snapshot in &listing.snapshots {
                if let Key::Snapshot(txid) = snapshot.key {
                    let line = json!({"what": "snapshot", "txid": txid.to_string(), "bytes": snapshot.size});
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
            summary["every_commit_from"] =
                thinned.map(|thinned| thinned.window().to_string()).into();
            summary["kept_states"] = thinned.map_or(0, |thinned| thinned.states().len()).into();
            summary["last_time"] = self.last.as_ref().map(|last| last.time.to_string()).into();
            output::json(summary);
        } else {
            for mark in marks {
                output::line(mark_as_text(mark, self.now));
            }
            self.summary(listing, thinned);
        }
    }

    /// The first entry that is dated after now, if a clock was wrong and not only another one.
    fn ahead(&self) -> Option<Txid> {
        let newest = self.last.as_ref()?.time.as_micros();
        let ahead = newest.saturating_sub(self.now.as_micros());
        self.ahead.filter(|_| ahead > CLOCKS_APART_MICROS_MAX)
    }

    fn summary(&mut self, listing: &Listing, thinned: Option<&Thinned>) {
        let snapshots: Vec<String> = listing
            .snapshots
            .iter()
            .filter_map(|snapshot| match snapshot.key {
                Key::Snapshot(txid) => Some(txid.to_string()),
                _ => None,
            })
            .collect();
        let bytes = listing.objects().map(|object| object.size).sum();
        output::line(format_args!(
            "{} entries shown; {} segments, {} packs, {} deltas; {} in all; snapshots at {}",
            self.tally.entries,
            listing.log.len(),
            listing.packs.len(),
            listing.deltas.len(),
            terminal::bytes(bytes),
            if snapshots.is_empty() { "none".to_owned() } else { snapshots.join(", ") }
        ));
        output::line(tally::text(&self.tally));
        thinned.into_iter().flat_map(|thinned| thinned.summary(listing)).for_each(output::line);
        let ahead = self.ahead().zip(self.last.as_ref());
        if let Some((first, last)) = ahead {
            let (newest, until) = (last.txid, last.time);
            let notice = Notice::Ahead { first, newest, until, is_without: false };
            output::line(format_args!("note: {notice}"));
        }
        if let Some((first, last)) = self.hole {
            return output::line(format_args!(
                "can be restored: not all of this, because entries {first} to {last} are in no object; `ebbtide verify` \
                 says what can be"
            ));
        }
        let has_snapshot =
            |txid: &Txid| listing.snapshots.iter().any(|object| object.key == Key::Snapshot(*txid));
        if let Some(missing) = self.in_snapshots.iter().find(|txid| !has_snapshot(txid)) {
            return output::line(format_args!(
                "can be restored: not all of this, because {} is missing; `ebbtide verify` says what can be",
                Key::Snapshot(*missing)
            ));
        }
        let older = thinned.is_some_and(|thinned| !thinned.states().is_empty());
        match self.first.take().zip(self.last.take()) {
            Some((first, last)) => output::line(format_args!(
                "can be restored: any txid from {} of {} to {} of {}{}",
                first.txid,
                first.time,
                last.txid,
                last.time,
                if older { ", and each state before that" } else { "" }
            )),
            None if older => output::line("can be restored: each state that is listed"),
            None => output::line(
                "nothing can be restored yet: the replica holds no state of the database",
            ),
        }
    }
}

fn as_text(entry: &Entry, before: Option<Txid>, page_bytes: u64) -> String {
    let size = terminal::bytes(u64::from(entry.database_pages) * page_bytes);
    let (txid, time, what) = (entry.txid, entry.time, entry.kind.name());
    let line = format!("{txid}  {time}  {what:<8}  {:<8}  {size:<10}", entry.page_count);
    let remark = remark(entry, before);
    if remark.is_empty() { line.trim_end().to_owned() } else { format!("{line}  {remark}") }
}

fn mark_as_text(stored: &StoredMark, now: Timestamp) -> String {
    let StoredMark { mark, .. } = stored;
    let (txid, time, name) = (mark.txid, mark.contents.time, &mark.contents.name);
    format!("{txid}  {time}  mark      {name}  ({})", mark_line::lasts(stored, now))
}

fn as_json(entry: &Entry, page_bytes: u64) -> Value {
    let claim = (entry.kind == EntryKind::Claim).then(|| Claim::from_detail(&entry.detail).ok());
    let detail = ResyncDetail::of(entry).unwrap_or_default();
    json!({
        "what": entry.kind.name(),
        "txid": entry.txid.to_string(),
        "time": entry.time.to_string(),
        "pages": entry.page_count,
        "database_bytes": u64::from(entry.database_pages) * page_bytes,
        "digest": entry.digest.to_string(),
        "fork": entry.flags.contains(EntryFlags::FORK),
        "gap_since": detail.since.map(|since| since.to_string()),
        "set_back_to": detail.set_back_to.map(|txid| txid.to_string()),
        "set_back_by": detail.by,
        "claim": claim.flatten(),
    })
}
