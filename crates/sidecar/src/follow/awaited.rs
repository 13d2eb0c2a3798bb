//! A database that is not there yet, is empty, or has no write-ahead log yet: its next change is what is waited for.

use std::path::Path;
use std::time::{Duration, SystemTime};

use std::os::unix::fs::MetadataExt as _;

use ebbtide_wal::companion;
use tokio::sync::watch;

use super::job::Order;

/// How often the files are looked at. That is two system calls, for databases that nobody can follow.
const LOOK: Duration = Duration::from_millis(100);

/// Whatever a change of a database changes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Looks([Option<(u64, u64, Option<SystemTime>)>; 2]);

impl Looks {
    pub(super) fn of(database: &Path) -> Looks {
        let wal = companion::path(database, companion::WAL);
        Looks([database.to_owned(), wal].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.modified().ok()))
        }))
    }
}

/// Waits until the database or its log is other than it was `before` the last attempt, or something else is ordered.
pub(super) async fn wait_for_change(
    order: &mut watch::Receiver<Order>,
    database: &Path,
    before: &Looks,
) {
    let changed = async {
        while Looks::of(database) == *before {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = changed => {}
        ordered = order.changed() => if ordered.is_err() {
            tokio::time::sleep(LOOK).await;
        },
    }
}
