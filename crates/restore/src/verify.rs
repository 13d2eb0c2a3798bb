//! Proves a replica without restoring it: every byte of every object, and that the objects together are one history of
//! which each state is what its entry says.
//!
//! Two passes. The first reads all objects, several at a time, and checks pages against entries. The second goes through
//! the history from its beginning with page hashes alone: a table of them, in a file, gives the digest of the database
//! after every entry. Memory is bounded in both, whatever the size of the database and the length of the history.

mod finding;
mod history;
mod object;
mod rows;

use std::sync::Arc;

use ebbtide_replica::{Key, Point, ReplicaId, Timestamp, Txid};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, stream};
use serde::Serialize;

use crate::error::Result;
use ebbtide_catalog::Culprit;
use ebbtide_catalog::Progress;
use ebbtide_catalog::Survey;
use ebbtide_catalog::{Notice, PlanError, Target};
pub use finding::{Finding, Severity};
use history::Prover;
pub(crate) use object::Checker;
pub use object::check_object;

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
    /// All that is wrong, and what ought to be known, in the order of the history.
    pub findings: Vec<Finding>,
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

/// What a restore of the newest state would say that is not found yet: it goes by the same plan.
async fn restorable(survey: &mut Survey, found: &[Finding]) -> Result<Vec<Finding>> {
    let finding = |key: Key, severity, what| Finding { key, severity, what };
    match survey.plan(Target::Latest, Timestamp::EPOCH).await {
        Ok(plan) => {
            let notices = plan.notices.into_iter().filter_map(|notice| match notice {
                Notice::DigestOnly { key } => Some((key, notice)),
                _ => None,
            });
            Ok(notices
                .map(|(key, notice)| finding(key, Severity::Note, notice.to_string()))
                .collect())
        }
        Err(PlanError::Damaged { culprits, .. }) => {
            let news = |culprit: &Culprit| {
                found.iter().all(|one| one.key != culprit.key || one.severity < Severity::Damage)
            };
            let culprits = culprits.into_iter().filter(news);
            let what = |why| format!("the newest state cannot be restored: {why}");
            let finding = |Culprit { key, why }| finding(key, Severity::Damage, what(why));
            Ok(culprits.map(finding).collect())
        }
        Err(PlanError::Nothing(_)) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Proves the replica in `store`. Fails only if it cannot be read at all; damage is in the result.
pub async fn verify(store: Arc<dyn Store>, progress: &Arc<Progress>) -> Result<Verification> {
    let mut survey = Survey::new(store, Arc::clone(progress)).await?;
    let listing = survey.known().listing().clone();
    let objects: Vec<Object> = listing.objects().collect();
    progress.add_objects_total(objects.len() as u64);
    let mut counts = Totals {
        segments: listing.log.len() as u64,
        packs: listing.packs.len() as u64,
        deltas: listing.deltas.len() as u64,
        snapshots: listing.snapshots.len() as u64,
        bytes: objects.iter().map(|object| object.size).sum(),
        ..Totals::default()
    };
    let mut findings = Vec::new();
    if !survey.has_manifest() {
        let what = "it is missing or empty; the objects say the same".to_owned();
        findings.push(Finding { key: Key::Manifest, severity: Severity::Note, what });
    }
    for junk in &listing.junk {
        let what = "it lies far beyond the history and was passed over".to_owned();
        findings.push(Finding { key: junk.key, severity: Severity::Note, what });
    }
    let checked = {
        let checker = &Checker::new(&survey, progress);
        let check = |&object: &Object| async move { (object, checker.check_short(object).await) };
        let checked = stream::iter(&objects).map(check).buffer_unordered(OBJECTS_AT_ONCE);
        // What has a long index is checked by itself.
        let checked = checked.then(|(object, checked)| async move {
            let checked = match checked {
                Some(checked) => checked,
                None => checker.check(object).await,
            };
            progress.add_objects(1);
            (object.key, checked)
        });
        checked.collect::<Vec<_>>().await
    };
    for (key, checked) in checked {
        match checked? {
            Ok(pages) => counts.pages += pages,
            Err(what) => {
                findings.push(Finding { key, severity: Severity::Damage, what: what.clone() });
                survey.exclude(key, what);
            }
        }
    }
    let proved = Prover::new(&survey).run().await?;
    for finding in proved.findings.iter().filter(|found| found.severity == Severity::Damage) {
        survey.exclude(finding.key, finding.what.clone());
    }
    findings.extend(proved.findings);
    findings.extend(restorable(&mut survey, &findings).await?);
    findings.sort_by_key(|finding| (ebbtide_catalog::first_of(finding.key), finding.key));
    let moment = |found: ebbtide_catalog::IndexState| found.state.point;
    let ranges = survey.ranges().await?.into_iter();
    let restorable: Vec<[Point; 2]> =
        ranges.map(|range| [moment(range.first), moment(range.last)]).collect();
    counts.entries = proved.entries;
    counts.digests = proved.digests;
    counts.gaps = proved.gaps;
    Ok(Verification {
        replica: survey.manifest().replica,
        place: survey.store().describe(),
        counts,
        history: proved.first.zip(proved.last).map(|(first, last)| [first, last]),
        first_restorable: restorable.first().map(|[first, _]| first.txid),
        restorable,
        findings,
    })
}
