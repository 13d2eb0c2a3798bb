//! What a restore gives, told before it is done or afterwards.

use std::sync::Arc;

use ebbtide_replica::{EntryKind, Key, Point, ReplicaId, Timestamp, Txid};
use ebbtide_store::Store;
use ebbtide_wal::PageSize;

use crate::anchor::{Anchor, hold_to};
use crate::piece::IndexState;
use crate::plan::Plan;
use crate::plan_error::Result;
use crate::progress::Progress;
use crate::survey::Survey;
use crate::target::{Notice, Target};

/// A state of a database and what it is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// The replica.
    pub replica: ReplicaId,
    /// The page size of the database.
    pub page_size: PageSize,
    /// The state.
    pub point: IndexState,
    /// The last entry up to it that is no claim, if that is known: the commit that the database is as of.
    pub commit: Option<Point>,
    /// The newest entry of the replica, which may be a claim.
    pub head: Txid,
    /// Whether the database is in this state after the newest entry, too.
    pub is_newest: bool,
    /// The snapshot that it is built on, if it is built on one.
    pub snapshot: Option<Key>,
    /// How many objects it is built from.
    pub objects: usize,
    /// How many bytes they have together.
    pub object_bytes: u64,
    /// What the user ought to know.
    pub notices: Vec<Notice>,
}

impl Outline {
    /// That of a plan for the replica that `survey` reads, whose newest entry is `head`.
    #[must_use]
    pub fn of(survey: &Survey, plan: &Plan, head: Txid) -> Outline {
        Outline {
            replica: survey.manifest().replica,
            page_size: survey.manifest().page_size,
            point: plan.stop,
            commit: (plan.stop.kind != EntryKind::Claim).then_some(plan.stop.state.point),
            head,
            is_newest: survey.newest().is_some_and(|newest| {
                (newest.state.digest, newest.state.database_pages)
                    == (plan.stop.state.digest, plan.stop.state.database_pages)
            }),
            snapshot: plan.snapshot.map(|object| object.key),
            objects: plan.objects().count(),
            object_bytes: plan.objects().map(|object| object.size).sum(),
            notices: plan.notices.clone(),
        }
    }

    /// The same with the commit before a claim, which may take a request.
    pub async fn with_commit(self, survey: &Survey) -> Outline {
        Outline { commit: survey.last_change(&self.point).await, ..self }
    }

    /// The size of the database file.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        u64::from(self.point.state.database_pages) * self.page_size.offset()
    }
}

/// What a restore would give, without doing it.
pub async fn outline(
    store: Arc<dyn Store>,
    target: Target,
    expect: Option<Anchor>,
    now: Timestamp,
) -> Result<Outline> {
    let mut survey = Survey::recent(store, Arc::new(Progress::default())).await?;
    let plan = survey.plan(target, now).await?;
    if let Some(anchor) = &expect {
        hold_to(&mut survey, &plan, anchor).await?;
    }
    let head = survey.head().await?.unwrap_or(plan.stop.state.txid()).max(plan.stop.state.txid());
    Ok(Outline::of(&survey, &plan, head).with_commit(&survey).await)
}
