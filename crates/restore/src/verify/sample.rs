//! Proves a share of a replica, another one each day: so everything is read once in a while, and no day reads all of it.
//!
//! What is read is proved by itself, as a whole verification does first. The history is not walked through; but the newest
//! state must have a plan, `ebbtide.json` must be what entry 1 states, and what the newest horizon keeps must be there.

use std::sync::Arc;

use ebbtide_catalog::{Progress, Survey};
use ebbtide_replica::{Key, Point, ReplicaId};
use ebbtide_store::{Object, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;

use super::beginning::check_manifest;
use super::documents::check_documents;
use super::finding::{Finding, Severity};
use super::kept::missing_objects;
use super::newest::restorable;
use super::object::Checker;
use super::scope::{Scope, exclude};
use super::share::{SLICE_BYTES, Sample, slices_of};
use crate::error::Result;

/// How many objects are read at once.
const OBJECTS_AT_ONCE: usize = 8;

/// What a sample found.
#[derive(Debug, Clone, Serialize)]
pub struct Sampled {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it lies.
    pub place: String,
    /// The share that was asked for.
    pub share: String,
    /// The number of the day.
    pub day: u64,
    /// What was read.
    pub read: Vec<SampledObject>,
    /// How many bytes that were…
    pub bytes: u64,
    /// …with how many page images…
    pub pages: u64,
    /// …of how many objects that there are…
    pub objects_total: u64,
    /// …with how many bytes.
    pub bytes_total: u64,
    /// The newest state, if it has a plan.
    pub newest: Option<Point>,
    /// All that is wrong, and what ought to be known.
    pub findings: Vec<Finding>,
}

/// An object that was read, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SampledObject {
    /// Its name.
    pub key: Key,
    /// Which of its slices of 16 MiB, counted from 0…
    pub slices: Vec<u64>,
    /// …and how many it has.
    pub slices_total: u64,
}

impl Sampled {
    /// Whether nothing is wrong with what was read.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity < Severity::Damage)
    }
}

/// Proves the day's share of the replica in `store`. Fails only if it cannot be read at all; damage is in the result.
pub async fn sample(
    store: Arc<dyn Store>,
    sample: Sample,
    progress: &Arc<Progress>,
) -> Result<Sampled> {
    let mut survey = Survey::new(store, Arc::clone(progress)).await?;
    let objects = Scope::of(survey.known()).objects(survey.known());
    let replica = survey.manifest().replica;
    let slices = |object: &Object| sample.slices(replica, object.key, object.size);
    let chosen = objects.iter().map(|object| (*object, slices(object)));
    let chosen: Vec<(Object, Vec<u64>)> = chosen.filter(|(_, slices)| !slices.is_empty()).collect();
    progress.start(chosen.iter().map(|(object, slices)| bytes_of(object, slices)).sum());
    let (mut findings, mut bytes, mut pages) = (Vec::new(), 0, 0);
    for (key, checked) in check(&survey, &chosen, progress).await? {
        match checked {
            Ok((pages_read, bytes_read)) => {
                pages += pages_read;
                bytes += bytes_read;
            }
            Err(what) => findings.extend(exclude(&mut survey, key, what).await?),
        }
    }
    findings.extend(check_manifest(&survey).await?);
    let documents = check_documents(&survey).await?;
    findings.extend(documents.findings);
    findings.extend(missing_objects(&survey));
    let (newest, more) = restorable(&mut survey, &findings).await?;
    findings.extend(more);
    let read = chosen.into_iter().map(|(object, slices)| SampledObject {
        key: object.key,
        slices,
        slices_total: slices_of(object.key, object.size),
    });
    Ok(Sampled {
        replica,
        place: survey.store().describe(),
        share: sample.share.to_string(),
        day: sample.day,
        read: read.collect(),
        bytes: bytes + documents.bytes,
        pages,
        objects_total: objects.len() as u64,
        bytes_total: objects.iter().map(|object| object.size).sum(),
        newest,
        findings,
    })
}

/// About how many bytes these slices of an object have.
fn bytes_of(object: &Object, slices: &[u64]) -> u64 {
    object.size.min((slices.len() as u64).saturating_mul(SLICE_BYTES))
}

/// Reads what was chosen: how many pages and bytes each has, or what is wrong with it.
async fn check(
    survey: &Survey,
    chosen: &[(Object, Vec<u64>)],
    progress: &Arc<Progress>,
) -> Result<Vec<(Key, Result<(u64, u64), String>)>> {
    let checker = &Checker::new(survey, progress);
    let check = |(object, slices): &(Object, Vec<u64>)| {
        let (object, slices) = (*object, slices.clone());
        async move {
            let is_whole = slices.len() as u64 == slices_of(object.key, object.size);
            let checked = match is_whole {
                true => {
                    let checked = checker.check(object).await?;
                    checked.map(|pages| (pages, object.size))
                }
                false => {
                    let checked = checker.check_slices(object, &slices).await?;
                    progress.add_done(bytes_of(&object, &slices));
                    checked
                }
            };
            Ok((object.key, checked))
        }
    };
    let checks: Vec<_> = chosen.iter().map(check).collect();
    stream::iter(checks).buffer_unordered(OBJECTS_AT_ONCE).try_collect().await
}
