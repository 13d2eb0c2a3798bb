//! Finds the replicas below an address.

use ebbtide_store::{Branch, ErrorKind, LIST_MAX, Location, StoreError};
use futures::stream::{FuturesUnordered, StreamExt as _};

/// How many places are listed at once.
const LISTINGS_AT_ONCE: usize = 64;

/// So many levels below the address are looked at.
const DEPTH_MAX: usize = 16;

/// The addresses of all replicas at or below `root`, in their order. `found` is told how many there are so far.
///
/// # Errors
/// When a place cannot be listed, but for one below that this user may not see. More than a million places are an error,
/// too.
pub async fn find(root: &Location, found: impl Fn(usize)) -> Result<Vec<Location>, StoreError> {
    let (mut replicas, mut places) = (Vec::new(), vec![(root.clone(), 0)]);
    let (mut listings, mut listed) = (FuturesUnordered::new(), 0);
    loop {
        while listings.len() < LISTINGS_AT_ONCE
            && let Some((place, depth)) = places.pop()
        {
            listed += 1;
            if listed > LIST_MAX {
                let why = format!("more than {LIST_MAX} places lie below it");
                return Err(StoreError::new(
                    ErrorKind::Invalid,
                    format!("look through {root}"),
                    why,
                ));
            }
            listings.push(list(place, depth));
        }
        let Some((place, depth, branch)) = listings.next().await.transpose()? else { break };
        let below = branch.below().map(|name| (place.child(name), depth + 1));
        places.extend(below.filter(|&(_, depth)| depth <= DEPTH_MAX));
        if branch.is_replica() {
            replicas.push(place);
            found(replicas.len());
        }
    }
    replicas.sort_by_cached_key(Location::to_string);
    Ok(replicas)
}

async fn list(place: Location, depth: usize) -> Result<(Location, usize, Branch), StoreError> {
    match place.branch().await {
        // As `lost+found` on a disk of its own: what this user may not see is not this user's.
        Err(error) if depth > 0 && error.kind() == ErrorKind::Denied => {
            tracing::warn!(error = error.with_causes(), "passed over what cannot be listed");
            Ok((place, depth, Branch::default()))
        }
        branch => Ok((place, depth, branch?)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn replicas_are_found_at_any_depth_and_within_each_other() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for replica in ["", "eu/a.db", "eu/a.db/nested", "us/deep/er/b"] {
            fs::create_dir_all(root.join(replica).join("log")).unwrap();
            fs::write(root.join(replica).join("ebbtide.json"), "{}").unwrap();
        }
        // Without its manifest, and none at all.
        for directory in ["old/log", "old/snap", "other/log"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let (location, count) = (Location::Directory(root.to_path_buf()), Cell::new(0));
        let replicas = find(&location, |found| count.set(found)).await.unwrap();
        let names: Vec<String> = replicas
            .iter()
            .map(|place| place.to_string().replace(&root.display().to_string(), ""))
            .collect();
        assert_eq!(names, ["", "/eu/a.db", "/eu/a.db/nested", "/old", "/us/deep/er/b"]);
        assert_eq!(count.get(), 5);
    }
}
