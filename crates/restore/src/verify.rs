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
mod depth;
mod documents;
mod finding;
mod history;
mod kept;
mod newest;
mod object;
mod outside;
mod rows;
mod sample;
mod scope;
mod share;
mod verification;
mod wrapped;

use std::sync::Arc;

use ebbtide_replica::{Key, Point, Timestamp};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use crate::error::Result;
use beginning::check_manifest;
pub use depth::Depth;
use depth::depth_of;
use documents::{Statement, check_documents};
use ebbtide_catalog::Progress;
use ebbtide_catalog::Survey;
use ebbtide_catalog::{PlanError, Target, identify};
pub use finding::{Finding, Severity};
use history::Prover;
pub(crate) use kept::follow_from_base;
use kept::prove_kept;
use newest::restorable;
pub(crate) use object::Checker;
pub use object::check_object;
use outside::verify_outside;
pub use sample::{Sampled, SampledObject, sample};
use scope::{Scope, exclude};
pub use share::{NoShare, Sample, Share};
use verification::count;
pub use verification::{Thinned, Totals, Verification};
use wrapped::Named;

/// How many objects are read at once in the first pass.
const OBJECTS_AT_ONCE: usize = 32;

/// Proves the replica in `store`. Fails only if it cannot be read at all; damage is in the result.
pub async fn verify(store: Arc<dyn Store>, progress: &Arc<Progress>) -> Result<Verification> {
    let depth = depth_of(&*store).await?;
    if depth == Depth::Bytes
        && let Some(identity) = identify(&*store, None).await?
    {
        return verify_outside(&*store, identity, progress).await;
    }
    let mut survey = Survey::new(store, Arc::clone(progress)).await?;
    let scope = Scope::of(survey.known());
    let objects = scope.objects(survey.known());
    progress.start(objects.iter().map(|object| object.size).sum());
    let mut counts = count(&objects);
    let mut findings = Vec::new();
    for junk in &survey.known().listing().junk {
        let what = "it lies far beyond the history and was passed over".to_owned();
        findings.push(Finding { key: junk.key, severity: Severity::Note, what });
    }
    let (checked, named) = check_objects(&survey, &objects, progress).await?;
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
    let (keys, missing) = named.check(&**survey.store()).await?;
    counts.keys = keys;
    findings.extend(missing);
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
        depth,
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

/// Reads these objects, several at a time, each by itself: how many pages of it were proved, or what is wrong with it; and
/// which keys they are under.
async fn check_objects(
    survey: &Survey,
    objects: &[Object],
    progress: &Arc<Progress>,
) -> Result<(Vec<(Key, Result<u64, String>)>, Named)> {
    let checker = Checker::new(survey, progress);
    let by = &checker;
    let check = |&object: &Object| async move { (object, by.check_short(object).await) };
    let checked = stream::iter(objects).map(check).buffer_unordered(OBJECTS_AT_ONCE);
    // What has a long index is checked by itself.
    let checked = checked.then(|(object, checked)| async move {
        let checked = match checked {
            Some(checked) => checked,
            None => by.check(object).await,
        };
        checked.map(|checked| (object.key, checked))
    });
    let checked = checked.try_collect().await?;
    Ok((checked, checker.into_named()))
}
