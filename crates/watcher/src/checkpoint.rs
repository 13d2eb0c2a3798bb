//! A passive checkpoint of our own, which may run on any thread, so that capturing goes on while the checkpoint waits
//! for fsync.
//!
//! SQLite's unlock at the end of a checkpoint drops the checkpoint lock that this process holds, so [`Checkpoint::run`]
//! takes the lock again at once. Another process may take it in between; then the follower tries again with the next
//! maintenance.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};

use ebbtide_fault::point;

use crate::connection::{Connection, Mode, Progress};
use crate::lock_bytes::try_checkpoint_lock;

/// A checkpoint that is due. Until it has ended ([`Follower::end_checkpoint`](crate::Follower::end_checkpoint)), the
/// follower begins no other checkpoint and no handover.
#[derive(Debug)]
pub struct Checkpoint {
    connection: Connection,
    shm: Arc<File>,
    /// How many frames are backfilled before it.
    backfilled: u32,
    /// Whether to fsync the database after the checkpoint, because an exclusive checkpoint will follow: its own fsync
    /// then has less to write.
    syncs: bool,
    /// Dropped when the checkpoint ends, or is dropped without having run.
    end: Sender<Ended>,
}

/// How a checkpoint has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) connection: Connection,
    /// How many frames were backfilled before it.
    pub(crate) backfilled: u32,
    pub(crate) ran: rusqlite::Result<Progress>,
    /// Whether this process has the checkpoint lock again.
    pub(crate) has_lock: bool,
}

impl Checkpoint {
    /// With a connection that has no transaction, and the wal-index, of which `backfilled` frames are backfilled. The
    /// second value receives its end.
    pub(crate) fn new(
        connection: Connection,
        shm: Arc<File>,
        backfilled: u32,
        syncs: bool,
    ) -> (Checkpoint, Receiver<Ended>) {
        let (end, receiver) = mpsc::channel();
        (Checkpoint { connection, shm, backfilled, syncs, end }, receiver)
    }

    /// Backfills the frames that the hold allows. Blocks until the frames are written and synced. Then call
    /// [`Follower::end_checkpoint`](crate::Follower::end_checkpoint).
    pub fn run(self) {
        let Checkpoint { connection, shm, backfilled, syncs, end } = self;
        point("watcher.checkpoint.aside.begin");
        let ran = connection.checkpoint(Mode::Passive);
        point("watcher.checkpoint.aside.unlocked");
        // If the lock cannot be taken now, the next maintenance tries again.
        let has_lock = try_checkpoint_lock(&shm).unwrap_or(false);
        let ran = match syncs {
            true => ran.and_then(|ran| connection.sync_database().map(|()| ran)),
            false => ran,
        };
        if let Err(mpsc::SendError(ended)) =
            end.send(Ended { connection, backfilled, ran, has_lock })
        {
            // The follower is gone.
            drop(ended);
        }
    }
}
