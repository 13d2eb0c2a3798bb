//! A drill: restores by itself, the newest state and one that is kept, so that somebody knows that a restore succeeds
//! before one is needed.
//!
//! A state is restored into a file that nobody else sees, which SQLite checks, and which is gone afterwards; or its pages
//! are fetched, decoded and hashed alone. Either way every page is proved by the chain and all of them by the digest. What
//! a kill leaves of the file is removed by the next drill in the same directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ebbtide_catalog::{
    Anchor, Known, Plan, PlanError, Progress, Survey, Target, first_of, hold_to,
};
use ebbtide_fault::point;
use ebbtide_replica::{EntryState, Point, ReplicaId, Timestamp, Txid};
use ebbtide_store::{KeyError, Pace, Store};

use crate::blocking::blocking;
use crate::check::Check;
use crate::error::{Error, Result};
use crate::fetch::{Stopped, fetch};
use crate::run::{checked, unproven};
use crate::sink::Sink;
use crate::space::{allocate, check_space};
use crate::temporary::{Temporary, remove_abandoned};
use crate::verify::follow_from_base;

/// Free space that a drill leaves to others, besides a tenth of the database's size.
const SPACE_RESERVE: u64 = 256 * 1024 * 1024;

/// How the names of a drill's files begin.
const PREFIX: &str = ".ebbtide-drill-";

/// What a drill does.
#[derive(Debug, Clone)]
pub struct Drill {
    /// The directory of the file; nothing: pages are hashed alone.
    pub directory: Option<PathBuf>,
    /// What must be true of the file.
    pub check: Option<Check>,
    /// How many bytes of objects are fetched in a second at most.
    pub bytes_per_second: Option<u64>,
    /// Any number: which of the older states is restored.
    pub random: u64,
    /// The state that the local state of the live database knows to be durable, and the replica that it is in.
    pub durable: Option<(ReplicaId, EntryState)>,
    /// The time.
    pub now: Timestamp,
}

/// What a drill has proved.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// The replica.
    pub replica: ReplicaId,
    /// Where it lies.
    pub place: String,
    /// The newest state.
    pub newest: DrilledState,
    /// An older one, if there is one.
    pub kept: Option<DrilledState>,
    /// Whether the history leads through what the live database is known to be at.
    pub is_compared: bool,
    /// How many bytes of objects were fetched.
    pub bytes_fetched: u64,
}

/// A state that was restored.
#[derive(Debug, Clone)]
pub struct DrilledState {
    /// The entry.
    pub point: Point,
    /// Its size in pages.
    pub database_pages: u32,
    /// Whether its images were read; those of an encrypted replica are not without an identity, and its page hashes alone
    /// were proved.
    pub is_opened: bool,
    /// Whether SQLite has checked all of it.
    pub is_checked: bool,
    /// Why not, if it was asked to.
    pub unchecked: Option<String>,
    /// What ought to be known: which objects were planned around.
    pub notices: Vec<String>,
}

/// Restores the newest state and an older one, and keeps neither.
///
/// # Errors
/// As a restore, for whatever would keep one from succeeding; [`Error::Refused`] when there is not enough space.
pub async fn drill(
    store: Arc<dyn Store>,
    drill: &Drill,
    progress: &Arc<Progress>,
) -> Result<Drilled> {
    let mut survey = Survey::recent(store, Arc::clone(progress)).await?;
    let pace = Arc::new(Pace::new(drill.bytes_per_second));
    point("drill.begin");
    let newest = prove(&mut survey, Target::Latest, drill, &pace, progress).await?;
    point("drill.newest");
    let kept = match choose(survey.known(), newest.point.txid, drill.random) {
        Some(txid) => Some(prove(&mut survey, Target::Txid(txid), drill, &pace, progress).await?),
        None => None,
    };
    point("drill.kept");
    Ok(Drilled {
        replica: survey.manifest().replica,
        place: survey.store().describe(),
        newest,
        kept,
        is_compared: durable(&survey, drill).is_some(),
        bytes_fetched: progress.counts().fetched,
    })
}

/// A number that nobody can tell beforehand, for [`Drill::random`].
#[must_use]
pub fn arbitrary(place: &str, now: Timestamp) -> u64 {
    let text = format!("{place} {}", now.as_micros());
    let mut number = [0; 8];
    blake3::Hasher::new().update(text.as_bytes()).finalize_xof().fill(&mut number);
    u64::from_le_bytes(number)
}

/// Removes what drills that were killed have left in a directory.
///
/// # Errors
/// Of the file system.
pub fn remove_drill_files(directory: &Path) -> Result<()> {
    remove_abandoned(directory, PREFIX)
}

/// An older state: as often one that a horizon keeps as one of the window, where there are both.
fn choose(known: &Known, newest: Txid, random: u64) -> Option<Txid> {
    let kept = known.kept_states();
    let oldest = known.listing().snapshots.first().and_then(|object| first_of(object.key))?;
    let first = oldest.max(known.window());
    let within = newest.get().saturating_sub(first.get());
    let at = random >> 1;
    let is_kept = within == 0 || random & 1 == 0;
    if let Some(at) = at.checked_rem(kept.len() as u64).filter(|_| is_kept) {
        return usize::try_from(at).ok().and_then(|at| kept.get(at)).map(|state| state.txid);
    }
    at.checked_rem(within).and_then(|at| Txid::new(first.get() + at))
}

/// Restores one state. What is damaged or gone is planned around, as a restore does.
async fn prove(
    survey: &mut Survey,
    target: Target,
    drill: &Drill,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
) -> Result<DrilledState> {
    loop {
        let (plan, is_opened) = match survey.plan_to_read(target, drill.now).await {
            Err(PlanError::Key(KeyError::NoIdentity { .. })) => {
                (survey.plan(target, drill.now).await?, false)
            }
            plan => (plan?, true),
        };
        if let (Target::Latest, Some(durable)) = (target, durable(survey, drill)) {
            compare(survey, &plan, durable).await?;
        }
        let attempted = match is_opened {
            true => attempt(survey, &plan, drill, pace, progress).await,
            false => prove_hashes(survey, &plan).await.map(|()| (false, None)),
        };
        match attempted {
            Ok((is_checked, unchecked)) => {
                let EntryState { point, database_pages, .. } = plan.stop.state;
                let notices = plan.notices.iter().map(ToString::to_string).collect();
                return Ok(DrilledState {
                    point,
                    database_pages,
                    is_opened,
                    is_checked,
                    unchecked,
                    notices,
                });
            }
            Err(Stopped::Failed(error)) => return Err(error),
            Err(Stopped::Gone(key)) => survey.miss(key),
            Err(Stopped::Damaged(key, why)) => survey.exclude(key, why),
        }
    }
}

/// Without what opens the images: the hashes of the state's pages add up to its digest.
async fn prove_hashes(survey: &Survey, plan: &Plan) -> Result<(), Stopped> {
    let rows = follow_from_base(survey, plan).await.map_err(Stopped::Failed)?;
    let EntryState { digest, database_pages, .. } = plan.stop.state;
    match rows.digest() == digest && rows.count() == database_pages {
        true => Ok(()),
        false => Err(unproven(survey, plan).await),
    }
}

/// What the live database is known to be, if its local state is of this replica.
fn durable<'a>(survey: &Survey, drill: &'a Drill) -> Option<&'a EntryState> {
    let (replica, state) = drill.durable.as_ref()?;
    (*replica == survey.manifest().replica).then_some(state)
}

/// The newest state must be what the live database is known to be, or come after it in one history.
async fn compare(survey: &mut Survey, plan: &Plan, durable: &EntryState) -> Result<()> {
    let stop = &plan.stop.state;
    if stop.txid() == durable.txid() && !stop.has_same_pages(durable) {
        let why = format!(
            "txid {} has the digest {} there, and {} in the live database",
            stop.txid(),
            stop.digest,
            durable.digest
        );
        return Err(PlanError::Unexpected { why }.into());
    }
    let anchor = Anchor { chain: durable.chain, txid: Some(durable.txid()) };
    Ok(hold_to(survey, plan, &anchor).await?)
}

/// Whether SQLite has checked it, and why not if it should have.
async fn attempt(
    survey: &Survey,
    plan: &Plan,
    drill: &Drill,
    pace: &Arc<Pace>,
    progress: &Arc<Progress>,
) -> Result<(bool, Option<String>), Stopped> {
    let page_size = survey.manifest().page_size;
    let size = u64::from(plan.stop.state.database_pages) * page_size.offset();
    let file = match drill.directory.clone() {
        Some(directory) => {
            let made = blocking(move || make_file(&directory, size)).await;
            Some(made.map_err(Stopped::Failed)?)
        }
        None => None,
    };
    let sink = match &file {
        Some(file) => {
            let cloned = file.as_file().try_clone().map_err(Error::io("open", file.path()));
            let cloned = Arc::new(cloned.map_err(Stopped::Failed)?);
            Sink::new(&cloned, file.path(), page_size, None)
        }
        None => Sink::nowhere(page_size),
    };
    let sink = Arc::new(sink);
    let written = fetch(survey, plan, &sink, pace, progress).await?;
    drop(sink);
    if written.missing > 0 || written.digest != plan.stop.state.digest {
        return Err(unproven(survey, plan).await);
    }
    point("drill.fetched");
    let Some(file) = file.filter(|_| drill.check.is_some()) else { return Ok((false, None)) };
    let unchecked = checked(drill.check.clone(), file.path()).await.map_err(Stopped::Failed)?;
    Ok((unchecked.is_none(), unchecked))
}

/// A file of `size` bytes that only its owner can read, and that is removed when it is dropped.
fn make_file(directory: &Path, size: u64) -> Result<Temporary> {
    remove_abandoned(directory, PREFIX)?;
    check_space(directory, size, SPACE_RESERVE.saturating_add(size / 10))?;
    let file = Temporary::create(directory, PREFIX)?;
    allocate(file.as_file(), size).map_err(Error::io("make room for", file.path()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use ebbtide_catalog::Listing;
    use ebbtide_replica::Key;
    use ebbtide_store::Object;

    use super::*;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    #[test]
    fn every_state_of_the_history_but_the_newest_is_chosen_now_and_then() {
        let snapshots = vec![Object::new(Key::Snapshot(txid(2)), 1)];
        let known = Known::new(Listing { snapshots, ..Listing::default() });
        let chosen = |newest: u64| {
            let chosen = (0..1000).filter_map(|random| choose(&known, txid(newest), random));
            let mut chosen: Vec<u64> = chosen.map(Txid::get).collect();
            chosen.sort_unstable();
            chosen.dedup();
            chosen
        };
        assert_eq!(chosen(2), [0; 0]);
        assert_eq!(chosen(3), [2]);
        assert_eq!(chosen(30), (2..30).collect::<Vec<u64>>());
        assert_eq!(choose(&Known::default(), txid(9), 7), None, "there is no base");
    }
}
