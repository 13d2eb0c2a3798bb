//! The search: from the newest state to the oldest.

use std::ops::ControlFlow;
use std::sync::Arc;

use ebbtide_catalog::{Counts, Nothing, PlanError, Progress, Target, missed_since};
use ebbtide_moment::{Error as MomentError, Moment, Proof, Replica};
use ebbtide_replica::{Entry, EntryKind, Point, Timestamp, Txid};
use ebbtide_sql::PageSet;
use ebbtide_wal::PageNumber;

use crate::answer::Answer;
use crate::ask::{Asked, ask};
use crate::back::Back;
use crate::error::{Result, TraceError};
use crate::page_one::PageOne;
use crate::question::Question;

/// What is searched, and how.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The replica.
    pub replica: Replica,
    /// The question.
    pub question: Question,
    /// The time, by which the future is told from the past.
    pub now: Timestamp,
    /// How far what is read is proved.
    pub proof: Proof,
    /// How many entries are to be looked at, and how many were, for whoever waits.
    pub progress: Arc<Progress>,
}

/// An entry at which the answer changed.
#[derive(Debug, Clone)]
pub struct Found {
    /// The entry.
    pub entry: Point,
    /// What brought it about: what a resync changed is no transaction of its own.
    pub kind: EntryKind,
    /// If history was missed before it, from when on: it changed at some time since.
    pub missed_since: Option<Timestamp>,
    /// The answer before…
    pub before: Answer,
    /// …and after.
    pub after: Answer,
}

/// How far a search went.
#[derive(Debug, Clone)]
pub struct Searched {
    /// The newest state.
    pub newest: Point,
    /// The oldest state of which it is known what the answer was.
    pub oldest: Point,
    /// The answer there.
    pub first: Answer,
    /// How often the question was asked.
    pub asked: u64,
    /// How many entries were looked at.
    pub entries: u64,
}

/// A state at which the question was asked.
struct State {
    moment: Moment,
    asked: Asked,
    page_one: PageOne,
}

/// What may have changed an answer.
struct Suspect {
    entry: Entry,
    /// Whether it carries page 1 and nothing else of what was read.
    is_page_one_alone: bool,
}

impl Trace {
    /// Looks for changes from the state `newest` back to the state `oldest`, or to the first that there is, and hands over
    /// each as it is found, the newest first, until `each` has enough. On a thread that may wait.
    ///
    /// # Errors
    /// When the question is none, or a state cannot be read.
    pub fn run(
        &self,
        oldest: Option<Target>,
        newest: Target,
        each: impl FnMut(&Found) -> ControlFlow<()>,
    ) -> Result<Searched> {
        self.run_from(oldest, self.moment(newest)?, each)
    }

    /// The same from a state that is open already.
    ///
    /// # Errors
    /// As above.
    pub fn run_from(
        &self,
        oldest: Option<Target>,
        newest: Moment,
        mut each: impl FnMut(&Found) -> ControlFlow<()>,
    ) -> Result<Searched> {
        let end = self.oldest(oldest)?;
        let mut state = self.state(newest)?;
        let newest = point(&state.moment);
        let end = end.map_or(newest, |end| if end.txid < newest.txid { end } else { newest });
        let mut searched = Searched {
            newest,
            oldest: newest,
            first: state.asked.answer.clone(),
            asked: 1,
            entries: 0,
        };
        self.progress.start(newest.txid.get().saturating_sub(end.txid.get()));
        let mut back = Back::new(&self.replica, newest.txid, end.txid.next());
        loop {
            let suspect = self.suspect(&mut back, &state, end.txid, &mut searched.entries)?;
            let before = match &suspect {
                Some(suspect) => suspect.entry.txid.previous().unwrap_or(Txid::FIRST),
                None => end.txid,
            };
            let older = self.state(self.moment(Target::Txid(before))?)?;
            searched.asked += 1;
            (searched.oldest, searched.first) = (point(&older.moment), older.asked.answer.clone());
            let Some(suspect) = suspect else { return Ok(searched) };
            if older.asked.answer != state.asked.answer {
                let found = Found {
                    entry: suspect.entry.point(),
                    kind: suspect.entry.kind,
                    missed_since: missed_since(&suspect.entry),
                    before: older.asked.answer.clone(),
                    after: state.asked.answer,
                };
                if each(&found).is_break() {
                    return Ok(searched);
                }
            }
            if suspect.is_page_one_alone {
                // Entries older than it were handed out while what it may have changed was looked for.
                back = Back::new(&self.replica, before, end.txid.next());
            }
            if before <= end.txid {
                return Ok(searched);
            }
            state = older;
        }
    }

    /// The newest entry after `end` and not after `state` that may have changed the answer there.
    fn suspect(
        &self,
        back: &mut Back,
        state: &State,
        end: Txid,
        looked_at: &mut u64,
    ) -> Result<Option<Suspect>> {
        let mut with_page_one: Vec<Entry> = Vec::new();
        let mut met = None;
        while let Some(entry) = back.next(&self.replica)? {
            *looked_at += 1;
            self.reached(entry.txid, end);
            if entry.kind == EntryKind::Resync || meets(&entry, &state.asked.reads) {
                met = Some(entry);
                break;
            }
            if carries_page_one(&entry) {
                with_page_one.push(Entry { runs: Vec::new(), detail: Vec::new(), ..entry });
            }
        }
        let bottom = met.as_ref().map_or(end, |entry| entry.txid);
        if let Some(entry) = self.page_one_changed(with_page_one, state, bottom)? {
            return Ok(Some(Suspect { entry, is_page_one_alone: true }));
        }
        Ok(met.map(|entry| Suspect { entry, is_page_one_alone: false }))
    }

    /// Notes that only the entries between `end` and this one are left. Some are looked at twice.
    fn reached(&self, txid: Txid, end: Txid) {
        let Counts { total, done, .. } = self.progress.counts();
        let left = txid.get().saturating_sub(end.get());
        self.progress.add_done(total.saturating_sub(left).saturating_sub(done));
    }

    /// Which of these entries, the newest first, has changed page 1 last to what it is at `state`; nothing if none has
    /// since the state `bottom`.
    fn page_one_changed(
        &self,
        mut entries: Vec<Entry>,
        state: &State,
        bottom: Txid,
    ) -> Result<Option<Entry>> {
        if entries.is_empty() || self.page_one(bottom)? == state.page_one {
            return Ok(None);
        }
        // After the first of them page 1 is what it is now, and before the last it was not: what tells the two apart is
        // found by halves, because what it was once it does not become again.
        let (mut is_now, mut was_not) = (0, entries.len());
        while was_not - is_now > 1 {
            let middle = usize::midpoint(is_now, was_not);
            match self.page_one(entries[middle].txid)? == state.page_one {
                true => is_now = middle,
                false => was_not = middle,
            }
        }
        Ok(Some(entries.swap_remove(is_now)))
    }

    fn page_one(&self, txid: Txid) -> Result<PageOne> {
        PageOne::of(&self.moment(Target::Txid(txid))?)
    }

    fn state(&self, moment: Moment) -> Result<State> {
        let page_one = PageOne::of(&moment)?;
        let asked = ask(&self.question, &moment)?;
        Ok(State { moment, asked, page_one })
    }

    fn moment(&self, target: Target) -> Result<Moment> {
        let at = self.replica.at(target, self.now, self.proof);
        Ok(self.replica.runtime().block_on(at)?)
    }

    /// The oldest state to look at: the one that is asked for, or the first that every commit after it is there for.
    fn oldest(&self, wanted: Option<Target>) -> Result<Option<Point>> {
        let target = match wanted {
            Some(target) => target,
            None => {
                let survey = self.replica.runtime().block_on(self.replica.survey());
                Target::Txid(survey.known().window())
            }
        };
        match self.moment(target) {
            Ok(moment) => Ok(Some(point(&moment))),
            Err(TraceError::Moment(MomentError::Plan(error))) if wanted.is_none() => {
                match &*error {
                    PlanError::Nothing(Nothing::Before { first }) => Ok(*first),
                    PlanError::Nothing(
                        Nothing::At { nearest, .. } | Nothing::Kept { nearest, .. },
                    ) => Ok(nearest.after),
                    _ => Err(TraceError::Moment(MomentError::Plan(error))),
                }
            }
            Err(error) => Err(error),
        }
    }
}

fn point(moment: &Moment) -> Point {
    Point { txid: moment.txid(), time: moment.time() }
}

fn carries_page_one(entry: &Entry) -> bool {
    entry.runs.first().is_some_and(|run| run.first() == PageNumber::ONE)
}

/// Whether an entry carries a page of these other than page 1.
fn meets(entry: &Entry, reads: &PageSet) -> bool {
    let beyond = |first: PageNumber| match first == PageNumber::ONE {
        true => PageNumber::new(2),
        false => Some(first),
    };
    entry.runs.iter().any(|run| {
        beyond(run.first())
            .is_some_and(|first| first <= run.last() && reads.meets(first, run.last()))
    })
}
