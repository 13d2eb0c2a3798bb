//! The application: writers, checkpointers, and the ways in which they die.
//!
//! Each step is what SQLite does between two looks at what others may change, and is named by its function in wal.c.

use crate::world::{Lock, Owner, Rules, Set, TRIES_MAX, World, bit};
use ebbtide_testkit::search::Next;

/// A connection that writes. One that never goes on from `Reading` is a long reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Writer {
    Idle,
    /// With the wal-index as it was.
    Reading {
        salts: u8,
        frames: u8,
        lock: LockOrder,
    },
    /// It has `WRITE`.
    Writing {
        lock: LockOrder,
    },
    /// It has restarted the log, and has no read lock yet.
    Restarted,
    /// The frame of this transaction is in the file.
    Written {
        transaction: u8,
        lock: LockOrder,
    },
}

/// A lock that can be ordered, so that two writers can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LockOrder {
    Zero,
    Mark(u8),
}

impl From<LockOrder> for Lock {
    fn from(lock: LockOrder) -> Lock {
        match lock {
            LockOrder::Zero => Lock::Zero,
            LockOrder::Mark(mark) => Lock::Mark(mark),
        }
    }
}

impl Writer {
    pub(crate) fn lock(&self) -> Lock {
        match *self {
            Writer::Idle | Writer::Restarted => Lock::None,
            Writer::Reading { lock, .. }
            | Writer::Writing { lock }
            | Writer::Written { lock, .. } => lock.into(),
        }
    }

    pub(crate) fn salts(&self) -> u8 {
        if let Writer::Reading { salts, .. } = *self { salts } else { 0 }
    }
}

/// A connection that checkpoints, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Checkpointer {
    pub(crate) step: Step,
    /// The header as it was when the checkpoint lock was taken.
    pub(crate) salts: u8,
    frames: u8,
    /// Up to which frame it may copy.
    safe: u8,
    /// It has the write lock, too: FULL, RESTART or TRUNCATE.
    writes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Idle,
    /// It has `CKPT` and has read the header.
    Locked,
    /// It knows how far it may go.
    Bounded,
    /// It has `READ(0)` to itself.
    Copying,
    /// It has copied what it could.
    Copied,
}

impl Checkpointer {
    pub(crate) const IDLE: Checkpointer =
        Checkpointer { step: Step::Idle, salts: 0, frames: 0, safe: 0, writes: false };

    pub(crate) fn is_copying(&self) -> bool {
        self.step == Step::Copying
    }

    /// The transactions that it is copying.
    pub(crate) fn copies(&self, world: &World) -> Set {
        if !self.is_copying() {
            return 0;
        }
        let from = usize::from(world.index.backfilled.min(self.safe));
        let frames = world.file.frames[from..usize::from(self.safe)].iter();
        frames.fold(0, |set, &frame| set | bit(frame))
    }

    /// `sqlite3WalCheckpoint` begins. `truncates` for TRUNCATE, which is a passive one where the write lock is taken.
    pub(crate) fn lock(world: &mut World, owner: Owner, truncates: bool) -> Option<Checkpointer> {
        if world.checkpoint != Owner::Nobody && world.checkpoint != owner || !world.index_whole {
            return None;
        }
        world.checkpoint = owner;
        let writes = truncates && world.write == Owner::Nobody;
        if writes {
            world.write = owner;
        }
        let (salts, frames) = (world.index.salts, world.index.frames);
        Some(Checkpointer { step: Step::Locked, salts, frames, safe: 0, writes })
    }

    /// The next step; what it is called, and whether it was the last. The locks that others see are let go in it.
    pub(crate) fn advance(&mut self, world: &mut World, patched: bool) -> (&'static str, bool) {
        match self.step {
            Step::Idle => ("nothing", true),
            Step::Locked => {
                self.safe = self.frames.min(world.least_mark().unwrap_or(u8::MAX));
                let more = world.index.backfilled < self.safe;
                self.step = if more { Step::Bounded } else { Step::Copied };
                ("walCheckpoint finds out how far it may go", false)
            }
            Step::Bounded => {
                let stale = patched && world.index.salts != self.salts;
                let free = !world.database_is_read() && !stale;
                self.step = if free { Step::Copying } else { Step::Copied };
                ("walCheckpoint asks for READ(0)", false)
            }
            Step::Copying => {
                world.file_changed = true;
                world.database |= self.copies(world);
                world.file.synced = world.file.synced.max(self.safe);
                world.index.backfilled = self.safe;
                self.step = Step::Copied;
                ("walCheckpoint copies, and says so", false)
            }
            Step::Copied => {
                let done = world.index.backfilled >= self.frames;
                if self.writes && done && !world.log_is_read() {
                    world.restart();
                    world.file.salts = 0;
                    world.file.frames = [0; TRIES_MAX];
                    world.file.synced = 0;
                }
                if self.writes {
                    world.write = Owner::Nobody;
                }
                world.checkpoint = Owner::Nobody;
                *self = Checkpointer::IDLE;
                ("sqlite3WalCheckpoint ends", true)
            }
        }
    }
}

const WRITERS: [&str; 2] = ["writer 1", "writer 2"];
const CHECKPOINTERS: [&str; 2] = ["checkpointer 1", "checkpointer 2"];

/// Every step that the application can take.
pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let writers = if world.open { rules.writers } else { 0 };
    for (number, &name) in WRITERS.iter().enumerate().take(writers) {
        let mut after = world.clone();
        if let Some(what) = write(&mut after, number, rules) {
            next.push((name, what, after));
        }
        if rules.kills && !world.kills {
            kill_writer(world, number, next);
        }
    }
    let checkpointers = if world.open { rules.checkpointers } else { &[] };
    for (number, &truncates) in checkpointers.iter().enumerate() {
        let mut after = world.clone();
        let mut one = after.checkpointers[number];
        let owner = Owner::Checkpointer(u8::try_from(number).expect("two of them"));
        let what = match one.step {
            Step::Idle => Checkpointer::lock(&mut after, owner, truncates).map(|locked| {
                one = locked;
                "sqlite3WalCheckpoint begins"
            }),
            _ => Some(one.advance(&mut after, rules.patched).0),
        };
        if let Some(what) = what {
            after.checkpointers[number] = one;
            next.push((CHECKPOINTERS[number], what, after));
        }
        if rules.kills && !world.kills && world.checkpointers[number].step != Step::Idle {
            let mut after = World { kills: true, ..world.clone() };
            after.checkpointers[number] = Checkpointer::IDLE;
            release(&mut after, owner);
            next.push((CHECKPOINTERS[number], "is killed", after));
        }
    }
    // Whoever opens the wal-index and finds it torn.
    let free = world.write == Owner::Nobody && world.checkpoint == Owner::Nobody;
    if !world.index_whole && free && world.open {
        let mut after = world.clone();
        after.recover();
        next.push(("anybody", "walIndexRecover", after));
    }
}

fn release(world: &mut World, owner: Owner) {
    if world.write == owner {
        world.write = Owner::Nobody;
    }
    if world.checkpoint == owner {
        world.checkpoint = Owner::Nobody;
    }
}

fn order(lock: Lock) -> LockOrder {
    match lock {
        Lock::Mark(mark) => LockOrder::Mark(mark),
        Lock::Zero | Lock::None => LockOrder::Zero,
    }
}

/// The next step of a writer.
fn write(world: &mut World, number: usize, rules: &Rules) -> Option<&'static str> {
    let owner = Owner::Writer(u8::try_from(number).expect("two of them"));
    let index = world.index;
    let (writer, what) = match world.writers[number] {
        Writer::Idle => {
            let lock = order(world.begin_read()?);
            let reading = Writer::Reading { salts: index.salts, frames: index.frames, lock };
            (reading, "walTryBeginRead")
        }
        Writer::Reading { salts, frames, .. } if (salts, frames) != (index.salts, index.frames) => {
            (Writer::Idle, "ends reading: what it has read is old")
        }
        Writer::Reading { lock, .. } => {
            if world.write != Owner::Nobody || !world.index_whole {
                return None;
            }
            world.write = owner;
            (Writer::Writing { lock }, "sqlite3WalBeginWriteTransaction")
        }
        Writer::Writing { lock: LockOrder::Zero } => {
            // Its own lock is that of read mark 0, so every reader of the log is another connection.
            if index.backfilled > 0 && !world.log_is_read() {
                world.restart();
                (Writer::Restarted, "walRestartHdr")
            } else {
                (Writer::Restarted, "walRestartLog finds that it cannot")
            }
        }
        Writer::Restarted => {
            let lock = LockOrder::Mark(index.frames);
            (Writer::Writing { lock }, "walRestartLog begins to read from the log")
        }
        Writer::Writing { lock } => {
            if world.tried == rules.tries {
                return None;
            }
            world.tried += 1;
            let at = usize::from(index.frames);
            if at == 0 {
                world.file.salts = index.salts;
                world.file.synced = 0;
            }
            world.file.frames[at] = world.tried;
            // The frames that a dead writer left after it no longer fit the checksum chain.
            world.file.frames[at + 1..].fill(0);
            (Writer::Written { transaction: world.tried, lock }, "walWriteOneFrame")
        }
        Writer::Written { transaction, .. } => {
            world.index.frames += 1;
            world.committed |= bit(transaction);
            world.write = Owner::Nobody;
            (Writer::Idle, "walIndexWriteHdr")
        }
    };
    world.writers[number] = writer;
    Some(what)
}

/// A writer dies between two steps, or within the one that writes the wal-index's header.
fn kill_writer(world: &World, number: usize, next: &mut Vec<Next<World>>) {
    let owner = Owner::Writer(u8::try_from(number).expect("two of them"));
    let mut dead = World { kills: true, ..world.clone() };
    dead.writers[number] = Writer::Idle;
    release(&mut dead, owner);
    let torn = match world.writers[number] {
        Writer::Idle => return,
        Writer::Written { .. } => true,
        Writer::Writing { lock: LockOrder::Zero } => {
            world.index.backfilled > 0 && !world.log_is_read()
        }
        _ => false,
    };
    if torn {
        let half = World { index_whole: false, ..dead.clone() };
        next.push((WRITERS[number], "is killed in walIndexWriteHdr", half));
    }
    next.push((WRITERS[number], "is killed", dead));
}

/// Everything dies at once: the power goes, and with it frames that were not synced; or the last connection is closed.
pub(crate) fn ends(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let idle = World {
        writers: [Writer::Idle; 2],
        checkpointers: [Checkpointer::IDLE; 2],
        write: Owner::Nobody,
        checkpoint: Owner::Nobody,
        ..world.clone()
    };
    if rules.power_loss && !world.power_losses {
        let whole = world.file.frames.iter().take_while(|&&frame| frame != 0).count();
        for kept in usize::from(world.file.synced).min(whole)..=whole {
            let mut after = World { power_losses: true, index_whole: false, ..idle.clone() };
            after.sidecar.die(&mut after.emitted, after.saved);
            after.file.frames[kept..].fill(0);
            after.committed = after.database;
            after.recover();
            next.push(("the machine", "loses its power", after));
        }
    }
    if rules.sidecar.kills
        && !rules.sidecar.rests
        && !world.sidecar.is_there()
        && world.index_whole
        && *world == idle
    {
        let mut after = idle;
        after.database |= after.readable();
        after.file.salts = 0;
        after.file.frames = [0; TRIES_MAX];
        after.file.synced = 0;
        after.restart();
        next.push(("the application", "closes its last connection", after));
    }
}
