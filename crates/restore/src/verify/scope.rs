//! Which objects a verification is about: all but those that the newest horizon condemns, which no reader uses, and which
//! may be gone at any moment.

use std::collections::BTreeSet;

use ebbtide_catalog::{Known, Survey, newest_horizon};
use ebbtide_replica::{Horizon, Key};
use ebbtide_store::Object;

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

/// Whether an object that was listed may be gone by now: a segment of which there is a pack, or one that a newer horizon
/// condemns.
pub(super) async fn may_be_gone(survey: &Survey, key: Key) -> Result<bool> {
    let known = survey.known();
    let is_in_pack = |txid| {
        known.listing().packs.iter().any(|object| match object.key {
            Key::Pack { first, last } => {
                (first..=last).contains(&txid) && known.is_usable(object.key)
            }
            _ => false,
        })
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
