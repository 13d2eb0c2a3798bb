//! The sidecar: what `Follower` knows and holds.

mod image;
mod rest;
mod steps;

use crate::application::Checkpointer;
use crate::world::{Follows, Index, Lock, Set};

use image::Image;
pub(crate) use rest::surroundings;
pub(crate) use steps::steps;

const NAME: &str = "sidecar";

/// The captured position. The set of transactions in the frames is the checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Position {
    pub(crate) salts: u8,
    pub(crate) frame: u8,
    pub(crate) checksum: Set,
}

/// `hold::Reads`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Reads {
    Log,
    DatabaseOnly,
    Unknown,
}

/// `hold::Hold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Hold {
    reads: Reads,
    salts: u8,
    frames: u8,
}

impl Hold {
    const NONE: Hold = Hold { reads: Reads::Unknown, salts: 0, frames: 0 };

    fn between(before: Index, after: Index, sole: bool) -> Hold {
        let still = before.salts == after.salts && before.frames == after.frames;
        let whole = |index: Index| index.backfilled == index.frames;
        let reads = match (still, whole(before), whole(after)) {
            (true, true, true) if sole => Reads::DatabaseOnly,
            (true, false, false) => Reads::Log,
            _ => Reads::Unknown,
        };
        Hold { reads, salts: before.salts, frames: before.frames }
    }

    fn frames(self, index: Index) -> u8 {
        match self.reads {
            Reads::DatabaseOnly => 0,
            _ if self.salts == index.salts => self.frames,
            _ => 0,
        }
    }
}

/// `tail::Mark`, with the generation counted from the one that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    next_generation: bool,
    frames: u8,
}

impl Mark {
    /// The next WAL generation is the one that is being read from now on.
    fn enter(&mut self) {
        let passed = !self.next_generation;
        *self = Mark { next_generation: false, frames: if passed { 0 } else { self.frames } };
    }
}

/// What the task is in the midst of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Task {
    /// There is no process.
    Gone,
    /// The first read transaction has begun.
    Opening,
    /// What came before is not known, so an image is to tell the state.
    Unknown,
    Waiting,
    /// The wal-index was looked at, and the frames are about to be read.
    Capturing(Index),
    /// The frames of a large transaction are proved, which makes this set; its pages are about to be read again…
    ReadingAgain(Index, Set),
    /// …and have been, and were right or not; whether the log is still the same is about to be asked.
    LookingAgain(Index, bool),
    /// The wal-index was looked at, and the next hold is about to begin…
    HandingOver(Index),
    /// …and has begun.
    HandedOver(Index),
    /// It has the write lock.
    WritersStopped,
    /// The present hold has ended, and the checkpoint is made.
    ExclusiveCopying,
    /// The next hold has begun.
    ExclusiveHeld,
    /// `Follower::rest` has its lock on the database and has looked at the file…
    Leaving,
    /// …and has closed the connections.
    Resting,
    /// `Follower::rouse` has begun to read.
    Rousing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sidecar {
    task: Task,
    pub(crate) held: Lock,
    hold: Hold,
    /// The hold that is to come.
    pub(crate) next: Lock,
    handover: Option<(Hold, Mark)>,
    pub(crate) exclusive: Lock,
    pub(crate) image: Image,
    /// Whether it has the restart lock (`Shm::take_restart_lock`).
    pub(crate) restart_lock: bool,
    /// Its own checkpoint…
    pub(crate) checkpoint: Checkpointer,
    /// …is under way, until the task knows that it has ended…
    checkpointing: bool,
    /// …on another thread…
    aside: bool,
    /// …and SQLite's part of it is over.
    unlocked: bool,
    /// `CheckpointLock::is_ours`: what the task believes.
    has_lock: bool,
    stale_checkpointer: bool,
    position: Position,
    /// The log had a header when it was last looked at.
    cursor: bool,
    /// How many frames the generation that is being read is known to have.
    known_frames: u8,
    /// What was committed when the first hold began has been captured: from here on the holds cover everything.
    caught_up: bool,
}

impl Sidecar {
    pub(crate) fn gone() -> Sidecar {
        Sidecar {
            task: Task::Gone,
            held: Lock::None,
            hold: Hold::NONE,
            next: Lock::None,
            handover: None,
            exclusive: Lock::None,
            image: Image::None,
            restart_lock: false,
            checkpoint: Checkpointer::IDLE,
            checkpointing: false,
            aside: false,
            unlocked: false,
            has_lock: false,
            stale_checkpointer: false,
            position: Position { salts: 0, frame: 0, checksum: 0 },
            cursor: false,
            known_frames: 0,
            caught_up: false,
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        self.task != Task::Gone
    }

    /// Whether a connection of its keeps the wal-index alive.
    pub(crate) fn is_attached(&self, follows: &Follows) -> bool {
        !matches!(self.task, Task::Gone | Task::Resting) || self.is_there() && !follows.closes
    }

    /// From here on every commit is promised.
    pub(crate) fn follows(&self) -> bool {
        !matches!(self.task, Task::Gone | Task::Opening | Task::Unknown)
    }

    /// Whether it will find that the log was restarted before all of it was read. That can only happen at a start
    /// without the restart lock.
    pub(crate) fn will_notice(&self, index: Index, follows: &Follows) -> bool {
        let missed = index.salts != self.position.salts && self.position.frame < self.known_frames;
        missed && follows.notices_missed && !follows.takes_restart_lock && !self.caught_up
    }

    /// The WAL generations that it remembers.
    pub(crate) fn salts(&self) -> impl Iterator<Item = u8> {
        let looked = match self.task {
            Task::Capturing(index)
            | Task::ReadingAgain(index, _)
            | Task::LookingAgain(index, _)
            | Task::HandingOver(index)
            | Task::HandedOver(index) => index.salts,
            _ => 0,
        };
        let next = self.handover.map_or(0, |(hold, _)| hold.salts);
        [looked, next, self.hold.salts, self.position.salts, self.image.salts()].into_iter()
    }

    /// The kernel drops its locks; what was captured and not durable is forgotten.
    pub(crate) fn die(&mut self, emitted: &mut Set, saved: Option<(Position, Set)>) {
        *self = Sidecar::gone();
        *emitted = saved.map_or(0, |(_, emitted)| emitted);
    }

    /// The log, of which `index` was found, is read from `position` on.
    fn begin_at(&mut self, position: Position, index: Index) {
        (self.position, self.cursor) = (position, index.frames > 0);
        self.known_frames = index.frames;
        self.caught_up = position.frame == index.frames;
        self.restart_lock &= !self.caught_up;
        self.task = Task::Waiting;
    }

    fn has_read(&self, index: Index) -> bool {
        if index.salts == self.position.salts {
            index.frames == self.position.frame
        } else {
            index.frames == 0
        }
    }

    fn must_enter(&self, index: Index) -> bool {
        index.frames > 0 && (index.salts != self.position.salts || !self.cursor)
    }

    fn mark(&self, index: Index) -> Mark {
        let next_generation = self.must_enter(index);
        let counts = index.salts == self.position.salts || next_generation;
        Mark { next_generation, frames: if counts { index.frames } else { 0 } }
    }

    fn covers(&self, mark: Mark) -> bool {
        !mark.next_generation && self.position.frame >= mark.frames
    }

    /// `policy::decide` without its counting: what it would ever do in this situation.
    fn may_checkpoint(&self, index: Index, follows: &Follows) -> bool {
        let lets_through = index.backfilled < self.hold.frames(index).min(index.frames);
        follows.checkpoints && self.handover.is_none() && (lets_through || !follows.policy)
    }

    fn may_truncate(&self, index: Index) -> bool {
        let ignored = index.frames == 0 || self.hold.reads == Reads::DatabaseOnly;
        let nothing_left = index.backfilled >= index.frames;
        self.handover.is_none() && nothing_left && ignored && self.has_read(index)
    }
}
