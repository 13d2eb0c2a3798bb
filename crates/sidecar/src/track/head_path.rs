//! What a restore of the newest state begins with: the newest snapshot that an entry vouches for, and the deltas after it.

use std::sync::Arc;

use ebbtide_catalog::{Notice, Part, Plan, PlanError, Survey, Target};
use ebbtide_replica::{Timestamp, Txid, Vouch};
use ebbtide_store::{Object, Store};

/// A snapshot or delta.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Member {
    /// What vouches for it.
    pub(crate) vouch: Vouch,
    /// Its length.
    pub(crate) bytes: u64,
}

/// What a replica says: what a restore of its newest state begins with, and which objects of the log come after that;
/// nothing if it has no snapshot that an entry vouches for.
pub type Found = Option<(HeadPath, Vec<Part>)>;

/// The snapshot and the deltas.
#[derive(Debug, Clone)]
pub struct HeadPath {
    pub(crate) snapshot: Member,
    /// The size of the database in the snapshot, in pages.
    pub(crate) snapshot_pages: u32,
    /// The oldest first.
    pub(crate) deltas: Vec<Member>,
}

impl HeadPath {
    /// One that begins with a new snapshot.
    pub(crate) fn new(snapshot: Member, snapshot_pages: u32) -> HeadPath {
        HeadPath { snapshot, snapshot_pages, deltas: Vec::new() }
    }

    /// That of a replica, and what came after it; nothing if there is none that an entry vouches for.
    pub(crate) async fn read(store: Arc<dyn Store>, now: Timestamp) -> Result<Found, PlanError> {
        let mut survey = Survey::recent(store, Arc::default()).await?;
        let plan = match survey.plan(Target::Latest, now).await {
            Ok(plan) => plan,
            Err(PlanError::Nothing(_) | PlanError::Damaged { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(HeadPath::of(&survey, &plan))
    }

    fn of(survey: &Survey, plan: &Plan) -> Found {
        let weak = |notice: &Notice| {
            matches!(notice, Notice::DigestOnly { .. } | Notice::Unvouched { .. })
        };
        if plan.notices.iter().any(weak) {
            return None;
        }
        let member = |object: &Object| {
            let end = survey.known().piece(object.key)?.end()?;
            let vouch = Vouch { object: object.key, content: end.content };
            Some((Member { vouch, bytes: object.size }, end.state.database_pages))
        };
        let (snapshot, snapshot_pages) = member(&plan.snapshot?)?;
        let deltas = plan.deltas.iter().map(|delta| member(delta).map(|(delta, _)| delta));
        let deltas = deltas.collect::<Option<Vec<Member>>>()?;
        Some((HeadPath { snapshot, snapshot_pages, deltas }, plan.history.clone()))
    }

    /// How many of the deltas lead to the state after `base`, or a little further; nothing if all together do not.
    pub(crate) fn deltas_to(&self, base: Txid) -> Option<usize> {
        let reaches = |member: &Member| member.vouch.object.state() >= Some(base);
        if reaches(&self.snapshot) {
            return Some(0);
        }
        self.deltas.iter().position(reaches).map(|last| last + 1)
    }

    /// The state that they lead to.
    pub(crate) fn end(&self) -> Option<Txid> {
        self.deltas.last().unwrap_or(&self.snapshot).vouch.object.state()
    }

    /// A delta takes the place of those after the first `kept`.
    pub(crate) fn add(&mut self, kept: usize, delta: Member) {
        self.deltas.truncate(kept);
        self.deltas.push(delta);
    }

    /// What an entry has to vouch for.
    pub(crate) fn vouches(&self) -> Vec<Vouch> {
        [&self.snapshot].into_iter().chain(&self.deltas).map(|member| member.vouch).collect()
    }
}
