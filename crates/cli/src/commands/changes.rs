//! A search for the entries at which an answer changed, and how each is told: what `when` and `blame` share.

use std::ops::ControlFlow;
use std::sync::Arc;

use ebbtide_catalog::{Progress, Target};
use ebbtide_moment::{Error as MomentError, Moment, Proof, Replica};
use ebbtide_replica::{EntryKind, Timestamp};
use ebbtide_rows::json;
use ebbtide_trace::{Answer, Found, Question, Searched, Trace, TraceError};
use serde_json::{Value, json as object};

use super::choice;
use super::past::{failure as unread, proof, sql_failure};
use super::{unreadable, unrowed};
use crate::args::Search;
use crate::exit::{Code, Failure};
use crate::progress_bar::{self, Counted, watch_on};
use crate::when::When;
use crate::{logging, output, terminal};

/// What is searched for, and how what is found is told.
pub(super) struct Changes<'a> {
    pub(super) replica: Replica,
    /// The newest state to look at.
    pub(super) newest: Moment,
    pub(super) question: Question,
    pub(super) search: &'a Search,
    pub(super) now: Timestamp,
}

impl Changes<'_> {
    /// Tells each change that `is_wanted` by `line`, until there were enough, and at the end how far that was.
    pub(super) async fn tell(
        self,
        is_wanted: impl Fn(&Found) -> bool + Send + 'static,
        line: impl Fn(&Found) -> String + Send + 'static,
    ) -> Result<(), Failure> {
        let Changes { replica, newest, question, search, now } = self;
        let oldest = search.from.as_ref().map(|when| meant(Some(when), now)).transpose()?;
        let (json, limit, proof) = (search.json, search.limit, proof(search.prove));
        let progress = Arc::<Progress>::default();
        let trace = Trace { replica, question, now, proof, progress: Arc::clone(&progress) };
        let bar = progress_bar::bar("search", json);
        let beside = bar.clone();
        let run = move || {
            run(&trace, (oldest, newest), limit, |found| {
                if !is_wanted(found) {
                    return false;
                }
                beside.suspend(|| {
                    match json {
                        true => output::json(document(found, proof)),
                        false => output::line(line(found)),
                    }
                    // The next one may be far away.
                    output::flush();
                });
                true
            })
        };
        let searching = tokio::task::spawn_blocking(run);
        let searched = watch_on(&bar, Counted::Number, json, &progress, searching).await;
        let searched = searched.map_err(|error| Failure::new(Code::Failed, error))?;
        let (told, seen, searched) = searched.map_err(failure)?;
        if let Some(why) = searched.first.why_not().filter(|_| seen == 0) {
            let why = format!("the question has no answer in any of the states: {why}");
            return Err(Failure::new(Code::Usage, why));
        }
        if json {
            output::json(end(&searched, told, told >= limit, proof));
        } else {
            logging::note(summary(&searched, told, told >= limit, proof));
        }
        Ok(())
    }
}

/// How many changes were told, and how many there were.
fn run(
    trace: &Trace,
    (oldest, newest): (Option<Target>, Moment),
    limit: u64,
    tell: impl Fn(&Found) -> bool,
) -> Result<(u64, u64, Searched), TraceError> {
    let (mut told, mut seen) = (0, 0);
    let searched = trace.run_from(oldest, newest, |found| {
        seen += 1;
        told += u64::from(tell(found));
        match told >= limit || output::is_gone() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    Ok((told, seen, searched))
}

/// When, and by which entry.
pub(super) fn place(found: &Found) -> String {
    let within = match (found.kind, found.missed_since) {
        (EntryKind::Resync, Some(since)) => {
            format!(
                "  (at some time since {since}: history was missed, and single transactions are unknown)"
            )
        }
        (EntryKind::Resync, None) => "  (by a resync, not by one transaction)".to_owned(),
        _ => String::new(),
    };
    format!("{}  {}{within}", found.entry.time, found.entry.txid)
}

fn document(found: &Found, proof: Proof) -> Value {
    object!({
        "txid": found.entry.txid.to_string(),
        "time": found.entry.time.to_string(),
        "what": found.kind.name(),
        "gap_since": found.missed_since.map(|since| since.to_string()),
        "before": answer(&found.before),
        "after": answer(&found.after),
        "proof": proof.name(),
    })
}

/// Its rows as objects by the names of the columns, and how many there are.
fn answer(answer: &Answer) -> Value {
    if let Some(why_not) = answer.why_not() {
        return object!({ "error": why_not });
    }
    let row =
        |row: &Vec<ebbtide_rows::Value>| row.iter().map(|value| json(value.as_ref())).collect();
    let rows: Vec<Value> = answer.rows().iter().map(row).map(Value::Array).collect();
    object!({ "columns": answer.columns(), "rows": rows, "count": answer.count() })
}

fn end(searched: &Searched, told: u64, is_enough: bool, proof: Proof) -> Value {
    object!({
        "what": "end",
        "changes": told,
        "is_all": !is_enough,
        "newest": searched.newest.txid.to_string(),
        "oldest": searched.oldest.txid.to_string(),
        "oldest_time": searched.oldest.time.to_string(),
        "first": answer(&searched.first),
        "asked": searched.asked,
        "entries": searched.entries,
        "proof": proof.name(),
    })
}

fn summary(searched: &Searched, told: u64, is_enough: bool, proof: Proof) -> String {
    let Searched { newest, oldest, first, asked, entries } = searched;
    let changes = match told {
        0 => "no change".to_owned(),
        some => terminal::number_of(some, "change"),
    };
    let more = match is_enough {
        true => format!("; for older ones: --to txid:{}", oldest.txid),
        false => String::new(),
    };
    format!(
        "{changes} from txid {} of {}, where the answer is {first}, to txid {} of {}{more}; asked {asked} times over \
         {entries} entries, {proof}",
        oldest.txid, oldest.time, newest.txid, newest.time
    )
}

/// The newest state to look at.
///
/// # Errors
/// When there is no such state, or it cannot be read.
pub(super) async fn newest(
    replica: &Replica,
    search: &Search,
    now: Timestamp,
) -> Result<Moment, Failure> {
    let newest = meant(search.to.as_ref(), now)?;
    replica.at(newest, now, proof(search.prove)).await.map_err(unread)
}

/// The state that is meant, the newest if nothing says otherwise. How it was read is said.
fn meant(when: Option<&When>, now: Timestamp) -> Result<Target, Failure> {
    let (target, read_as) = choice::target(when, None, now)?;
    if let Some(read_as) = read_as {
        logging::note(read_as);
    }
    Ok(target)
}

/// A search that failed, with its exit code.
pub(super) fn failure(error: TraceError) -> Failure {
    match error {
        TraceError::Unsuitable(why) => Failure::new(Code::Usage, why),
        TraceError::Moment(error) => unread(error),
        TraceError::Sql(error) => sql_failure(error),
        TraceError::Plan(error) => unread(MomentError::from(error)),
        TraceError::Index(error) => unreadable(error),
        TraceError::Rows(error) => unrowed::failure(error),
        error @ TraceError::Hole(_) => Failure::new(Code::Damaged, error),
        error => Failure::new(Code::Failed, error),
    }
}
