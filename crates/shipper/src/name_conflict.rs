//! Why a name in the log is already taken.

use ebbtide_catalog::Identity;
use ebbtide_replica::container::Header;
use ebbtide_replica::{Claim, Key};
use ebbtide_store::{Object, Store};

use crate::error::{Error, ReplicaOwner};
use crate::owner::last_claim;

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
            NameConflict::Error(Error::Fenced { owner: ReplicaOwner(Some(Box::new(claim))) })
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
    match Header::parse_any(&store.get_range(&key, 0..Header::SIZE as u64).await?) {
        Err(error) => return Ok(Err(error.to_string())),
        Ok((header, _)) if header.replica != manifest.replica => {
            return Ok(Err(format!("it belongs to the replica {}", header.replica)));
        }
        Ok(_) => {}
    }
    let fetched = ebbtide_catalog::read_index(store, &manifest, Object::new(key, size)).await?;
    Ok(Ok(last_claim(&fetched.index)))
}
