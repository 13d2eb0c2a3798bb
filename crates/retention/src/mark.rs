//! Marks a state: puts a mark, and then judges it beside the newest horizon. Only a mark that counts stays.
//!
//! Whoever deletes puts a horizon first, and lists the marks again once that is older than the grace. Whoever marks puts
//! the mark first, and reads the newest horizon then. So whichever was second sees the other, if a listing lags by no
//! more than [`LAG_MICROS`](crate::LAG_MICROS). `tests/model/horizons/marker.rs` has the rule.
//!
//! A process that is killed between the two leaves a mark that nobody was told of. It keeps its state if that can be had.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ebbtide_catalog::{
    CatalogError, Identity, Nearest, Nothing, Notice, Plan, PlanError, Progress, StoredHorizon,
    Survey, Target, identify, newest_horizon, sealing,
};
use ebbtide_fault::point;
use ebbtide_replica::{Error, Key, KeyPrefix, Mark, MarkContents, Point, Timestamp};
use ebbtide_store::retry::{LastServed, Policy, retry};
use ebbtide_store::{ErrorKind, Store, StoreError};

use crate::grace::is_in_time;
use crate::period::Period;

/// A put whose end is unknown is tried again: the name is create-only, and nobody else's.
const PUTS: Policy =
    Policy { first: Duration::from_millis(100), longest: Duration::from_secs(2), attempts: 5 };

/// The name of a mark that says of the last state of a history that its database was removed, and is not to come back by
/// itself.
pub const REMOVED: &str = "removed";

/// What to mark.
#[derive(Debug, Clone)]
pub struct Marking {
    /// What the mark is called.
    pub name: String,
    /// For how long it keeps the state, from when it is put.
    pub lasts: Period,
    /// Which state.
    pub target: Target,
    /// Tells marks of one entry apart.
    pub random: u64,
    /// The time, by which the future is told from the past.
    pub now: Timestamp,
}

/// A mark that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The mark.
    pub mark: Mark,
    /// What the user ought to know of the state.
    pub notices: Vec<Notice>,
}

/// Why nothing was marked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MarkError {
    /// There is no such state, or it cannot be read.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The mark itself cannot be written as it is wanted.
    #[error(transparent)]
    Unwritable(Error),
    /// Who prunes may have begun to delete what the state needs. The mark was removed again.
    #[error("{nothing}: what it needs is to be deleted, and may be gone any moment")]
    Condemned {
        /// With the neighbours.
        nothing: Nothing,
    },
    /// The mark does not count, and is still there.
    #[error("{why}; and its mark could not be removed: remove {key} with `ebbtide unmark`")]
    Left {
        /// The mark.
        key: Key,
        /// Why it does not count.
        why: Box<MarkError>,
        /// Why it is still there.
        source: StoreError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CatalogError> for MarkError {
    fn from(error: CatalogError) -> MarkError {
        MarkError::Plan(error.into())
    }
}

/// Marks a state. Returns once nobody deletes what it needs without seeing the mark first.
///
/// # Errors
/// When there is no such state, with its neighbours; then there is no mark either, unless the error says so.
pub async fn mark(store: Arc<dyn Store>, marking: Marking) -> Result<Made, MarkError> {
    let Some(Identity { manifest, .. }) = identify(&*store, None).await? else {
        return Err(PlanError::Nothing(Nothing::Replica { place: store.describe() }).into());
    };
    let plan = find(&store, marking.target, marking.now).await?;
    let Point { txid, time } = plan.stop.state.point;
    let lasts = match marking.lasts {
        Period::Forever => None,
        lasts @ Period::Hours(_) => Some(lasts.to_string()),
    };
    let mark = Mark {
        replica: manifest.replica,
        page_size: manifest.page_size,
        txid,
        random: marking.random,
        chain: plan.stop.state.chain,
        digest: plan.stop.state.digest,
        contents: MarkContents { name: marking.name, txid, time, lasts },
    };
    let body = match sealing(&*store, &manifest).await? {
        Some(sealing) => mark.seal(&sealing),
        None => mark.encode(),
    };
    let body = body.map_err(MarkError::Unwritable)?;
    point("mark.put.begin");
    let key = mark.key();
    put(&*store, key, body).await?;
    point("mark.put.done");
    let judged = match newest_horizon(&*store, &manifest).await {
        Ok(newest) => judge(&store, &mark, newest.as_ref(), marking.now).await,
        Err(error) => Err(error.into()),
    };
    match judged {
        Ok(()) => Ok(Made { mark, notices: plan.notices }),
        Err(why) => match store.delete(&key).await {
            Ok(()) => Err(why),
            Err(source) => Err(MarkError::Left { key, why: Box::new(why), source }),
        },
    }
}

/// The state that is wanted. What the newest horizon alone has condemned is still there.
async fn find(store: &Arc<dyn Store>, target: Target, now: Timestamp) -> Result<Plan, MarkError> {
    let mut survey = Survey::recent(Arc::clone(store), Arc::new(Progress::default())).await?;
    let refused = match survey.plan(target, now).await {
        Err(refused @ PlanError::Nothing(Nothing::At { .. } | Nothing::Kept { .. })) => refused,
        Err(refused @ PlanError::Nothing(Nothing::Before { .. })) => refused,
        planned => return Ok(planned?),
    };
    if !survey.step_back().await? {
        return Err(refused.into());
    }
    match survey.plan(target, now).await {
        Err(PlanError::Nothing(_) | PlanError::Damaged { .. }) => Err(refused.into()),
        planned => Ok(planned?),
    }
}

async fn put(store: &dyn Store, key: Key, body: Vec<u8>) -> Result<(), MarkError> {
    let body = Bytes::from(body);
    let put = || store.put(&key, body.clone());
    match retry(&PUTS, &LastServed::default(), put).await {
        // An attempt before the last one has put it.
        Err(error) if error.kind() == ErrorKind::Exists => {
            let there = store.get(&key, Mark::SIZE_MAX).await?;
            if there == body { Ok(()) } else { Err(error.into()) }
        }
        put => Ok(put?),
    }
}

/// Whether the mark, which is there, counts beside this horizon: whether nobody deletes what its state needs without
/// seeing the mark first.
///
/// # Errors
/// With the neighbours of the state, if it does not.
pub async fn judge(
    store: &Arc<dyn Store>,
    mark: &Mark,
    newest: Option<&StoredHorizon>,
    now: Timestamp,
) -> Result<(), MarkError> {
    let Some(newest) = newest else { return Ok(()) };
    let horizon = &newest.horizon;
    let mut states = horizon.contents.states.iter();
    let is_kept = states.any(|state| state.txid == mark.txid && state.chain() == Some(mark.chain));
    if mark.txid >= horizon.window || is_kept {
        return Ok(());
    }
    let put = put_at(&**store, mark).await?;
    let is_in_time = put.is_some_and(|put| is_in_time(newest.stored, put));
    let is_lost = |since: u64| !is_in_time || since != horizon.number;
    let condemned = horizon.contents.condemned.iter().filter(|object| is_lost(object.since));
    // What somebody takes back is neither relied on nor deleted, until that has ended.
    let lost = condemned.chain(&horizon.contents.held).map(|object| object.name);
    let lost: BTreeSet<Key> = lost.collect();
    let mut survey = Survey::new(Arc::clone(store), Arc::new(Progress::default())).await?;
    survey.set_aside(lost.iter().copied(), "it is to be deleted");
    let target = Target::Marked { txid: mark.txid, chain: mark.chain };
    let nothing = match survey.plan(target, now).await {
        // What was set aside is forgotten if the objects had to be listed again.
        Ok(plan) if plan.objects().all(|object| !lost.contains(&object.key)) => return Ok(()),
        Ok(plan) => Nothing::Kept { wanted: plan.stop.state.txid(), nearest: Nearest::default() },
        Err(PlanError::Nothing(nothing)) => nothing,
        Err(error) => return Err(error.into()),
    };
    Err(MarkError::Condemned { nothing })
}

/// Since when the store has had the mark, if a listing shows it.
async fn put_at(store: &dyn Store, mark: &Mark) -> Result<Option<Timestamp>, StoreError> {
    let listed = store.list(KeyPrefix::Mark, None).await?;
    let found = listed.into_iter().find(|object| object.key == mark.key());
    Ok(found.map(|object| object.modified))
}
