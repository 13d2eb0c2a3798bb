//! One pass over a replica: what is in packs goes, what was condemned long enough ago goes, and what the policy does not
//! keep is condemned.

use std::collections::BTreeSet;
use std::sync::Arc;

use ebbtide_fault::point;
use ebbtide_replica::{Key, Timestamp, Txid};
use ebbtide_store::{Object, Store};

use crate::condemn::{delete_old_horizons, horizon, put};
use crate::deletion::{Deleted, delete_condemned};
use crate::error::{PruneError, Result};
use crate::extent::Extent;
use crate::finish::{due, is_due};
use crate::given_up::given_up;
use crate::grace::{GRACE_MICROS, age_micros};
use crate::inventory::Inventory;
use crate::keep::Keep;
use crate::marks::marks;
use crate::outlook::{Outlook, outlook};
use crate::packed::{delete_packed, packed};
use crate::select::Marked;

/// What a pass does.
#[derive(Debug, Clone)]
pub struct Pass {
    /// The policy; without one, no state is given up.
    pub keep: Option<Keep>,
    /// Whether so much may go that a person has to confirm it.
    pub confirm_shrink: bool,
    /// Whether a horizon is put for little, too; otherwise only for [`WORTH_BYTES`] or [`WORTH_OBJECTS`], or after
    /// [`WORTH_DAYS`].
    pub thorough: bool,
    /// Who writes: the version.
    pub by: String,
}

/// A horizon is put if that many bytes would go…
pub const WORTH_BYTES: u64 = 1024 * 1024;
/// …or that many objects…
pub const WORTH_OBJECTS: usize = 1000;
/// …or if the last one is so many days old.
pub const WORTH_DAYS: i64 = 30;

/// What a pass would do.
#[derive(Debug)]
#[non_exhaustive]
pub struct Preview {
    /// Segments that are in packs and may go now.
    pub packed: Vec<Object>,
    /// What was condemned long enough ago and may go now.
    pub due: Vec<Object>,
    /// When what the newest horizon has condemned may go, if it has condemned anything that is still there.
    pub due_at: Option<Timestamp>,
    /// What the next horizon would say.
    pub outlook: Outlook,
}

/// What a pass has done.
#[derive(Debug)]
#[non_exhaustive]
pub struct Pruned {
    /// Segments that were in packs.
    pub packed: Deleted,
    /// What was condemned before.
    pub condemned: Deleted,
    /// What is kept now, and what was condemned if a horizon was put.
    pub outlook: Outlook,
    /// The number of the horizon that was put, if one was.
    pub horizon: Option<u64>,
    /// Nothing was condemned, because what the newest horizon has condemned goes first, from this time on.
    pub waits_until: Option<Timestamp>,
    /// How far the history reaches back now.
    pub extent: Option<Extent>,
}

/// What a pass would do at `now`, the store's time. Nothing is changed.
///
/// # Errors
/// As [`prune`].
pub async fn preview(
    store: Arc<dyn Store>,
    keep: Option<&Keep>,
    now: Timestamp,
) -> Result<Preview> {
    let mut inventory = Inventory::look(store, now).await?;
    let found = packed(&inventory).await?;
    let packed = found.into_iter().flat_map(|packed| packed.segments).collect();
    let marks = marks(&mut inventory).await?;
    let due = due(&mut inventory, &txids(&marks)).await?;
    let due_at = inventory.horizon().filter(|stored| !stored.horizon.contents.condemned.is_empty());
    let due_at = due_at.map(|stored| stored.stored.as_micros().saturating_add(GRACE_MICROS));
    let outlook = outlook(&mut inventory, keep, &marks).await?;
    Ok(Preview { packed, due, due_at: due_at.and_then(Timestamp::from_micros), outlook })
}

/// Does a pass. What it leaves undone when it is killed, the next one does.
///
/// # Errors
/// Nothing is deleted if what the newest horizon relies on is missing or a state that is to be kept cannot be restored.
pub async fn prune(store: Arc<dyn Store>, pass: &Pass) -> Result<Pruned> {
    point("prune.begin");
    let now = store.now().await?;
    let mut inventory = Inventory::look(Arc::clone(&store), now).await?;
    let found = packed(&inventory).await?;
    let packed = delete_packed(&inventory, found).await?;
    let condemned = finish(&mut inventory).await?;
    if packed.objects + condemned.objects > 0 {
        inventory = Inventory::look(Arc::clone(&store), now).await?;
    }
    let marks = marks(&mut inventory).await?;
    let outlook = outlook(&mut inventory, pass.keep.as_ref(), &marks).await?;
    let number = condemn(&inventory, &outlook, pass).await?;
    let waits_until = pending(&inventory, &outlook).filter(|_| number.is_none());
    let waits_until = waits_until.filter(|_| !outlook.unneeded.is_empty());
    let states = outlook.states.iter().map(|kept| &kept.state);
    let extent = match number.and_then(|_| Extent::kept(outlook.window, states)) {
        None => Extent::of(&mut inventory.survey).await?,
        extent => extent,
    };
    Ok(Pruned { packed, condemned, outlook, horizon: number, waits_until, extent })
}

/// Deletes segments that are in packs, and what horizons have condemned long enough ago, and puts none: for a copy of a
/// replica, `source`, whose horizons come from there. How long ago is counted by the store of the copy.
///
/// # Errors
/// As [`prune`].
pub async fn sweep(store: Arc<dyn Store>, source: &dyn Store) -> Result<[Deleted; 2]> {
    let now = store.now().await?;
    let mut inventory = Inventory::look(Arc::clone(&store), now).await?;
    let found = packed(&inventory).await?;
    let packed = delete_packed(&inventory, found).await?;
    let mut condemned = finish(&mut inventory).await?;
    if condemned.objects == 0 {
        condemned = delete_given_up(&mut inventory, source).await?;
    }
    if let Some(newest) = inventory.horizon() {
        delete_old_horizons(&*store, newest.horizon.number).await?;
    }
    Ok([packed, condemned])
}

/// Deletes what is due. The marks are listed after the horizon was found old enough.
async fn finish(inventory: &mut Inventory) -> Result<Deleted> {
    if !is_due(inventory) {
        return Ok(Deleted::default());
    }
    let marks = marks(inventory).await?;
    let due = due(inventory, &txids(&marks)).await?;
    point("prune.finish.begin");
    match inventory.horizon() {
        Some(stored) if !due.is_empty() => delete_condemned(inventory.store(), stored, &due).await,
        _ => Ok(Deleted::default()),
    }
}

/// Deletes what the source has given up, and no horizon of the last day needs.
async fn delete_given_up(inventory: &mut Inventory, source: &dyn Store) -> Result<Deleted> {
    let marks = marks(inventory).await?;
    let given_up = given_up(inventory, &txids(&marks), source).await?;
    match inventory.horizon() {
        Some(newest) if !given_up.is_empty() => {
            delete_condemned(inventory.store(), newest, &given_up).await
        }
        _ => Ok(Deleted::default()),
    }
}

async fn condemn(inventory: &Inventory, outlook: &Outlook, pass: &Pass) -> Result<Option<u64>> {
    if outlook.unneeded.is_empty() || !is_worth_it(inventory, outlook, pass) {
        return Ok(None);
    }
    let keep = pass.keep.as_ref().map(ToString::to_string);
    if !pass.confirm_shrink {
        check_shrink(inventory, outlook, keep.as_deref())?;
    }
    if pending(inventory, outlook).is_some() {
        return Ok(None);
    }
    let horizon = horizon(inventory, outlook, keep, &pass.by)?;
    put(inventory.store(), inventory.survey.manifest(), &horizon).await?;
    delete_old_horizons(inventory.store(), horizon.number).await?;
    point("prune.end");
    Ok(Some(horizon.number))
}

/// When what the newest horizon has condemned may go, if that is still to come. Another horizon would begin the grace again,
/// and one a day, or an hour, would keep everything for ever.
fn pending(inventory: &Inventory, outlook: &Outlook) -> Option<Timestamp> {
    let stored = inventory.horizon()?;
    let condemned = &stored.horizon.contents.condemned;
    let is_there = outlook.carried.iter().any(|object| condemned.contains(object));
    let until = stored.stored.as_micros().saturating_add(GRACE_MICROS);
    Timestamp::from_micros(until).filter(|_| is_there && !is_due(inventory))
}

fn is_worth_it(inventory: &Inventory, outlook: &Outlook, pass: &Pass) -> bool {
    const DAY_MICROS: i64 = 24 * 3_600_000_000;
    let age = inventory.horizon().map(|stored| age_micros(stored.stored, inventory.now));
    // One a day, so that each has its grace.
    let is_early = age.is_some_and(|age| age < DAY_MICROS);
    let is_old = age.is_none_or(|age| age >= WORTH_DAYS * DAY_MICROS);
    let is_much = outlook.bytes() >= WORTH_BYTES || outlook.unneeded.len() >= WORTH_OBJECTS;
    pass.thorough || (!is_early && (is_old || is_much))
}

/// The first pass of a policy that gives up most of what there was is confirmed by a person.
fn check_shrink(inventory: &Inventory, outlook: &Outlook, keep: Option<&str>) -> Result<()> {
    let before = inventory.horizon();
    if before.is_some_and(|stored| stored.horizon.contents.keep.as_deref() == keep) {
        return Ok(());
    }
    let states = before.map_or(0, |stored| stored.horizon.contents.states.len());
    if outlook.given_up * 2 > states {
        let given_up = outlook.given_up;
        let why = format!("{given_up} of {states} older states would be given up");
        return Err(PruneError::Shrinks { why });
    }
    let gone: BTreeSet<Key> = outlook.unneeded.iter().map(|object| object.key).collect();
    let snapshots = &inventory.listing().snapshots;
    let stay = snapshots.iter().filter(|object| !gone.contains(&object.key)).count();
    if stay < 2 && snapshots.len() > 2 {
        let all = snapshots.len();
        return Err(PruneError::Shrinks {
            why: format!("{stay} of {all} full snapshots would stay"),
        });
    }
    Ok(())
}

fn txids(marks: &[Marked]) -> Vec<Txid> {
    marks.iter().map(|mark| mark.txid).collect()
}
