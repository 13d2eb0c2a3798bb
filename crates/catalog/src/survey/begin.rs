//! What a survey begins with: what the replica is, its names, and its newest horizon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide_replica::{KeyPrefix, Txid};
use ebbtide_store::{Store, StoreError};

use crate::horizon::newest_of;
use crate::plan_error::{Nothing, PlanError, Result};
use crate::{Identity, Listing, StoredHorizon, identify};

/// What a survey begins with.
pub(super) struct Begun {
    pub(super) identity: Identity,
    pub(super) latency: Duration,
    pub(super) listing: Listing,
    pub(super) complete_from: Option<Txid>,
    pub(super) horizon: Option<StoredHorizon>,
}

/// Reads what the replica is beside the names.
#[expect(clippy::disallowed_methods, reason = "measures how long the store takes to answer")]
pub(super) async fn begin(
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
    let (listing, complete_from) = listing?;
    let horizon = newest_of(&**store, &identity.manifest, horizons?).await?;
    Ok(Begun { identity, latency, listing, complete_from, horizon })
}
