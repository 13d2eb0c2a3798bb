//! A replica of a database that takes no room, with a day of commits, made by the shipper as it ships under clocks that are
//! set, and then laid where it is asked for.

use std::path::Path;

use bytes::Bytes;
use ebbtide_replica::Key;
use ebbtide_store::{Location, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::database::Items;
use crate::Result;
use crate::year::replica::{BEGIN, DAY, Replica};

/// Ten commits a second are put together once a second.
const COMMITS_A_PUT: i64 = 10;

const PUTS_AT_ONCE: usize = 16;

/// No part of an object is longer.
const PART_BYTES: usize = 16 * 1024 * 1024;

/// Makes the replica of a database with so many commits in one day, and lays it into `directory`. Gives the database as it is
/// then.
pub(super) async fn make(items: Items, commits: i64, directory: &Path) -> Result<Items> {
    let mut replica = Replica::begin(items, "every-commit=30d,last=3".parse()?, 1).await?;
    let pause = DAY / commits.max(1);
    for number in 1..=commits {
        replica.append(BEGIN + number * pause).await?;
        if number % COMMITS_A_PUT == 0 {
            replica.put().await?;
        }
    }
    replica.put().await?;
    lay(&replica, directory).await?;
    let database = replica.into_database().ok_or("somebody has the database")?;
    Ok(database)
}

async fn lay(replica: &Replica<Items>, directory: &Path) -> Result<()> {
    let location: Location = directory.display().to_string().parse()?;
    let store = location.open().await?;
    store.begin().await?;
    let mut bodies = Vec::new();
    for (name, body) in replica.store.bodies() {
        let key = name.parse::<Key>().map_err(|_| format!("{name} is no object"))?;
        bodies.push((key, body));
    }
    // A directory takes nothing before it is a replica.
    let (begin, rest): (Vec<_>, Vec<_>) =
        bodies.into_iter().partition(|(key, _)| *key == Key::Manifest);
    for bodies in [begin, rest] {
        let puts = bodies.into_iter().map(|(key, body)| put(&*store, key, body));
        stream::iter(puts).buffer_unordered(PUTS_AT_ONCE).try_collect::<()>().await?;
    }
    Ok(())
}

async fn put(store: &dyn Store, key: Key, body: Bytes) -> Result<()> {
    if body.len() <= PART_BYTES {
        return Ok(store.put(&key, body).await?);
    }
    let mut upload = store.upload(&key, body.len() as u64).await?;
    for at in (0..body.len()).step_by(PART_BYTES) {
        upload.write(body.slice(at..(at + PART_BYTES).min(body.len()))).await?;
    }
    Ok(upload.finish().await?)
}
