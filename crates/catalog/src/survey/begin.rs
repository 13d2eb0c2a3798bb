//! What a survey begins with: what the replica is, its names, and its newest horizon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_replica::{Encryption, KeyPrefix, Manifest, Txid};
use ebbtide_seal::KeyUse;
use ebbtide_store::{KeyError, Store, StoreError, foresee_keys, keys_at_hand, open_key};

use crate::horizon::newest_of;
use crate::plan_error::{Nothing, PlanError, Result};
use crate::{Identity, Listing, StoredHorizon, identify};

/// What a survey begins with.
pub(super) struct Begun {
    /// When it began.
    pub(super) begun: Instant,
    pub(super) identity: Identity,
    pub(super) latency: Duration,
    pub(super) listing: Listing,
    pub(super) complete_from: Option<Txid>,
    pub(super) horizon: Option<StoredHorizon>,
}

/// Who can open nothing of an encrypted replica is told so before anything else.
async fn open_index_key(store: &dyn Store, manifest: &Manifest) -> Result<()> {
    let Some(Encryption { index, .. }) = manifest.encryption else { return Ok(()) };
    match open_key(store, manifest.replica, index, KeyUse::Index).await {
        // There may be a newer key among those.
        Err(error) if error.is_permanent() && !keys_at_hand(store).is_empty() => Ok(()),
        // Each object says which key it is under.
        Err(KeyError::Missing { .. }) => Ok(()),
        opened => Ok(opened?),
    }
}

/// Reads what the replica is beside the names, and beside the keys that will be needed.
pub(super) async fn begin(
    store: &Arc<dyn Store>,
    listing: impl Future<Output = Result<(Listing, Option<Txid>), StoreError>>,
) -> Result<Begun> {
    // The keys are polled first, so that nobody asks for one before they are on their way.
    let ((), begun) = futures::join!(foresee_keys(&**store), begin_with(store, listing));
    begun
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long the store takes to answer, and the survey"
)]
async fn begin_with(
    store: &Arc<dyn Store>,
    listing: impl Future<Output = Result<(Listing, Option<Txid>), StoreError>>,
) -> Result<Begun> {
    let begun = Instant::now();
    let identity = async {
        let identity = identify(&**store, None).await;
        (identity, begun.elapsed())
    };
    let horizons = store.list(KeyPrefix::Horizon, None);
    let ((identity, latency), listing, horizons) = futures::join!(identity, listing, horizons);
    let Some(identity) = identity? else {
        return Err(PlanError::Nothing(Nothing::Replica { place: store.describe() }));
    };
    open_index_key(&**store, &identity.manifest).await?;
    let (listing, complete_from) = listing?;
    let horizon = newest_of(&**store, &identity.manifest, horizons?).await?;
    Ok(Begun { begun, identity, latency, listing, complete_from, horizon })
}
