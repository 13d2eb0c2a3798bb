//! Ownership of a replica: a process claims it by putting a claim under the next name of the log. The previous owner is
//! fenced at its next put, because that name is taken.

use ebbtide_catalog::Identity;
use ebbtide_replica::container::{Header, Index};
use ebbtide_replica::{Claim, ClaimedFile, Entry, EntryKind, Key, Timestamp, Vouch};
use ebbtide_store::{Object, Store};

use crate::error::{Error, ReplicaOwner};

/// The identity of this process, as its claims have it.
#[derive(Debug, Clone)]
pub struct Owner {
    /// The name of this host.
    pub host: String,
    /// The process id.
    pub pid: u32,
    /// A random id, which distinguishes processes with the same host name and process id.
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

/// The last claim in an object by which a process claimed the replica. A claim that vouches for a snapshot does not
/// count.
pub(crate) fn last_claim(index: &Index) -> Option<Claim> {
    let taken = |entry: &&Entry| entry.kind == EntryKind::Claim && Vouch::of(entry).is_none();
    let claims = index.entries().iter().rev().filter(taken);
    claims.map(|entry| Claim::from_detail(&entry.detail)).find_map(Result::ok)
}

/// Why a name in the log is already taken.
pub(crate) enum NameConflict {
    /// By an object of this replica: another process has claimed it, or an earlier put of this process succeeded after
    /// all.
    Error(Error),
    /// By an object that is not part of this replica.
    Foreign(String),
}

/// Reads the object under a name that is taken. The first object of a new owner has a claim; an object of this replica
/// without a claim comes from an earlier put of this process that had counted as failed.
pub(crate) async fn read_name_conflict(store: &dyn Store, key: &Key) -> NameConflict {
    match read(store, *key).await {
        Ok(Ok(Some(claim))) => {
            NameConflict::Error(Error::Fenced { owner: ReplicaOwner(Some(claim)) })
        }
        Ok(Ok(None)) => NameConflict::Error(Error::SupersededOwnPut { key: *key }),
        Ok(Err(why)) => NameConflict::Foreign(why),
        Err(error) => {
            tracing::warn!(%key, %error, "cannot read whose object it is");
            NameConflict::Error(Error::Fenced { owner: ReplicaOwner(None) })
        }
    }
}

/// The last claim in an object, or why the object is not part of the replica.
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
