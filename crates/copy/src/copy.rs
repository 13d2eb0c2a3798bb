//! A copy from beginning to end.

use std::collections::HashMap;
use std::sync::Arc;

use ebbtide_catalog::{
    CatalogError, Identity, PlanError, Progress, StoredHorizon, Survey, Target, identify,
    newest_horizon, sealing,
};
use ebbtide_fault::point;
use ebbtide_replica::{Encryption, Horizon, Key, Manifest, Point, ReplicaId, Timestamp, Txid};
use ebbtide_seal::KeyUse;
use ebbtide_store::{ErrorKind, Object, Pace, Store, open_key, same_place};
use futures::{StreamExt as _, stream};
use serde::Serialize;

use crate::cast::{Cast, about};
use crate::error::CopyError;
use crate::form::Form;
use crate::object::{Begun, begin, begin_recast, differs, put};
use crate::order::Item;
use crate::promise::{in_target, is_there};
use crate::recast::{Opened, open_object};
use crate::since::{beginning, is_of_a_copy};
use crate::target::{Destination, begin_target};
use crate::wanted::{Beginning, Wanted, names};

/// How many objects are read ahead by default. Puts are one after the other, so that the target always ends with an entry.
const OBJECTS_AHEAD: usize = 8;

/// How often the source is listed again because objects vanished.
const RELISTED_MAX: u32 = 5;

/// How to copy.
#[derive(Debug, Clone)]
pub struct Options {
    /// In which form.
    pub form: Form,
    /// The largest number of bytes a second.
    pub bytes_per_second: Option<u64>,
    /// How many objects are read ahead, at least 1, each of at most 8 MiB. The more, the faster, and the more memory.
    pub objects_ahead: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options { form: Form::Same, bytes_per_second: None, objects_ahead: OBJECTS_AHEAD }
    }
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The replica.
    pub replica: ReplicaId,
    /// How many objects were put.
    pub objects: u64,
    /// Their bytes, as they are in the target.
    pub bytes: u64,
    /// How many were there already.
    pub present: u64,
    /// The objects that are damaged at the source and were not copied, each with what is wrong.
    pub damaged: Vec<String>,
    /// The last entry of the newest segment that was listed.
    #[serde(skip)]
    pub last: Option<Txid>,
}

/// Copies what the replica in `from` has and `to` has not.
///
/// # Errors
/// When the source cannot be read, or the target cannot be written or has something else. What was copied stays.
pub async fn copy(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    options: Options,
    progress: &Progress,
) -> Result<Copied, CopyError> {
    let manifest = source(&*from, &*to).await?;
    let target = begin_target(&*from, &*to, &manifest, &options.form).await?;
    let promised = promised(&*from, &manifest, &*to, &target.manifest).await?;
    let beginning = promised.as_ref().map(|horizon| Beginning { horizon, has_horizons: true });
    copy_all(from, to, manifest, target, beginning, options, progress).await
}

/// The newest horizon of the target if the source has none that is newer: what that has left behind is not brought back,
/// as from a mirror in which it is not deleted yet.
async fn promised(
    from: &dyn Store,
    source: &Manifest,
    to: &dyn Store,
    target: &Manifest,
) -> Result<Option<Horizon>, CopyError> {
    let Some(there) = horizon_of_target(to, target).await? else { return Ok(None) };
    if is_of_a_copy(&there) {
        return Ok(None);
    }
    let newest = newest_horizon(from, source).await.map_err(CopyError::Source)?;
    let is_newer = |newest: StoredHorizon| newest.horizon.number > there.number;
    Ok(if newest.is_some_and(is_newer) { None } else { Some(there) })
}

async fn horizon_of_target(
    to: &dyn Store,
    manifest: &Manifest,
) -> Result<Option<Horizon>, CopyError> {
    match newest_horizon(to, manifest).await {
        Err(CatalogError::Store(error)) => Err(CopyError::Target(error)),
        there => Ok(there.map_err(CopyError::TargetReplica)?.map(|stored| stored.horizon)),
    }
}

/// Copies what is needed for every state from the one at `target` on. The copy has a horizon of its own, which says from
/// where on; a copy that has one goes on from there. Also the first state that the copy has on its own, unless it has all.
///
/// # Errors
/// As [`copy`], and when the source has no such state.
pub async fn copy_since(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    since: Target,
    now: Timestamp,
    options: Options,
    progress: &Progress,
) -> Result<(Copied, Option<Point>), CopyError> {
    let manifest = source(&*from, &*to).await?;
    if let Some(Encryption { index, .. }) = manifest.encryption {
        // Without it nobody can tell where the copy begins, so nothing of it is put.
        let opened = open_key(&*from, manifest.replica, index, KeyUse::Index).await;
        opened.map_err(|error| CopyError::Source(error.into()))?;
    }
    let target = begin_target(&*from, &*to, &manifest, &options.form).await?;
    let there = horizon_of_target(&*to, &target.manifest).await?;
    let is_new = there.is_none() || is_cut_off(&from, &to, now).await?;
    let horizon = if is_new {
        let begun = beginning(&from, since, now).await?;
        begun.map(|begun| after(begun, there.as_ref()))
    } else {
        there
    };
    let (store, of, is_recast) =
        (Arc::clone(&to), target.manifest.clone(), target.cast.is_recast());
    let beginning = horizon.as_ref().map(|horizon| Beginning { horizon, has_horizons: false });
    let copied = copy_all(from, to, manifest, target, beginning, options, progress).await?;
    let Some(mut horizon) = horizon else { return Ok((copied, None)) };
    if is_new {
        if is_recast || horizon.number > 1 {
            horizon = in_target(horizon, &*store).await?;
        }
        let sealing = sealing(&*store, &of).await.map_err(CopyError::TargetReplica)?;
        let body = sealing.map_or_else(|| horizon.encode(), |sealing| horizon.seal(&sealing));
        let body = body.map_err(about(horizon.key()))?;
        store.put(&horizon.key(), body.into()).await.map_err(CopyError::Target)?;
    }
    let first = horizon.contents.states.first();
    Ok((copied, first.map(|state| Point { txid: state.txid, time: state.time })))
}

/// Whether the source has given up history that comes after the newest state of the target: what the target lacks it will
/// never get, so it begins once more.
async fn is_cut_off(
    from: &Arc<dyn Store>,
    to: &Arc<dyn Store>,
    now: Timestamp,
) -> Result<bool, CopyError> {
    let window = Survey::recent(Arc::clone(from), Arc::default()).await?.known().window();
    let mut target = Survey::recent(Arc::clone(to), Arc::default()).await?;
    match target.plan(Target::Latest, now).await {
        Ok(plan) => Ok(plan.stop.state.txid().next() < window),
        // Whatever is wrong with it, a new beginning puts it right.
        Err(PlanError::Nothing(_) | PlanError::Damaged { .. }) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The horizon that follows another one of the target.
fn after(mut begun: Horizon, before: Option<&Horizon>) -> Horizon {
    let number = before.map_or(1, |before| before.number + 1);
    (begun.number, begun.contents.number) = (number, number);
    begun
}

/// What the source is.
async fn source(from: &dyn Store, to: &dyn Store) -> Result<Manifest, CopyError> {
    let place = from.describe();
    if same_place(&place, &to.describe()) {
        return Err(CopyError::SamePlace { place });
    }
    let identity = identify(from, None).await.map_err(CopyError::Source)?;
    let Some(Identity { manifest, .. }) = identity else {
        return Err(CopyError::NoReplica { place });
    };
    Ok(manifest)
}

async fn copy_all(
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    manifest: Manifest,
    target: Destination,
    beginning: Option<Beginning<'_>>,
    options: Options,
    progress: &Progress,
) -> Result<Copied, CopyError> {
    let mut copy = Copy {
        copied: Copied {
            replica: manifest.replica,
            objects: 0,
            bytes: 0,
            present: 0,
            damaged: Vec::new(),
            last: None,
        },
        from,
        to,
        manifest,
        target: target.manifest,
        cast: target.cast,
        beginning,
        pace: Pace::new(options.bytes_per_second),
        ahead: options.objects_ahead.max(1),
        newest: None,
        progress,
    };
    let mut relisted = 0;
    while let Some(key) = copy.pass().await? {
        relisted += 1;
        if relisted > RELISTED_MAX {
            return Err(CopyError::Vanished { key });
        }
        tracing::debug!(%key, "an object vanished at the source; listing it again");
    }
    copy.copied.last = copy.last().await?;
    Ok(copy.copied)
}

/// A copy under way.
struct Copy<'a> {
    from: Arc<dyn Store>,
    to: Arc<dyn Store>,
    manifest: Manifest,
    /// What the target says of itself…
    target: Manifest,
    /// …and how objects get there.
    cast: Cast,
    beginning: Option<Beginning<'a>>,
    pace: Pace,
    ahead: usize,
    /// The newest segment of the source.
    newest: Option<Object>,
    progress: &'a Progress,
    copied: Copied,
}

/// What became of an object.
enum Ended {
    Copied,
    Damaged(CatalogError),
    Vanished,
}

impl Copy<'_> {
    /// Copies what is listed and not there. Ends early, with its name, if an object has vanished at the source.
    async fn pass(&mut self) -> Result<Option<Key>, CopyError> {
        let mut wanted = Wanted::list(&*self.from, &self.manifest, self.beginning).await?;
        if self.cast.is_recast() {
            wanted.keep_recast();
        }
        let there = names(&*self.to).await.map_err(CopyError::Target)?;
        self.copied.damaged.clear();
        self.newest = wanted.newest;
        let mut missing = Vec::new();
        let mut present: u64 = 0;
        for item in wanted.items {
            match there.get(&item.object.key) {
                None => missing.push(item),
                Some(&size) if self.is_it(item.object, size).await? => present += 1,
                Some(&size) => return Err(differs(item.object, &*self.to, size)),
            }
        }
        point("copy.listed");
        self.copied.present = present.saturating_sub(self.copied.objects);
        self.progress.add_total(missing.iter().map(|item| item.object.size).sum());
        self.put_all(missing, &there).await
    }

    /// Whether an object of the target with this size is the one of the source, as far as that is told without reading it.
    async fn is_it(&self, object: Object, there: u64) -> Result<bool, CopyError> {
        if !matches!(object.key, Key::Horizon(_)) || !self.cast.is_recast() {
            return Ok(self.cast.fits(object, there));
        }
        let opened = open_object(&*self.from, &self.manifest, object).await;
        match opened.map_err(CopyError::Source)? {
            Opened::Horizon(horizon) => is_there(&horizon, &*self.to, &self.target).await,
            Opened::Blocks(..) | Opened::Mark(_) => Ok(false),
        }
    }

    async fn begin(&self, object: Object) -> Result<Begun, CatalogError> {
        begin_as(&*self.from, &self.manifest, self.cast.is_recast(), object).await
    }

    /// The last entry of the newest segment, if that can be read.
    async fn last(&self) -> Result<Option<Txid>, CopyError> {
        let Some(newest) = self.newest else { return Ok(None) };
        match self.begin(newest).await {
            Ok(begun) => Ok(begun.last),
            Err(error) if error.is_about_object() => Ok(None),
            Err(error) => Err(CopyError::Source(error)),
        }
    }

    async fn put_all(
        &mut self,
        missing: Vec<Item>,
        there: &HashMap<Key, u64>,
    ) -> Result<Option<Key>, CopyError> {
        let (from, manifest) = (Arc::clone(&self.from), self.manifest.clone());
        let is_recast = self.cast.is_recast();
        let read = |item: Item| {
            let (from, manifest) = (&from, &manifest);
            async move { (begin_as(&**from, manifest, is_recast, item.object).await, item) }
        };
        let mut begun = std::pin::pin!(stream::iter(missing).map(read).buffered(self.ahead));
        while let Some((begun, item)) = begun.next().await {
            let Object { key, size, .. } = item.object;
            match self.put_one(begun).await? {
                Ended::Copied => {}
                Ended::Vanished => return Ok(Some(key)),
                Ended::Damaged(error) => {
                    tracing::warn!(%error, "damaged at the source, and not copied");
                    self.copied.damaged.push(error.to_string());
                    let instead = item.instead.into_iter();
                    for object in instead.filter(|object| !there.contains_key(&object.key)) {
                        if let Some(key) = self.put_instead(object).await? {
                            return Ok(Some(key));
                        }
                    }
                }
            }
            self.progress.add_done(size);
        }
        Ok(None)
    }

    /// Copies a segment of a damaged pack; its name if it has vanished.
    async fn put_instead(&mut self, object: Object) -> Result<Option<Key>, CopyError> {
        let begun = self.begin(object).await;
        match self.put_one(begun).await? {
            Ended::Copied => Ok(None),
            Ended::Vanished => Ok(Some(object.key)),
            Ended::Damaged(error) => {
                self.copied.damaged.push(error.to_string());
                Ok(None)
            }
        }
    }

    async fn put_one(&mut self, begun: Result<Begun, CatalogError>) -> Result<Ended, CopyError> {
        let begun = match begun {
            Ok(begun) => begun,
            Err(error) => return ended(error),
        };
        match put(begun, &*self.from, &*self.to, &mut self.cast, &self.pace).await {
            Ok(size) => {
                self.copied.objects += 1;
                self.copied.bytes += size;
                self.progress.add_fetched(size);
                Ok(Ended::Copied)
            }
            Err(CopyError::Source(error)) => ended(error),
            Err(error) => Err(error),
        }
    }
}

/// Reads an object so far that it can be put, in the form of the source or in another one.
async fn begin_as(
    from: &dyn Store,
    manifest: &Manifest,
    is_recast: bool,
    object: Object,
) -> Result<Begun, CatalogError> {
    match is_recast {
        true => begin_recast(from, manifest, object).await,
        false => begin(from, manifest, object).await,
    }
}

/// What an error of the source means for one object.
fn ended(error: CatalogError) -> Result<Ended, CopyError> {
    let is_gone =
        matches!(&error, CatalogError::Store(store) if store.kind() == ErrorKind::NotFound);
    match error.is_about_object() {
        true if is_gone => Ok(Ended::Vanished),
        true => Ok(Ended::Damaged(error)),
        false => Err(CopyError::Source(error)),
    }
}
