//! What the processes share: the log's file, the wal-index, its locks, the database; and what has become of it all.
//!
//! A transaction is one frame with one page of its own, so that the database is the set of transactions whose pages are
//! in it, and a page that is lost is a transaction that is lost. Sets are bits of a byte.

use crate::application::{Checkpointer, Writer};
use crate::sidecar::{Position, Sidecar};

/// So many transactions are tried at most, which is also the most frames that a log has.
pub(crate) const TRIES_MAX: usize = 5;

/// Transactions, one a bit.
pub(crate) type Set = u8;

/// What a search allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How many transactions are tried.
    pub(crate) tries: u8,
    pub(crate) writers: usize,
    /// Which checkpointers the application has; true for one that uses TRUNCATE.
    pub(crate) checkpointers: &'static [bool],
    /// Whether the application's SQLite looks at the salts again once it holds `READ(0)` (3.51.3 and later).
    pub(crate) patched: bool,
    /// Whether the application's processes may be killed, once.
    pub(crate) kills: bool,
    /// Whether the machine may lose its power, once.
    pub(crate) power_loss: bool,
    pub(crate) sidecar: Follows,
}

/// How the sidecar goes about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Follows {
    /// Whether there is one.
    pub(crate) runs: bool,
    /// Whether it may be killed and started again. It may be started as often as it ends by itself, and once more.
    pub(crate) kills: bool,
    /// Whether the hold is not handed over before the checkpoint lock was free once after a restart of the log.
    pub(crate) checkpoint_lock_first: bool,
    /// Whether it holds the checkpoint lock between its own checkpoints.
    pub(crate) keeps_lock: bool,
    /// Whether it runs passive, exclusive and truncating checkpoints of its own.
    pub(crate) checkpoints: bool,
    /// Whether its checkpoints run on another thread while it captures.
    pub(crate) aside: bool,
    /// Whether it takes the checkpoint lock for lost while a checkpoint of its own is on another thread.
    pub(crate) doubts_lock: bool,
    /// Whether a start takes the restart lock, so that no process restarts the log before all frames that it found are
    /// read.
    pub(crate) takes_restart_lock: bool,
    /// Whether it checks, after a restart of the log, that the WAL generation before was read to its end.
    pub(crate) notices_missed: bool,
    /// Whether the policy prevents a checkpoint that the hold does not allow.
    pub(crate) policy: bool,
    /// Whether it reads images of the database.
    pub(crate) images: bool,
    /// Whether its transactions are so large that their pages are read again once they are proved.
    pub(crate) reads_twice: bool,
    /// Whether it goes to rest while the application is away. Then the application comes and goes, and once its file is
    /// replaced.
    pub(crate) rests: bool,
    /// Whether it rests only with an empty log.
    pub(crate) empties: bool,
    /// Whether it closes its connections.
    pub(crate) closes: bool,
    /// Whether it looks if the file is as it was left.
    pub(crate) looks_at_file: bool,
    /// Whether it takes the backfill lock during a rest.
    pub(crate) takes_backfill_lock: bool,
    /// Whether it looks, after it has read pages from the log unproved, if the log is still the same.
    pub(crate) looks_again: bool,
}

/// The wal-index, as one look shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Index {
    /// The salts: a number for each WAL generation.
    pub(crate) salts: u8,
    pub(crate) frames: u8,
    pub(crate) backfilled: u8,
}

/// The log's file. Frames of another WAL generation than its header's are invalid, so they are not modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct File {
    /// 0 without a header.
    pub(crate) salts: u8,
    /// The transaction in each frame, counted from 1; 0 where there is none.
    pub(crate) frames: [u8; TRIES_MAX],
    /// How many frames a power loss spares.
    pub(crate) synced: u8,
}

/// A read transaction's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lock {
    None,
    /// `WAL_READ_LOCK(0)`: a reader of the database file alone.
    Zero,
    /// `WAL_READ_LOCK(1)` to `(4)`, with this read mark.
    Mark(u8),
}

/// Who has a lock that only one may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Nobody,
    Writer(u8),
    Checkpointer(u8),
    Sidecar,
}

/// All there is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) index: Index,
    /// False when a process died while it wrote the wal-index's header.
    pub(crate) index_whole: bool,
    pub(crate) file: File,
    pub(crate) database: Set,
    /// `WRITE` and `CKPT`.
    pub(crate) write: Owner,
    pub(crate) checkpoint: Owner,
    pub(crate) writers: [Writer; 2],
    pub(crate) checkpointers: [Checkpointer; 2],
    pub(crate) sidecar: Sidecar,
    /// How many transactions were tried.
    pub(crate) tried: u8,
    /// The application's history: what was published. Its order is that of the numbers.
    pub(crate) committed: Set,
    /// The replica's history.
    pub(crate) emitted: Set,
    /// What the store has confirmed: the position that a start begins from, and the history up to there.
    pub(crate) saved: Option<(Position, Set)>,
    pub(crate) kills: bool,
    pub(crate) sidecar_kills: bool,
    pub(crate) power_losses: bool,
    /// A checkpointer was left with a view from before a restart while no sidecar was there: what comes of that is not
    /// the sidecar's.
    pub(crate) tainted: bool,
    /// Whether the application has the database open.
    pub(crate) open: bool,
    /// What could be read from the log when the rest began.
    pub(crate) logged_at_rest: Set,
    /// The database's file was written since the rest began.
    pub(crate) file_changed: bool,
    /// Another file has its name…
    pub(crate) foreign: bool,
    /// …or its content, and the sidecar has not noticed yet.
    pub(crate) other_file: bool,
    pub(crate) replaced: bool,
    pub(crate) wrong: Option<&'static str>,
}

pub(crate) fn bit(transaction: u8) -> Set {
    transaction.checked_sub(1).map_or(0, |shift| 1 << shift)
}

impl World {
    pub(crate) fn new() -> World {
        World {
            index: Index { salts: 1, frames: 0, backfilled: 0 },
            index_whole: true,
            file: File { salts: 0, frames: [0; TRIES_MAX], synced: 0 },
            database: 0,
            write: Owner::Nobody,
            checkpoint: Owner::Nobody,
            writers: [Writer::Idle; 2],
            checkpointers: [Checkpointer::IDLE; 2],
            sidecar: Sidecar::gone(),
            tried: 0,
            committed: 0,
            emitted: 0,
            saved: None,
            kills: false,
            sidecar_kills: false,
            power_losses: false,
            tainted: false,
            open: true,
            logged_at_rest: 0,
            file_changed: false,
            foreign: false,
            other_file: false,
            replaced: false,
            wrong: None,
        }
    }

    /// The transactions in the first `frames` frames of the file.
    pub(crate) fn logged(&self, frames: u8) -> Set {
        self.file.frames[..usize::from(frames)].iter().fold(0, |set, &frame| set | bit(frame))
    }

    /// What a reader finds in the log.
    pub(crate) fn readable(&self) -> Set {
        if self.file.salts == self.index.salts { self.logged(self.index.frames) } else { 0 }
    }

    fn locks(&self) -> impl Iterator<Item = Lock> {
        let sidecar = &self.sidecar;
        let ours = [sidecar.held, sidecar.next, sidecar.exclusive, sidecar.image.lock()];
        self.writers.iter().map(Writer::lock).chain(ours)
    }

    /// Whether a reader of the log or the restart lock prevents a restart.
    pub(crate) fn log_is_read(&self) -> bool {
        self.sidecar.restart_lock || self.locks().any(|lock| matches!(lock, Lock::Mark(_)))
    }

    /// The smallest read mark in use.
    pub(crate) fn least_mark(&self) -> Option<u8> {
        let marks = self.locks().filter_map(|lock| match lock {
            Lock::Mark(mark) => Some(mark),
            _ => None,
        });
        marks.min()
    }

    pub(crate) fn database_is_read(&self) -> bool {
        self.locks().any(|lock| lock == Lock::Zero)
    }

    fn checkpoints(&self) -> impl Iterator<Item = &Checkpointer> {
        self.checkpointers.iter().chain([&self.sidecar.checkpoint])
    }

    fn database_is_written(&self) -> bool {
        self.checkpoints().any(Checkpointer::is_copying)
    }

    /// The transactions whose pages are being backfilled, so that their pages in the file are undefined.
    pub(crate) fn half_copied(&self) -> Set {
        self.checkpoints().fold(0, |set, one| set | one.copies(self))
    }

    /// `walTryBeginRead`: the header is looked at again once the lock is held, so this is one step.
    pub(crate) fn begin_read(&self) -> Option<Lock> {
        if !self.index_whole {
            return None;
        }
        let reads_database_only = self.index.backfilled == self.index.frames;
        Some(match reads_database_only && !self.database_is_written() {
            true => Lock::Zero,
            false => Lock::Mark(self.index.frames),
        })
    }

    /// New salts: the least number that is not in use, as real salts are random.
    pub(crate) fn fresh_salts(&self) -> u8 {
        let mut known = vec![self.index.salts, self.file.salts];
        known.extend(self.checkpointers.iter().map(|one| one.salts));
        known.push(self.sidecar.checkpoint.salts);
        known.extend(self.writers.iter().map(Writer::salts));
        known.extend(self.sidecar.salts());
        known.extend(self.saved.map(|(position, _)| position.salts));
        (1..=u8::MAX)
            .find(|salts| !known.contains(salts))
            .expect("few generations are known at once")
    }

    /// `walRestartHdr`: the wal-index has the salts of a new WAL generation, and the file does not have them yet.
    pub(crate) fn restart(&mut self) {
        let stale = self.checkpointers.iter().any(|one| one.salts == self.index.salts);
        self.tainted |= stale && !self.sidecar.is_there();
        self.index = Index { salts: self.fresh_salts(), frames: 0, backfilled: 0 };
    }

    /// `walIndexRecover`: what the file has of whole frames is committed.
    pub(crate) fn recover(&mut self) {
        let frames = self.file.frames.iter().take_while(|&&frame| frame != 0).count();
        let frames = u8::try_from(frames).expect("few frames");
        // A header without frames keeps its salts, and the next writer writes it again with the same.
        let salts = if self.file.salts == 0 { self.fresh_salts() } else { self.file.salts };
        self.index = Index { salts, frames, backfilled: 0 };
        self.index_whole = true;
        self.committed |= self.logged(frames);
    }

    /// Whether a database at rest shows that an application has come.
    pub(crate) fn has_stirred(&self) -> bool {
        let logged = self.logged(u8::try_from(TRIES_MAX).expect("few frames"));
        self.open || logged != self.logged_at_rest
    }

    /// What is wrong with this state, if anything is.
    pub(crate) fn wrong(&self, rules: &Rules) -> Option<&'static str> {
        if self.wrong.is_some() || !self.index_whole || self.is_beyond(rules) {
            return self.wrong;
        }
        if self.committed & !(self.database | self.readable()) != 0 {
            return Some("the database has lost a committed transaction");
        }
        let promised = self.sidecar.follows()
            && !self.sidecar.will_notice(self.index, &rules.sidecar)
            && !self.other_file;
        if promised && self.committed & !self.emitted & !self.readable() != 0 {
            return Some("a committed transaction is neither captured nor in the log");
        }
        None
    }

    /// Whether what follows is nobody's promise: an SQLite with the WAL-reset bug was left alone with it.
    pub(crate) fn is_beyond(&self, rules: &Rules) -> bool {
        self.tainted && !rules.patched && rules.sidecar.runs
    }
}
