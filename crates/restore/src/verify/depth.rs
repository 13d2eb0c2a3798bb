//! How deep a verification can look.

use std::fmt;

use ebbtide_catalog::{PlanError, identify};
use ebbtide_replica::{Encryption, Manifest};
use ebbtide_seal::KeyUse;
use ebbtide_store::{KeyError, Store, open_key};
use serde::Serialize;

use crate::error::Result;

/// How much of a replica was proved. Each depth includes those before it; a plain replica is proved to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// Without a key: every byte, the names, that no entry is missing between others, that the keys are there.
    Bytes,
    /// With the index key: the chain, times, digests, and that each state that is kept has a plan; all but the images of
    /// pages.
    Index,
    /// With an identity: the images of all pages, too.
    Pages,
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Depth::Bytes => {
                "every byte, every name, and that none is missing between others; what they say needs a key"
            }
            Depth::Index => "everything but the images of pages, which need an identity",
            Depth::Pages => "everything",
        })
    }
}

/// How deep the replica in `store` can be looked at with the keys that are there.
///
/// # Errors
/// If an identity was given and it does not open the index key.
pub(super) async fn depth_of(store: &dyn Store) -> Result<Depth> {
    let identity = identify(store, None).await?;
    let manifest = identity.map(|identity| identity.manifest);
    let Some(Manifest { replica, encryption: Some(Encryption { index, .. }), .. }) = manifest
    else {
        return Ok(Depth::Pages);
    };
    match open_key(store, replica, index, KeyUse::Index).await {
        // Each object says which key it is under, and what it means that one is missing is found there.
        Ok(()) | Err(KeyError::Missing { .. }) => {
            let keyring = store.keyring();
            let has_identity = keyring.is_some_and(|keyring| keyring.has_identity());
            Ok(if has_identity { Depth::Pages } else { Depth::Index })
        }
        Err(KeyError::NoIdentity { .. }) => Ok(Depth::Bytes),
        Err(error) => Err(PlanError::from(error).into()),
    }
}
