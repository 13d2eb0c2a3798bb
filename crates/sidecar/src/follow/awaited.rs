//! Waits for the next change of a database that does not exist yet, is empty, or is in rollback-journal mode.

use std::path::Path;
use std::time::{Duration, SystemTime};

use std::os::unix::fs::MetadataExt as _;

use ebbtide_wal::companion;
use tokio::sync::watch;

use super::job::Order;

/// The poll interval. A poll is two system calls.
const LOOK: Duration = Duration::from_millis(100);

/// Inode, size and modification time of a database and its log.
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

/// Waits until the files differ from `before`, as they were at the last attempt, or the order changes.
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
