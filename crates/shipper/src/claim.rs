//! Taking a replica over: a claim is put under the next name of the log, which stops whoever wrote before at its next
//! put.

use ebbtide_catalog::Identity;
use ebbtide_replica::container::{Header, Index};
use ebbtide_replica::{Claim, ClaimedFile, Entry, EntryKind, Key, Timestamp, Vouch};
use ebbtide_store::{Object, Store};

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
    pub(crate) fn claim(&self, time: Timestamp, database: Option<ClaimedFile>) -> Claim {
        Claim {
            host: self.host.clone(),
            pid: self.pid,
            session: self.session.clone(),
            version: self.version.clone(),
            time,
            database: database.map(Box::new),
        }
    }
}

/// The last claim in an object by which a process took the replica over, and not only vouched for a snapshot.
pub(crate) fn last_claim(index: &Index) -> Option<Claim> {
    let taken = |entry: &&Entry| entry.kind == EntryKind::Claim && Vouch::of(entry).is_none();
    let claims = index.entries().iter().rev().filter(taken);
    claims.map(|entry| Claim::from_detail(&entry.detail)).find_map(Result::ok)
}

/// What stands under the name that we wanted.
pub(crate) enum Winning {
    /// An object of this replica: another process has taken it over, or an attempt of our own has landed after all.
    Error(Error),
    /// Something that has nothing to do with this replica.
    Foreign(String),
}

/// Why the name that we wanted is taken. Whoever takes a replica over begins with a claim, so it stands there; an object of
/// this replica without one comes from a put of our own that was given up and landed after all.
pub(crate) async fn read_winner(store: &dyn Store, key: &Key) -> Winning {
    match read(store, *key).await {
        Ok(Ok(Some(claim))) => Winning::Error(Error::Fenced { winner: Winner(Some(claim)) }),
        Ok(Ok(None)) => Winning::Error(Error::Overtaken { key: *key }),
        Ok(Err(why)) => Winning::Foreign(why),
        Err(error) => {
            tracing::warn!(%key, %error, "cannot read whose object it is");
            Winning::Error(Error::Fenced { winner: Winner(None) })
        }
    }
}

/// The last claim in an object, or why it is none of the replica's.
async fn read(store: &dyn Store, key: Key) -> Result<Result<Option<Claim>, String>, Error> {
    let size = store.size(&key).await?.unwrap_or_default();
    let Some(Identity { manifest, .. }) = ebbtide_catalog::identify(store, None).await? else {
        return Ok(Ok(None));
    };
    if size < Header::SIZE as u64 {
        return Ok(Err(format!("it has {size} bytes")));
    }
    match Header::parse(&store.get_range(&key, 0..Header::SIZE as u64).await?) {
        Err(error) => return Ok(Err(error.to_string())),
        Ok(header) if header.replica != manifest.replica => {
            return Ok(Err(format!("it belongs to the replica {}", header.replica)));
        }
        Ok(_) => {}
    }
    let fetched = ebbtide_catalog::read_index(store, &manifest, Object { key, size }).await?;
    Ok(Ok(last_claim(&fetched.index)))
}
