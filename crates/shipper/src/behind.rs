//! The look behind a put: whether the history goes on after it.
//!
//! A name in the log that was deleted is free again. So a session that sleeps between reading where the replica ends and
//! its first put may put under a name that another process has used, and that was deleted since. Its later puts
//! collide with what is never deleted ([0030](../../../docs/decisions/0030-freed-names.md)); after the first, it reads
//! again where the replica ends, before anything counts as durable. It does so as well after a long silence, against
//! hands and rules of a bucket that delete what we never would.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_catalog::{CatalogError, StoredHorizon, head, newest_horizon};
use ebbtide_fault::point;
use ebbtide_replica::{Key, Manifest, Txid};

use crate::destination::Destination;
use crate::error::{Error, ReplicaOwner};
use crate::newest::newest_claim;
use crate::retry::{AttemptError, retry};

/// A put after so long without one is looked behind, too.
const SILENCE: Duration = Duration::from_secs(24 * 3600);

/// When the last put of a session counted.
#[derive(Debug, Default)]
pub(crate) struct LookBehind(Mutex<Option<Instant>>);

impl LookBehind {
    /// Looks behind the put of `key`, a segment that ends with entry `last`, if it is the first or the first in a long
    /// time.
    ///
    /// # Errors
    /// [`Error::Fenced`] when the history goes on after it, so that the put is void.
    pub(crate) async fn confirm(
        &self,
        to: &Destination,
        manifest: &Manifest,
        key: Key,
        last: Txid,
    ) -> Result<(), Error> {
        if self.is_due(Instant::now()) {
            look(to, manifest, key, last).await?;
        }
        self.counted(Instant::now());
        Ok(())
    }

    /// Notes that a put counts.
    pub(crate) fn counted(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    fn is_due(&self, now: Instant) -> bool {
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_none_or(|last| now.saturating_duration_since(last) >= SILENCE)
    }
}

/// Reads where the replica ends, which must be `last`, and whether the name was deleted.
pub(crate) async fn look(
    to: &Destination,
    manifest: &Manifest,
    key: Key,
    last: Txid,
) -> Result<(), Error> {
    point("shipper.behind.begin");
    let store = &*to.store;
    let (head, horizon) = retry(to, || async {
        let both = futures::try_join!(head(store, manifest), newest_horizon(store, manifest));
        both.map_err(|error| match error {
            CatalogError::Store(error) => AttemptError::Retryable(error),
            error => AttemptError::Final(error.into()),
        })
    })
    .await?;
    let is_freed = |stored: &StoredHorizon| match key {
        Key::Log(first) => stored.horizon.contents.freed.is_some_and(|freed| first <= freed),
        _ => false,
    };
    let goes_on = head.as_ref().is_some_and(|head| head.state.txid() > last);
    if goes_on || horizon.as_ref().is_some_and(is_freed) {
        let owner = ReplicaOwner(newest_claim(store, manifest).await?.map(Box::new));
        tracing::error!(store = %to.store.describe(), %key, "the name was used and deleted before: what was put there does not count");
        return Err(Error::Fenced { owner });
    }
    if head.is_none_or(|head| head.state.txid() < last) {
        return Err(Error::Changed("what was put last is not where the replica ends"));
    }
    point("shipper.behind.looked");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebbtide_replica::{Digest, Horizon, HorizonContents, Timestamp, Written};
    use ebbtide_store::{MemoryStore, Store};

    use super::*;
    use crate::pack::tests::replica;
    use crate::store_health::StoreHealth;

    fn txid(number: u64) -> Txid {
        Txid::new(number).unwrap()
    }

    /// A replica with so many segments of one entry.
    async fn replica_of(segments: u64) -> (MemoryStore, Destination, Manifest) {
        let store = MemoryStore::default();
        replica(&store, segments).await;
        let manifest = ebbtide_catalog::read_manifest(&store).await.unwrap().unwrap();
        let health = Arc::new(StoreHealth::default());
        (store.clone(), Destination::new(Arc::new(store), health), manifest)
    }

    async fn put(number: u64, behind: &LookBehind, to: &Destination, of: &Manifest) -> bool {
        match behind.confirm(to, of, Key::Log(txid(number)), txid(number)).await {
            Ok(()) => true,
            Err(Error::Fenced { .. }) => false,
            Err(error) => panic!("{error}"),
        }
    }

    #[tokio::test]
    async fn h02_a_first_put_counts_only_where_the_replica_ends() {
        for number in 2..10 {
            let (store, to, manifest) = replica_of(9).await;
            let counts = put(number, &LookBehind::default(), &to, &manifest).await;
            assert_eq!(counts, number == 9);
            // What comes right after it may have been deleted, too.
            store.delete(&Key::Log(txid(number + 1))).await.ok();
            let counts = put(number, &LookBehind::default(), &to, &manifest).await;
            assert_eq!(counts, number >= 8);
        }
    }

    #[tokio::test]
    async fn h02_a_session_looks_behind_its_first_put_and_after_a_day_of_silence() {
        let (store, to, manifest) = replica_of(9).await;
        let behind = LookBehind::default();
        assert!(put(9, &behind, &to, &manifest).await);
        // Nobody looks now.
        assert!(put(5, &behind, &to, &manifest).await);
        let now = Instant::now();
        assert!(!behind.is_due(now + SILENCE / 2));
        assert!(behind.is_due(now + SILENCE));
        drop(store);
    }

    #[tokio::test]
    async fn h17_a_name_that_a_horizon_frees_is_void_even_where_nothing_comes_after_it() {
        let (store, to, manifest) = replica_of(9).await;
        let horizon = |number, freed| Horizon {
            replica: manifest.replica,
            page_size: manifest.page_size,
            number,
            window: txid(5),
            before: ebbtide_replica::Chain::genesis(manifest.replica),
            head: txid(9),
            chain: ebbtide_replica::Chain::genesis(manifest.replica),
            digest: Digest::EMPTY,
            contents: HorizonContents {
                number,
                previous: None,
                written: Written { time: Timestamp::EPOCH, by: "a test".to_owned() },
                keep: None,
                freed: Some(txid(freed)),
                states: Vec::new(),
                objects: Vec::new(),
                condemned: Vec::new(),
                held: Vec::new(),
            },
        };
        for (number, freed, counts) in [(1, 8, true), (2, 9, false)] {
            let horizon = horizon(number, freed);
            store.put(&horizon.key(), horizon.encode().unwrap().into()).await.unwrap();
            assert_eq!(put(9, &LookBehind::default(), &to, &manifest).await, counts);
        }
        // One that is damaged is passed over for the one before it.
        store.put(&Key::Horizon(3), vec![0; 400].into()).await.unwrap();
        assert!(!put(9, &LookBehind::default(), &to, &manifest).await);
    }
}
