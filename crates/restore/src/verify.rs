//! Proves a replica without restoring it: every byte of every object, and that the objects together are one history of
//! which each state is what its entry says.
//!
//! Two passes. The first reads all objects, several at a time, and checks pages against entries. The second goes through
//! the history from its beginning with page hashes alone: a table of them, in a file, gives the digest of the database
//! after every entry. Memory is bounded in both, whatever the size of the database and the length of the history.
//!
//! Where a horizon says that the history before its window is thinned, the second pass begins with the states that the
//! horizon keeps, each of which must have a plan and the digest that the horizon gives it, and goes on from there.

mod beginning;
mod documents;
mod finding;
mod history;
mod kept;
mod newest;
mod object;
mod rows;
mod sample;
mod scope;
mod share;

use std::sync::Arc;

use ebbtide_replica::{Key, Point, ReplicaId, Timestamp, Txid};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use crate::error::Result;
use beginning::check_manifest;
use documents::{Statement, check_documents};
use ebbtide_catalog::Progress;
use ebbtide_catalog::Survey;
use ebbtide_catalog::{PlanError, Target};
pub use finding::{Finding, Severity};
use history::Prover;
use kept::prove_kept;
use newest::restorable;
pub(crate) use object::Checker;
pub use object::check_object;
pub use sample::{Sampled, SampledObject, sample};
use scope::{Scope, exclude};
pub use share::{NoShare, Sample, Share};

/// How many objects are read at once in the first pass.
const OBJECTS_AT_ONCE: usize = 32;

/// What a verification found.
#[derive(Debug, Clone, Serialize)]
pub struct Verification {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it lies.
    pub place: String,
    /// What was looked at.
    pub counts: Totals,
    /// The first and the last entry of the history, with their times.
    pub history: Option<[Point; 2]>,
    /// The first entry whose state can be restored.
    pub first_restorable: Option<Txid>,
    /// The first and the last entry of each range of entries of which each can be restored, as the planner says that
    /// restores. Of more than 64 ranges the newest.
    pub restorable: Vec<[Point; 2]>,
    /// What is left of the history before the window, where a horizon says that it is thinned.
    pub thinned: Option<Thinned>,
    /// All that is wrong, and what ought to be known, in the order of the history.
    pub findings: Vec<Finding>,
}

/// What a horizon says of the history before its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Thinned {
    /// The number of the horizon.
    pub horizon: u64,
    /// The first entry from which on all are there.
    pub window: Txid,
    /// How many states it keeps before that…
    pub states: u64,
    /// …and how many of them were proved.
    pub proved: u64,
    /// How many objects are there that it condemns. They were not looked at.
    pub condemned: u64,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Segments.
    pub segments: u64,
    /// Packs.
    pub packs: u64,
    /// Deltas.
    pub deltas: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Horizons.
    pub horizons: u64,
    /// Marks.
    pub marks: u64,
    /// Bytes of all objects.
    pub bytes: u64,
    /// Entries of the history.
    pub entries: u64,
    /// Entries whose digest was computed from the pages before them, and was right.
    pub digests: u64,
    /// Page images in all objects.
    pub pages: u64,
    /// Entries before which history was missed.
    pub gaps: u64,
}

impl Verification {
    /// Whether everything is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Damage)
    }
}

/// Proves the replica in `store`. Fails only if it cannot be read at all; damage is in the result.
pub async fn verify(store: Arc<dyn Store>, progress: &Arc<Progress>) -> Result<Verification> {
    let mut survey = Survey::new(store, Arc::clone(progress)).await?;
    let scope = Scope::of(survey.known());
    let objects = scope.objects(survey.known());
    progress.add_objects_total(objects.len() as u64);
    let mut counts = count(&objects);
    let mut findings = Vec::new();
    for junk in &survey.known().listing().junk {
        let what = "it lies far beyond the history and was passed over".to_owned();
        findings.push(Finding { key: junk.key, severity: Severity::Note, what });
    }
    let checked = check_objects(&survey, &objects, progress).await?;
    for (key, checked) in checked {
        match checked {
            Ok(pages) => counts.pages += pages,
            Err(what) => findings.extend(exclude(&mut survey, key, what).await?),
        }
    }
    findings.extend(check_manifest(&survey).await?);
    let documents = check_documents(&survey).await?;
    (counts.horizons, counts.marks) = (documents.horizons, documents.marks);
    counts.bytes += documents.bytes;
    findings.extend(documents.findings);
    let kept = prove_kept(&mut survey).await?;
    findings.extend(kept.findings);
    let prover = Prover::new(&survey, &scope, kept.base, &documents.statements);
    let proved = prover.run().await?;
    for finding in proved.findings.iter().filter(|found| found.severity == Severity::Damage) {
        survey.exclude(finding.key, finding.what.clone());
    }
    findings.extend(proved.findings);
    let (_, more) = restorable(&mut survey, &findings).await?;
    findings.extend(more);
    findings.extend(claimed_back(&survey, &proved.claimed_back, &findings).await?);
    findings.sort_by_key(|finding| (ebbtide_catalog::first_of(finding.key), finding.key));
    let moment = |found: ebbtide_catalog::IndexState| found.state.point;
    let ranges = survey.ranges().await?.into_iter();
    let restorable: Vec<[Point; 2]> =
        ranges.map(|range| [moment(range.first), moment(range.last)]).collect();
    counts.entries = proved.entries;
    counts.digests = proved.digests;
    counts.gaps = proved.gaps;
    let thinned = survey.known().horizon().map(|horizon| Thinned {
        horizon: horizon.number,
        window: horizon.window,
        states: horizon.contents.states.len() as u64,
        proved: kept.proved,
        condemned: scope.left_out(survey.known()),
    });
    Ok(Verification {
        replica: survey.manifest().replica,
        place: survey.store().describe(),
        counts,
        history: proved.first.zip(proved.last).map(|(first, last)| [first, last]),
        first_restorable: restorable.first().map(|[first, _]| first.txid),
        restorable,
        thinned,
        findings,
    })
}

/// Which of these marks, whose states the newest horizon does not keep, claim back what cannot be had any more.
async fn claimed_back(
    survey: &Survey,
    marks: &[Statement],
    found: &[Finding],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for Statement { key, txid, chain, lasts, .. } in marks {
        let (key, txid, chain) = (*key, *txid, *chain);
        // It goes back to earlier horizons, so it is one of its own.
        let progress = Arc::new(Progress::default());
        let mut survey = Survey::new(Arc::clone(survey.store()), progress).await?;
        for damage in found.iter().filter(|finding| finding.severity == Severity::Damage) {
            survey.exclude(damage.key, damage.what.clone());
        }
        match survey.plan(Target::Marked { txid, chain }, Timestamp::EPOCH).await {
            Ok(_) => {}
            Err(PlanError::Store(error)) => return Err(error.into()),
            Err(PlanError::Nothing(_)) if let Some(lasts) = lasts => {
                let what =
                    format!("the state {txid} that it marked for {lasts} is not kept any more");
                findings.push(Finding { key, severity: Severity::Note, what });
            }
            Err(error) => {
                let what = format!("the state {txid} that it marks cannot be restored: {error}");
                findings.push(Finding { key, severity: Severity::Damage, what });
            }
        }
    }
    Ok(findings)
}

/// How many objects of each kind there are, and their bytes.
fn count(objects: &[Object]) -> Totals {
    let mut counts = Totals::default();
    for object in objects {
        counts.bytes += object.size;
        match object.key {
            Key::Log(_) => counts.segments += 1,
            Key::Pack { .. } => counts.packs += 1,
            Key::Delta { .. } => counts.deltas += 1,
            Key::Snapshot(_) => counts.snapshots += 1,
            Key::Manifest | Key::Horizon(_) | Key::Mark { .. } | Key::Wrapped { .. } => {}
        }
    }
    counts
}

/// Reads these objects, several at a time, each by itself: how many pages it has, or what is wrong with it.
async fn check_objects(
    survey: &Survey,
    objects: &[Object],
    progress: &Arc<Progress>,
) -> Result<Vec<(Key, Result<u64, String>)>> {
    let checker = &Checker::new(survey, progress);
    let check = |&object: &Object| async move { (object, checker.check_short(object).await) };
    let checked = stream::iter(objects).map(check).buffer_unordered(OBJECTS_AT_ONCE);
    // What has a long index is checked by itself.
    let checked = checked.then(|(object, checked)| async move {
        let checked = match checked {
            Some(checked) => checked,
            None => checker.check(object).await,
        };
        progress.add_objects(1);
        checked.map(|checked| (object.key, checked))
    });
    checked.try_collect().await
}
