//! Which objects a verification is about: all but those that the newest horizon condemns, which no reader uses, and which
//! may be gone at any moment.

use std::collections::BTreeSet;

use ebbtide_catalog::{Known, Survey, newest_horizon};
use ebbtide_replica::{Horizon, Key};
use ebbtide_store::Object;

use super::finding::{Finding, Severity};
use crate::error::Result;

/// What is left out.
#[derive(Debug)]
pub(super) struct Scope {
    condemned: BTreeSet<Key>,
}

impl Scope {
    pub(super) fn of(known: &Known) -> Scope {
        Scope { condemned: known.horizon().map(condemned_by).unwrap_or_default() }
    }

    /// Whether the verification is about this object.
    pub(super) fn has(&self, key: Key) -> bool {
        !self.condemned.contains(&key)
    }

    /// The objects that it is about, of those that are listed.
    pub(super) fn objects(&self, known: &Known) -> Vec<Object> {
        known.listing().objects().filter(|object| self.has(object.key)).collect()
    }

    /// How many are left out, of those that are listed.
    pub(super) fn left_out(&self, known: &Known) -> u64 {
        known.listing().objects().filter(|object| !self.has(object.key)).count() as u64
    }
}

/// Does without an object that was listed and cannot be used. That is a finding, unless it is gone and may be.
pub(super) async fn exclude(
    survey: &mut Survey,
    key: Key,
    what: String,
) -> Result<Option<Finding>> {
    let is_gone = survey.store().size(&key).await?.is_none();
    let finding = match is_gone && may_be_gone(survey, key).await? {
        true => None,
        false => Some(Finding { key, severity: Severity::Damage, what: what.clone() }),
    };
    survey.exclude(key, what);
    Ok(finding)
}

/// Whether an object that was listed may be gone by now: a segment of which there is a pack, or one that a newer horizon
/// condemns.
async fn may_be_gone(survey: &Survey, key: Key) -> Result<bool> {
    let known = survey.known();
    let is_in_pack = |txid| {
        let mut packs = known.listing().packs_with(txid);
        packs.any(|object| known.is_usable(object.key))
    };
    if let Key::Log(first) = key
        && is_in_pack(first)
    {
        return Ok(true);
    }
    let newest = newest_horizon(&**survey.store(), survey.manifest()).await?;
    Ok(newest.is_some_and(|newest| condemned_by(&newest.horizon).contains(&key)))
}

fn condemned_by(horizon: &Horizon) -> BTreeSet<Key> {
    let contents = &horizon.contents;
    contents.condemned.iter().chain(&contents.held).map(|object| object.name).collect()
}
