//! Taking a replica over: a claim is put under the next name of the log, which stops whoever wrote before at its next
//! put.

use ebbtide_replica::container::Index;
use ebbtide_replica::store::{Object, Store};
use ebbtide_replica::{Claim, Entry, EntryKind, Key, Timestamp, Vouch, catalog};

use crate::error::{Error, Winner};

/// Who we are, as others will read it in our claim.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The name of this host.
    pub host: String,
    /// This process.
    pub pid: u32,
    /// Random, so that two processes are told apart whatever else they share.
    pub session: String,
    /// The version of ebbtide.
    pub version: String,
}

impl Owner {
    pub(crate) fn claim(&self, time: Timestamp) -> Claim {
        Claim {
            host: self.host.clone(),
            pid: self.pid,
            session: self.session.clone(),
            version: self.version.clone(),
            time,
        }
    }
}

/// The last claim in an object by which a process took the replica over, and not only vouched for a snapshot.
pub(crate) fn last_claim(index: &Index) -> Option<Claim> {
    let taken = |entry: &&Entry| entry.kind == EntryKind::Claim && Vouch::of(entry).is_none();
    let claims = index.entries().iter().rev().filter(taken);
    claims.map(|entry| Claim::from_detail(&entry.detail)).find_map(Result::ok)
}

/// Why the name that we wanted is taken. Whoever takes a replica over begins with a claim, so it stands there; an object
/// without one comes from a put of our own that was given up and landed after all.
pub(crate) async fn read_winner(store: &dyn Store, key: &Key) -> Error {
    let read = async {
        let size = store.size(key).await?.unwrap_or_default();
        let Some(manifest) = catalog::read_manifest(store).await? else { return Ok(None) };
        let fetched = catalog::read_index(store, &manifest, Object { key: *key, size }).await?;
        Ok::<_, Error>(last_claim(&fetched.index))
    };
    match read.await {
        Ok(None) => Error::Overtaken { key: *key },
        Ok(claim) => Error::Fenced { winner: Winner(claim) },
        Err(error) => {
            tracing::warn!(%key, %error, "cannot read whose object it is");
            Error::Fenced { winner: Winner(None) }
        }
    }
}
