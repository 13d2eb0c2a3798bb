//! Looks at a replica: reads what planning asks for, until there is a plan or a reason why there is none.

mod ahead;
mod begin;
mod cache;
mod chase;
mod end;
mod last_change;
mod marked;
mod nearest;
mod pages;
mod ranges;
mod states;
mod time;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::read::{SHORT_MAX, presumed_tail, read};
use crate::{CatalogError, Fetched, Identity, IndexCache, list, list_recent};
use ebbtide_replica::container::{Footer, Header};
use ebbtide_replica::{Chain, Key, Manifest, Timestamp, Txid};
use ebbtide_store::{ErrorKind, Object, Store};
use futures::{StreamExt as _, stream};
use tokio::sync::Semaphore;

use crate::horizon::newest_horizon;
use crate::known::{Known, first_of, last_of};
use crate::piece::{Interest, Piece};
use crate::plan::{Goal, Plan, Refusal, Step, plan};
use crate::plan_error::{PlanError, Result};
use crate::progress::Progress;
use crate::target::Target;
pub use ahead::CLOCKS_APART_MICROS_MAX;
use begin::{Begun, begin};
pub use cache::Ahead;
use cache::Cache;
use chase::Chase;
pub use ranges::Range;

/// The number of indexes that are read concurrently. Most are one small object each, so this number of them takes as long
/// as one.
const INDEXES_AT_ONCE: usize = 128;

/// The largest size of the indexes that are read concurrently, in KiB.
const INDEX_KIB_AT_ONCE: u32 = 32 * 1024;

/// How many indexes are read ahead while a chain is looked for.
const CHAINS_AHEAD: usize = 16;

/// How often the objects are listed again because some went away, as they do when segments are merged or retired.
const RELISTED_MAX: u32 = 3;

/// One replica, as far as it has been looked at.
#[derive(Debug)]
pub struct Survey {
    store: Arc<dyn Store>,
    /// When it began to be looked at.
    begun: Instant,
    identity: Identity,
    known: Known,
    /// The names of segments are complete from this entry on; before it, some may be missing whose entries are in no
    /// pack. Nothing: they are complete.
    complete_from: Option<Txid>,
    interest: Interest,
    cache: Cache,
    /// Indexes on the local disk, if there are any…
    indexes: Option<Arc<IndexCache>>,
    /// …and those that were read again from the store because what they led to was damaged.
    refreshed: BTreeSet<Key>,
    progress: Arc<Progress>,
    /// The shortest time that the store took to answer.
    latency: Duration,
    /// An object vanished while we looked: what was listed may be out of date.
    stale: bool,
    /// How often the objects were listed again because of that.
    relisted: u32,
    /// How far the end of the history was followed for the present plan.
    chase: Chase,
}

impl Survey {
    /// Reads what the replica is and the names of all its objects.
    pub async fn new(store: Arc<dyn Store>, progress: Arc<Progress>) -> Result<Survey> {
        let listing = async { list(&*store).await.map(|listing| (listing, None)) };
        let begun = begin(&store, listing).await?;
        Ok(Survey::of(store, progress, begun))
    }

    /// The same, without the names of most segments that are in packs. They are listed once they are needed.
    pub async fn recent(store: Arc<dyn Store>, progress: Arc<Progress>) -> Result<Survey> {
        let begun = begin(&store, list_recent(&*store)).await?;
        Ok(Survey::of(store, progress, begun))
    }

    fn of(store: Arc<dyn Store>, progress: Arc<Progress>, begun: Begun) -> Survey {
        let Begun { begun, identity, latency, listing, complete_from, horizon } = begun;
        let known = Known::new(listing).with_horizon(horizon);
        let interest = Interest { txids: known.listing().states().collect(), time: None };
        let cache = Cache::default();
        let (stale, relisted) = (false, 0);
        Survey {
            store,
            begun,
            identity,
            known,
            complete_from,
            interest,
            cache,
            indexes: None,
            refreshed: BTreeSet::new(),
            progress,
            latency,
            stale,
            relisted,
            chase: Chase::default(),
        }
    }

    /// Indexes are taken from there, and kept there.
    pub fn keep_indexes(&mut self, indexes: Arc<IndexCache>) {
        self.indexes = Some(indexes);
    }

    /// What the replica is.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.identity.manifest
    }

    /// Whether `ebbtide.json` says so itself, and not the objects in its place.
    pub fn has_manifest(&self) -> bool {
        self.identity.is_stored
    }

    /// What is known of it by now.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// Where it lies.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// How long the store takes to answer, roughly.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    /// Marks an object as unusable, so that the next plan does without it.
    pub fn exclude(&mut self, key: Key, why: String) {
        tracing::warn!(object = %key, why, "an object cannot be used");
        self.known.exclude(key, why);
        self.cache.remove(key);
    }

    /// An object was found to be damaged: it is read from another place if the store has one, and otherwise excluded.
    pub async fn reject(&mut self, key: Key, why: String) {
        if self.forget_kept(key) {
            return;
        }
        let Some(size) = self.store.elsewhere(&key).await else {
            return self.exclude(key, why);
        };
        tracing::warn!(object = %key, why, "an object cannot be used; reading it from another source");
        self.cache.remove(key);
        self.known.replace(key, size);
    }

    /// An index from the local disk may be another one than that of the object: it is read again from the store, once.
    fn forget_kept(&mut self, key: Key) -> bool {
        let Some(indexes) = &self.indexes else { return false };
        let object = self.known.listing().objects().find(|object| object.key == key);
        let Some(object) = object.filter(|_| self.refreshed.insert(key)) else { return false };
        indexes.forget(self.manifest(), object);
        self.cache.remove(key);
        self.known.forget(key);
        true
    }

    /// Plans without these objects from now on, of which nothing need be wrong.
    pub fn set_aside(&mut self, keys: impl IntoIterator<Item = Key>, why: &str) {
        for key in keys {
            self.known.exclude(key, why.to_owned());
        }
    }

    /// Marks an object as gone. If nothing serves in its place, the objects are listed again.
    pub fn miss(&mut self, key: Key) {
        self.stale = true;
        self.exclude(key, "it is missing".to_owned());
    }

    /// The way to a state, or the reason why there is none, with the nearest ones that can be had. `now` is the time, by
    /// which the future is told from the past.
    pub async fn plan(&mut self, target: Target, now: Timestamp) -> Result<Plan> {
        self.chase = Chase::default();
        loop {
            let planned = match self.try_plan(target, now).await {
                Ok(plan) => self.with_ahead(plan, target, now).await,
                refused => refused,
            };
            match planned {
                Err(PlanError::Damaged { .. } | PlanError::Nothing(_))
                    if self.stale && self.relisted < RELISTED_MAX =>
                {
                    self.list_again().await?;
                }
                result => return result,
            }
        }
    }

    async fn try_plan(&mut self, target: Target, now: Timestamp) -> Result<Plan> {
        match target {
            Target::Latest => match self.drive(Goal::Head).await? {
                Ok(plan) => Ok(plan),
                Err(refusal) => Err(self.explain(None, refusal).await?),
            },
            Target::Txid(txid) => self.plan_txid(txid).await,
            Target::Marked { txid, chain } => self.plan_marked(txid, chain).await,
            Target::Time(wanted) => self.plan_time(wanted, now).await,
        }
    }

    async fn plan_txid(&mut self, txid: Txid) -> Result<Plan> {
        match self.drive(Goal::Txid(txid)).await? {
            Ok(plan) => Ok(plan),
            Err(refusal) => Err(self.explain(Some(txid), refusal).await?),
        }
    }

    /// Plans and reads in turn.
    async fn drive(&mut self, goal: Goal) -> Result<Result<Plan, Refusal>> {
        self.drive_by(goal, plan).await
    }

    /// The same by this function.
    async fn drive_by(
        &mut self,
        goal: Goal,
        plan: fn(&Known, Goal) -> Step,
    ) -> Result<Result<Plan, Refusal>> {
        if let Goal::Txid(txid) = goal {
            self.interest.txids.insert(txid);
            if self.complete_from.is_some_and(|from| txid.next() < from) {
                self.list_all().await?;
            }
        }
        loop {
            match plan(&self.known, goal) {
                // What stands in the way may be that not all names are known.
                Step::Refuse(_) if self.complete_from.is_some() => self.list_all().await?,
                Step::Read { objects, points } => self.read(objects, points).await?,
                Step::Ready(plan) => {
                    if goal == Goal::Head && self.has_grown(plan.stop.state.txid()).await? {
                        continue;
                    }
                    return Ok(Ok(plan));
                }
                Step::Refuse(Refusal::Damaged { culprits, first }) => {
                    let missing = culprits.iter().map(|culprit| culprit.key);
                    let missing = missing.filter(|key| self.known.fault(*key).is_none());
                    let missing: Vec<Key> =
                        missing.filter(|key| matches!(key, Key::Log(_))).collect();
                    let mut found = false;
                    for key in missing {
                        found |= self.look_for(key).await?;
                    }
                    if !found {
                        return Ok(Err(Refusal::Damaged { culprits, first }));
                    }
                }
                Step::Refuse(refusal) => return Ok(Err(refusal)),
            }
        }
    }

    /// Reads the indexes of `objects`, for the states after `points` too.
    pub async fn read(&mut self, objects: Vec<Object>, points: Vec<Txid>) -> Result<()> {
        let unknown = |piece: &Piece| {
            points.iter().any(|&txid| piece.contains(txid) && piece.point(txid).is_none())
        };
        let news = |object: &Object| self.known.piece(object.key).is_none_or(unknown);
        if !objects.iter().any(news) {
            let key = objects.first().map_or(Key::Manifest, |object| object.key);
            return Err(PlanError::object(key, "its index contradicts itself".to_owned()));
        }
        self.interest.txids.extend(points);
        let memory = Semaphore::new(INDEX_KIB_AT_ONCE as usize);
        let results: Vec<_> = {
            let (survey, memory) = (&*self, &memory);
            let read = objects.into_iter().map(|object| async move {
                let _permit = memory.acquire_many(index_kib(object)).await;
                let fetched = survey.index(object).await;
                let piece = fetched.map(|fetched| Piece::of(&fetched.index, &survey.interest));
                (object.key, piece)
            });
            stream::iter(read).buffer_unordered(INDEXES_AT_ONCE).collect().await
        };
        for (key, result) in results {
            match result {
                Ok(Some(piece)) => self.known.learn(key, piece),
                Ok(None) => self.reject(key, "it has no entries".to_owned()).await,
                Err(error) if error.is_about_object() => {
                    self.stale |= is_gone(&error);
                    self.reject(key, describe(error)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The index of an object. What looks damaged is read a second time: the damage may have come about on the way.
    pub async fn index(&self, object: Object) -> Result<Arc<Fetched>, CatalogError> {
        if let Some(fetched) = self.cache.get(object.key) {
            return Ok(fetched);
        }
        let fetched = match self.read_or_kept(object, u64::MAX).await {
            Err(error) if error.is_about_object() && !is_gone(&error) => {
                self.read_or_kept(object, u64::MAX).await?
            }
            result => result?,
        };
        let Some(fetched) = fetched else { return Err(too_long(object.key)) };
        self.check_again(object.key, &fetched)?;
        let footer = fetched.index.footer();
        let ends = (Header::SIZE + Footer::SIZE) as u64;
        let bytes =
            fetched.body.as_ref().map_or(ends + footer.index_length, |body| body.len() as u64);
        self.progress.add_fetched(bytes);
        Ok(self.cache.put(object.key, fetched))
    }

    /// The same, but for a long index and for whatever is wrong: those are left to [`Survey::index`], so that who reads
    /// many ahead has few bytes of them.
    async fn short_index(&self, object: Object) -> Option<Arc<Fetched>> {
        if let Some(fetched) = self.cache.get(object.key) {
            return Some(fetched);
        }
        let fetched = self.read_or_kept(object, SHORT_MAX).await.ok()??;
        self.check_again(object.key, &fetched).ok()?;
        Some(self.cache.put(object.key, fetched))
    }

    /// From the local disk if it is there, else from the store, and then it is there for the next time.
    async fn read_or_kept(
        &self,
        object: Object,
        length_max: u64,
    ) -> Result<Option<Fetched>, CatalogError> {
        let (store, manifest) = (&*self.store, self.manifest());
        let Some(indexes) = &self.indexes else {
            return Ok(read(store, manifest, object, length_max)
                .await?
                .map(|(fetched, _)| fetched));
        };
        if let Some(fetched) = indexes.get(store, manifest, object).await {
            return Ok(Some(fetched));
        }
        let Some((fetched, raw)) = read(store, manifest, object, length_max).await? else {
            return Ok(None);
        };
        if let Some(raw) = raw {
            indexes.put(manifest, object, raw).await;
        }
        Ok(Some(fetched))
    }

    /// Reads the index of an object ahead, if it is a short one.
    pub async fn index_ahead(&self, object: Object) -> Ahead {
        Ahead { object, fetched: self.short_index(object).await }
    }

    /// The index that was read ahead, or read now.
    pub async fn index_of(&self, ahead: Ahead) -> Result<Arc<Fetched>, CatalogError> {
        match ahead.fetched {
            Some(fetched) => Ok(fetched),
            None => self.index(ahead.object).await,
        }
    }

    /// A store that means harm may answer otherwise the second time; what was planned with is what is used.
    fn check_again(&self, key: Key, fetched: &Fetched) -> Result<(), CatalogError> {
        let Some(piece) = self.known.piece(key) else { return Ok(()) };
        let footer = fetched.index.footer();
        if piece.root == footer.root
            && piece.end().is_some_and(|end| end.state.chain == footer.chain)
        {
            return Ok(());
        }
        let source = ebbtide_replica::Error::damaged("the object", "it is another one than before");
        Err(CatalogError::Object { key, source })
    }

    /// The newest entry. When its object cannot be read, the newest that the names speak of.
    pub async fn head(&mut self) -> Result<Option<Txid>> {
        let packs = self.known.listing().packs.iter();
        let packed = packs.filter_map(|object| last_of(object.key)).max();
        let usable = |object: &&Object| self.known.is_usable(object.key);
        let Some(&last) = self.known.listing().log.iter().rev().find(usable) else {
            return Ok(packed);
        };
        if self.known.piece(last.key).is_none() {
            self.read(vec![last], Vec::new()).await?;
        }
        let piece = self.known.piece(last.key);
        Ok(piece.map(|piece| piece.last).or(first_of(last.key)).max(packed))
    }

    /// The newest entry after which the chain is this one. Reads objects from the end of the history on until it is found.
    pub async fn find_chain(&mut self, chain: Chain) -> Result<Txid> {
        self.list_the_rest().await?;
        let listing = self.known.listing();
        let mut objects: Vec<Object> = listing.log.iter().chain(&listing.packs).copied().collect();
        objects.retain(|object| self.known.is_usable(object.key));
        objects.sort_by_key(|object| std::cmp::Reverse((first_of(object.key), object.key)));
        let indexes = objects.into_iter().map(|object| self.index_ahead(object));
        let mut indexes = std::pin::pin!(stream::iter(indexes).buffered(CHAINS_AHEAD));
        while let Some(ahead) = indexes.next().await {
            let fetched = match self.index_of(ahead).await {
                Err(error) if error.is_about_object() => continue,
                fetched => fetched?,
            };
            let entries = fetched.index.entries().iter().zip(fetched.index.chains());
            if let Some((entry, _)) = entries.into_iter().find(|(_, after)| *after == chain) {
                return Ok(entry.txid);
            }
        }
        let why = format!(
            "no entry of the replica has the chain {chain}: its history was rewritten, or is another one"
        );
        Err(PlanError::Unexpected { why })
    }

    /// Lists the names that were left out, if some were.
    pub async fn list_the_rest(&mut self) -> Result<bool> {
        let some = self.complete_from.is_some();
        if some {
            self.list_all().await?;
        }
        Ok(some)
    }

    /// Lists the names that were left out.
    async fn list_all(&mut self) -> Result<()> {
        self.known.relist(list(&*self.store).await?);
        self.complete_from = None;
        Ok(())
    }

    async fn list_again(&mut self) -> Result<()> {
        tracing::info!("objects went away while they were read: listing again");
        let horizon = newest_horizon(&*self.store, self.manifest()).await?;
        let known = Known::new(list(&*self.store).await?);
        self.known = known.with_horizon(horizon);
        self.complete_from = None;
        self.interest.txids.extend(self.known.listing().states());
        self.stale = false;
        self.relisted += 1;
        Ok(())
    }
}

/// How much memory the index of an object takes while it is read, roughly.
fn index_kib(object: Object) -> u32 {
    let bytes = object.size.min(presumed_tail(object).max(64 * 1024 + object.size / 1024));
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX).min(INDEX_KIB_AT_ONCE)
}

fn too_long(key: Key) -> CatalogError {
    let source = ebbtide_replica::Error::damaged("the index", "it is longer than anything");
    CatalogError::Object { key, source }
}

fn is_gone(error: &CatalogError) -> bool {
    matches!(error, CatalogError::Store(error) if error.kind() == ErrorKind::NotFound)
}

/// What is wrong with an object, without its name.
fn describe(error: CatalogError) -> String {
    match error {
        CatalogError::Object { source, .. } => source.to_string(),
        error if is_gone(&error) => "it is missing".to_owned(),
        error => error.to_string(),
    }
}
