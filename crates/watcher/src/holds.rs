//! The holds: the read transactions of ours that keep SQLite from restarting the log before its commits are captured.
//!
//! There is one hold, and two during a handover. The rule that every commit is captured or held is kept here: the present
//! hold ends only when the next one has begun, all commits from before the next one are captured, and no checkpointer
//! with a view of the log from before its last restart can be running (*checkpoint-lock-first*). The other ways in which
//! it ends are under the write lock ([`Holds::end_stopped`]), and with the connection, when the log is empty ([`Holds::close`]).

use ebbtide_fault::point;
use ebbtide_wal::Index;

use crate::checkpoint_lock::CheckpointLock;
use crate::connection::{Connection, is_busy};
use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::files::Paths;
use crate::hold::{Hold, Reads};
use crate::policy::HandoverStage;
use crate::shm::Shm;
use crate::tail::{Mark, Tail};
use crate::write_lock::WritersStopped;

/// Our read transactions, and the connection that has none.
#[derive(Debug)]
pub(crate) struct Holds {
    /// `None` at rest.
    present: Option<ReadTransaction>,
    /// Some during a handover.
    next: Option<Handover>,
    /// The connection for the next hold and for checkpoints. `None` during a handover, while a checkpoint has it, and
    /// before it is needed.
    spare: Option<Connection>,
}

#[derive(Debug)]
struct ReadTransaction {
    connection: Connection,
    hold: Hold,
}

/// The next hold, which has begun, and the mark up to which must be captured before the present hold may end.
#[derive(Debug)]
struct Handover {
    next: ReadTransaction,
    until: Mark,
}

impl Holds {
    /// With a connection whose read transaction is described by `hold`.
    pub(crate) fn new(connection: Connection, hold: Hold) -> Holds {
        Holds { present: Some(ReadTransaction { connection, hold }), next: None, spare: None }
    }

    /// Which files the present hold reads; `None` at rest.
    pub(crate) fn reads(&self) -> Option<Reads> {
        self.present.as_ref().map(|present| present.hold.reads)
    }

    /// The last frame of the log of `index` that the present hold allows a checkpoint to backfill.
    pub(crate) fn frames(&self, index: &Index) -> u32 {
        self.present.as_ref().map_or(0, |present| present.hold.frames(index))
    }

    /// Whether a handover has begun and not ended.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.next.is_some()
    }

    /// Whether a handover waits for frames to be captured.
    pub(crate) fn waits_for_capture(&self, tail: &Tail) -> bool {
        self.next.as_ref().is_some_and(|next| !tail.covers(next.until))
    }

    /// The stage of the handover, if there is one.
    pub(crate) fn stage(&self, tail: &Tail, lock: &CheckpointLock) -> Option<HandoverStage> {
        self.next.as_ref().map(|next| match may_end_present(next, tail, lock) {
            true => HandoverStage::Ready,
            false => HandoverStage::Waits,
        })
    }

    /// Step 1 of a handover: the next hold begins. From here on both holds keep the log. Returns false if SQLite is busy.
    pub(crate) fn begin_next(
        &mut self,
        paths: &Paths,
        descriptors: &Descriptors,
        shm: &Shm,
        tail: &Tail,
        lock: &CheckpointLock,
    ) -> Result<bool, Error> {
        debug_assert!(self.next.is_none() && self.present.is_some(), "one handover at a time");
        let before = shm.read(paths)?;
        let connection = self.take_spare(paths, descriptors)?;
        if let Err(error) = connection.begin_read() {
            self.spare = Some(connection);
            let is_busy = is_busy(&error);
            return if is_busy { Ok(false) } else { Err(paths.sqlite("begin to read")(error)) };
        }
        point("watcher.handover.begun");
        let after = shm.read(paths)?;
        let hold = Hold::between(&before, &after, lock.is_ours());
        let next = ReadTransaction { connection, hold };
        self.next = Some(Handover { next, until: tail.mark(&after) });
        Ok(true)
    }

    /// Step 2 of a handover: once all commits from before the next hold are captured, the present hold ends.
    pub(crate) fn end_present(
        &mut self,
        paths: &Paths,
        tail: &Tail,
        lock: &CheckpointLock,
    ) -> Result<(), Error> {
        let Some(next) = self.next.take_if(|next| may_end_present(next, tail, lock)) else {
            return Ok(());
        };
        point("watcher.handover.captured");
        debug_assert!(tail.covers(next.until), "every commit is captured or held");
        debug_assert!(!lock.has_stale_checkpointer(), "checkpoint-lock-first");
        let ended = self.present.as_ref().map_or(Ok(()), |present| present.connection.end());
        if let Err(error) = ended {
            self.next = Some(next);
            return Err(paths.sqlite("end reading")(error));
        }
        point("watcher.handover.ended");
        let ended = self.present.replace(next.next);
        self.spare = ended.map(|present| present.connection);
        Ok(())
    }

    /// The commits that a handover waits for are skipped: only those before `mark` are not captured.
    pub(crate) fn skip_to(&mut self, mark: Mark) {
        if let Some(next) = &mut self.next {
            next.until = mark;
        }
    }

    /// Ends the present hold while the write transaction pins the log. Everything is captured. A call of
    /// [`Holds::begin_stopped`] must follow before the write lock is released, whatever fails in between.
    pub(crate) fn end_stopped(&mut self, paths: &Paths, _: &WritersStopped) -> Result<(), Error> {
        debug_assert!(self.next.is_none(), "a handover ends before an exclusive checkpoint");
        self.present().connection.end().map_err(paths.sqlite("end reading"))
    }

    /// Begins the next hold, while the write transaction pins the log.
    pub(crate) fn begin_stopped(
        &mut self,
        paths: &Paths,
        shm: &Shm,
        lock: &CheckpointLock,
        _: &WritersStopped,
    ) -> Result<Index, Error> {
        let present = self.present();
        present.connection.begin_read().map_err(paths.sqlite("begin to read"))?;
        point("watcher.exclusive.held");
        let after = shm.read(paths)?;
        present.hold = Hold::between(&after, &after, lock.is_ours());
        Ok(after)
    }

    /// The connection without a read transaction, for a checkpoint.
    pub(crate) fn spare(
        &mut self,
        paths: &Paths,
        descriptors: &Descriptors,
    ) -> Result<&Connection, Error> {
        let spare = self.take_spare(paths, descriptors)?;
        Ok(self.spare.insert(spare))
    }

    /// Lends the connection without a read transaction, until [`Holds::give_back`].
    pub(crate) fn take_spare(
        &mut self,
        paths: &Paths,
        descriptors: &Descriptors,
    ) -> Result<Connection, Error> {
        debug_assert!(self.next.is_none(), "the next hold has the connection");
        match self.spare.take() {
            Some(spare) => Ok(spare),
            None => Connection::open(&paths.database, descriptors),
        }
    }

    /// Takes a connection back that has no read transaction any more.
    pub(crate) fn give_back(&mut self, connection: Connection) {
        self.spare = Some(connection);
    }

    /// Closes the connection that is not in use.
    pub(crate) fn close_spare(&mut self) {
        self.spare = None;
    }

    /// Ends the present hold and closes all connections, of a log that is empty.
    pub(crate) fn close(&mut self, paths: &Paths) -> Result<(), Error> {
        debug_assert!(self.next.is_none(), "a handover ends before a rest");
        self.present().connection.end().map_err(paths.sqlite("end reading"))?;
        (self.present, self.spare) = (None, None);
        Ok(())
    }

    fn present(&mut self) -> &mut ReadTransaction {
        self.present.as_mut().expect("a database at rest is roused before its hold is moved")
    }
}

/// Whether the next hold may replace the present one: every commit from before it is captured, and no checkpointer can
/// have a view of the log from before its last restart.
fn may_end_present(next: &Handover, tail: &Tail, lock: &CheckpointLock) -> bool {
    tail.covers(next.until) && !lock.has_stale_checkpointer()
}
