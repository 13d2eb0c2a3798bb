//! Looks at all replicas below an address.

use std::sync::Arc;

use ebbtide_replica::{Key, KeyPrefix, ReplicaId, Timestamp};
use ebbtide_store::{Location, Store, StoreError, error_chain};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt as _};

use crate::find::find;
use crate::known::Known;
use crate::member::{LastDrill, Member, sort};
use crate::summary::{Summary, summarize};

/// How many replicas are looked at at once, a few requests each.
const REPLICAS_AT_ONCE: usize = 32;

/// Opens the store of a replica, with what opens its secret keys.
pub type Open =
    dyn Fn(Location) -> BoxFuture<'static, Result<Arc<dyn Store>, StoreError>> + Send + Sync;

/// How a fleet is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Whether the whole history of each replica is read, but for what was read before: its gaps and forks.
    pub with_history: bool,
    /// Whether stores are opened with what opens secret keys, so that more is seen of encrypted replicas.
    pub has_identity: bool,
}

/// All replicas below an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// What needs attention first.
    pub members: Vec<Member>,
    /// How many of them had changed.
    pub looked_at: u64,
}

impl Fleet {
    /// The same with what is known of drills of each replica at its address.
    #[must_use]
    pub fn with_drills(
        mut self,
        known: impl Fn(&ReplicaId, &str) -> LastDrill,
        now: Timestamp,
    ) -> Fleet {
        for member in &mut self.members {
            let known = member.summary.as_ref().map(|it| known(&it.replica, &member.address));
            member.drill = known.unwrap_or_default();
        }
        sort(&mut self.members, now);
        self
    }
}

/// Looks at all replicas below `root`. What is found is added to `known`; `progress` is told how many were looked at of how
/// many that were found.
///
/// # Errors
/// When what is below the address cannot be listed. A replica that cannot be read is no error of the fleet.
pub async fn look(
    root: &Location,
    open: &Open,
    options: Options,
    known: &mut Known,
    now: Timestamp,
    progress: impl Fn(usize, usize),
) -> Result<Fleet, StoreError> {
    let places = find(root, |found| progress(0, found)).await?;
    let all = places.len();
    let mut looked = stream::iter(places.into_iter().map(|place| {
        let before = known
            .get(&place.to_string(), now)
            .map(|(summary, is_believed)| (summary.clone(), is_believed));
        async move {
            let looked = look_at(open, &place, options, before).await;
            (place, looked)
        }
    }))
    .buffer_unordered(REPLICAS_AT_ONCE);
    let (mut members, mut looked_at) = (Vec::with_capacity(all), 0);
    let mut noted = Vec::new();
    while let Some((place, looked)) = looked.next().await {
        let summary = looked.map(|(summary, is_new)| {
            if is_new {
                looked_at += 1;
                noted.push((place.to_string(), summary.clone()));
            }
            summary
        });
        members.push(Member::new(root, &place, summary));
        progress(members.len(), all);
    }
    drop(looked);
    noted.into_iter().for_each(|(address, summary)| known.note(address, summary, now));
    sort(&mut members, now);
    Ok(Fleet { members, looked_at })
}

/// Looks at one, unless it is as it was `before`. Whether that was necessary.
async fn look_at(
    open: &Open,
    place: &Location,
    options: Options,
    before: Option<(Summary, bool)>,
) -> Result<(Summary, bool), String> {
    let store = open(place.clone()).await.map_err(|error| error_chain(&error))?;
    if let Some((before, true)) = &before
        && (before.counted().is_some() || !options.with_history)
        && (before.is_all_seen() || !options.has_identity)
        && is_unchanged(&*store, before).await.map_err(|error| error_chain(&error))?
    {
        return Ok((before.clone(), false));
    }
    let before = before.as_ref().map(|(summary, _)| summary);
    let summary = summarize(store, options.with_history, before).await?;
    Ok((summary, true))
}

/// Whether nothing came after what was there: the log lists that object first and nothing after it.
async fn is_unchanged(store: &dyn Store, before: &Summary) -> Result<bool, StoreError> {
    let after = match before.end.key() {
        Some(Key::Log(first)) => first.previous().map(Key::Log),
        Some(Key::Pack { last, .. }) => Some(Key::Log(last)),
        _ => return Ok(false),
    };
    let listed = store.list_some(KeyPrefix::Log, after.as_ref(), 2).await?;
    Ok(match before.end.key() {
        Some(key @ Key::Log(_)) => match listed.as_slice() {
            [only] => {
                (only.key, only.size, only.modified) == (key, before.end.bytes, before.end.modified)
            }
            _ => false,
        },
        _ => listed.is_empty(),
    })
}
