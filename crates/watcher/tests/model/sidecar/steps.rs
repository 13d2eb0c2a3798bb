//! What the sidecar does, step by step; each step is named by its function in the watcher.

use super::image::{self, Image};
use super::rest;
use super::{Hold, NAME, Position, Reads, Task};
use crate::application::Checkpointer;
use crate::world::{Follows, Index, Lock, Owner, Rules, World, bit};
use ebbtide_testkit::search::Next;

/// Every step that the sidecar can take.
pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let follows = &rules.sidecar;
    if !follows.runs {
        return;
    }
    image::steps(world, rules, next);
    let mut add = |what, step: &dyn Fn(&mut World) -> bool| {
        let mut after = world.clone();
        if step(&mut after) {
            next.push((NAME, what, after));
        }
    };
    let sidecar = &world.sidecar;
    if sidecar.checkpointing {
        // SQLite's part may run on another thread; its steps and the task's come in any order.
        add("Checkpoint::run", &|after| run_checkpoint(after));
        add("checkpointed", &|after| checkpointed(after, follows));
    }
    kills(world, follows, &mut add);
    if sidecar.checkpointing && !sidecar.aside {
        return;
    }
    match sidecar.task {
        Task::Gone => add("Follower::open holds the log", &|after| {
            // The first connection to a database rebuilds the wal-index.
            if !after.open && !after.index_whole {
                after.recover();
            }
            after.begin_read().is_some_and(|lock| {
                after.sidecar.held = lock;
                after.sidecar.task = Task::Opening;
                true
            })
        }),
        Task::Opening
            if follows.takes_restart_lock && world.saved.is_some() && !sidecar.restart_lock =>
        {
            add("Shm::take_restart_lock", &|after| {
                after.sidecar.restart_lock = true;
                true
            });
        }
        Task::Opening => {
            add("Follower::open finds out where to begin", &|after| open(after, follows))
        }
        Task::Unknown => image::wait(world, follows, &mut add),
        Task::Waiting => wait(world, follows, &mut add),
        Task::Capturing(index) => add("capture reads", &|after| {
            after.sidecar.task = Task::Waiting;
            read(after, index, follows);
            true
        }),
        Task::ReadingAgain(index, proved) => add("for_each_page reads again", &|after| {
            let right = after.logged(index.frames) == proved;
            after.sidecar.task = Task::LookingAgain(index, right);
            true
        }),
        Task::LookingAgain(index, right) => add("Tail::read looks at the header", &|after| {
            after.sidecar.task = Task::Waiting;
            look_again(after, index, right, follows);
            true
        }),
        Task::HandingOver(before) => add("begin_handover begins to read", &|after| {
            let lock = after.begin_read();
            after.sidecar.next = lock.unwrap_or(Lock::None);
            after.sidecar.task = Task::HandedOver(before);
            lock.is_some()
        }),
        Task::HandedOver(before) => add("begin_handover looks again", &|after| {
            let hold = Hold::between(before, after.index, after.sidecar.has_lock);
            after.sidecar.handover = Some((hold, after.sidecar.mark(after.index)));
            after.sidecar.task = Task::Waiting;
            finish_handover(after, follows);
            after.index_whole
        }),
        Task::WritersStopped => {
            add("Exclusive::checkpoint 3: capture, and end reading", &|after| {
                if !after.sidecar.has_read(after.index) {
                    read(after, after.index, follows);
                }
                if !after.sidecar.is_there() {
                    return true;
                }
                after.sidecar.task = Task::ExclusiveHeld;
                if !(after.sidecar.stale_checkpointer && follows.checkpoint_lock_first) {
                    after.sidecar.held = Lock::None;
                    after.sidecar.task = Task::ExclusiveCopying;
                    begin_checkpoint(after, false, false);
                }
                true
            })
        }
        Task::ExclusiveCopying => add("Exclusive::checkpoint 5: the next hold begins", &|after| {
            let lock = after.begin_read();
            after.sidecar.held = lock.unwrap_or(Lock::None);
            after.sidecar.hold = Hold::between(after.index, after.index, after.sidecar.has_lock);
            after.sidecar.task = Task::ExclusiveHeld;
            lock.is_some()
        }),
        Task::ExclusiveHeld => {
            add("Exclusive::checkpoint 6: the write lock is given back", &|after| {
                after.write = Owner::Nobody;
                after.sidecar.exclusive = Lock::None;
                after.sidecar.task = Task::Waiting;
                true
            })
        }
        Task::Leaving | Task::Resting | Task::Rousing => {
            rest::steps(world, follows, &mut add);
        }
    }
}

/// The process may be killed at any step.
fn kills(
    world: &World,
    follows: &Follows,
    add: &mut impl FnMut(&'static str, &dyn Fn(&mut World) -> bool),
) {
    if follows.kills && !world.sidecar_kills && world.sidecar.is_there() {
        add("is killed", &|after| {
            after.sidecar_kills = true;
            kill(after);
            true
        });
    }
}

/// The kernel drops the locks of a process that is gone.
pub(super) fn kill(world: &mut World) {
    world.sidecar.die(&mut world.emitted, world.saved);
    if world.write == Owner::Sidecar {
        world.write = Owner::Nobody;
    }
    if world.checkpoint == Owner::Sidecar {
        world.checkpoint = Owner::Nobody;
    }
    (world.foreign, world.other_file) = (false, false);
    if !world.open {
        world.index_whole = false;
    }
}

/// What a task that waits may do next.
fn wait(
    world: &World,
    follows: &Follows,
    add: &mut impl FnMut(&'static str, &dyn Fn(&mut World) -> bool),
) {
    if !world.index_whole {
        add("recover", &|after| {
            let free = matches!(after.checkpoint, Owner::Nobody | Owner::Sidecar);
            after.recover();
            // SQLite's unlocking drops the checkpoint lock of the whole process.
            after.checkpoint = Owner::Nobody;
            after.sidecar.has_lock = false;
            free && after.write == Owner::Nobody && !after.sidecar.checkpointing
        });
        return;
    }
    let (sidecar, index) = (&world.sidecar, world.index);
    if !sidecar.has_read(index) {
        add("capture looks", &|after| {
            after.sidecar.task = Task::Capturing(index);
            true
        });
    }
    add("capture finds nothing new", &|after| {
        let pending = after.sidecar.handover.is_some();
        finish_handover(after, follows);
        pending && after.sidecar.handover.is_none()
    });
    if follows.kills && world.saved.is_none_or(|saved| saved != (sidecar.position, world.emitted)) {
        add("what was captured becomes durable", &|after| {
            after.saved = Some((after.sidecar.position, after.emitted));
            true
        });
    }
    if sidecar.checkpointing {
        return;
    }
    add("maintain asks for the checkpoint lock", &|after| {
        let (before, stale) = (after.sidecar.has_lock, after.sidecar.stale_checkpointer);
        maintain_lock(after, follows);
        (before, stale) != (after.sidecar.has_lock, after.sidecar.stale_checkpointer)
    });
    image::wait(world, follows, add);
    rest::wait(world, follows, add);
    if sidecar.handover.is_none() {
        add("begin_handover looks", &|after| {
            after.sidecar.task = Task::HandingOver(index);
            true
        });
    }
    if sidecar.may_checkpoint(index, follows) {
        add("begin_checkpoint", &|after| begin_checkpoint(after, false, follows.aside));
    }
    if follows.checkpoints && sidecar.may_truncate(index) {
        add("truncate", &|after| begin_checkpoint(after, true, false));
    }
    let stale = sidecar.stale_checkpointer && follows.checkpoint_lock_first;
    // Exclusive checkpoints beside a rest would be many more states, and there are no writers then.
    if follows.checkpoints && !follows.rests && sidecar.handover.is_none() && !stale {
        add("Exclusive::checkpoint 1: take the write lock", &|after| {
            let lock = after.begin_read();
            let free = after.write == Owner::Nobody;
            after.write = Owner::Sidecar;
            after.sidecar.exclusive = lock.unwrap_or(Lock::None);
            after.sidecar.task = Task::WritersStopped;
            lock.is_some() && free
        });
    }
}

/// The log is held; from where on is it read?
fn open(world: &mut World, follows: &Follows) -> bool {
    if !world.index_whole {
        return false;
    }
    maintain_lock(world, follows);
    let index = world.index;
    world.sidecar.stale_checkpointer = !world.sidecar.has_lock;
    world.sidecar.hold = Hold { salts: index.salts, ..Hold::NONE };
    let resumed = world.saved.filter(|(position, _)| {
        position.salts == index.salts
            && position.frame <= index.frames
            && index.frames > 0
            && world.file.salts == index.salts
            && world.logged(position.frame) == position.checksum
    });
    let (position, emitted) = resumed.unwrap_or_else(|| {
        // The state itself is compared, so that everything committed is in it.
        let checksum = world.logged(index.frames);
        (Position { salts: index.salts, frame: index.frames, checksum }, world.committed)
    });
    if resumed.is_none() && follows.images {
        // An image is to tell the state.
        world.sidecar.restart_lock = false;
        world.sidecar.task = Task::Unknown;
        return true;
    }
    let behind = world.readable() & !world.logged(position.frame);
    if emitted != world.committed & !behind {
        world.wrong = Some("a start resumed where history is another");
    }
    world.emitted = emitted;
    world.sidecar.begin_at(position, index);
    true
}

/// The second half of `capture`: the frames up to `index`, each proved, each handed out.
fn read(world: &mut World, index: Index, follows: &Follows) {
    let file = world.file;
    let sidecar = &mut world.sidecar;
    if sidecar.must_enter(index) {
        let restarted = index.salts != sidecar.position.salts;
        if restarted && sidecar.hold.reads == Reads::Log || file.salts != index.salts {
            return broke(world);
        }
        if restarted && follows.notices_missed && sidecar.position.frame < sidecar.known_frames {
            return broke(world);
        }
        sidecar.position = Position { salts: index.salts, frame: 0, checksum: 0 };
        sidecar.cursor = true;
        let doubts = follows.doubts_lock && sidecar.checkpointing;
        sidecar.stale_checkpointer |= doubts || !sidecar.has_lock;
        if let Some((_, mark)) = &mut sidecar.handover {
            mark.enter();
        }
        if let Image::Pinned(pin) = &mut sidecar.image {
            pin.until.enter();
        }
    }
    let known = world.logged(world.sidecar.position.frame) == world.sidecar.position.checksum;
    if file.salts != index.salts || !known || index.frames < world.sidecar.position.frame {
        return broke(world);
    }
    if follows.reads_twice {
        world.sidecar.task = Task::ReadingAgain(index, world.logged(index.frames));
        return;
    }
    hand_out(world, index, follows);
}

/// The pages of a large transaction were read a second time, unproved: the log must still be the one that was proved.
fn look_again(world: &mut World, index: Index, right: bool, follows: &Follows) {
    if follows.looks_again && world.file.salts != index.salts {
        return broke(world);
    }
    if !right {
        world.wrong = Some("a transaction was captured with pages of another");
        return;
    }
    hand_out(world, index, follows);
}

/// What is proved goes to the shipper, and the hold may go on.
fn hand_out(world: &mut World, index: Index, follows: &Follows) {
    let file = world.file;
    for at in world.sidecar.position.frame..index.frames {
        emit(world, file.frames[usize::from(at)]);
        world.sidecar.position.frame += 1;
    }
    world.sidecar.position.checksum = world.logged(index.frames);
    (world.sidecar.known_frames, world.sidecar.caught_up) = (index.frames, true);
    world.sidecar.restart_lock = false;
    finish_handover(world, follows);
}

/// The log contradicts the wal-index. That is allowed only before a start without the restart lock has read all frames
/// that it found: the session ends, and the next one compares pages.
fn broke(world: &mut World) {
    if world.sidecar.caught_up || world.sidecar.restart_lock {
        world.wrong = Some("the log broke while it was held");
    }
    kill(world);
}

fn emit(world: &mut World, transaction: u8) {
    let due = world.committed & !world.emitted;
    world.wrong = match bit(transaction) {
        _ if world.other_file => Some("a commit of another file was captured as a successor"),
        set if set & world.committed == 0 => {
            Some("a transaction was captured that was never committed")
        }
        set if set != due & due.wrapping_neg() => {
            Some("transactions were captured out of their order")
        }
        _ => world.wrong,
    };
    world.emitted |= bit(transaction);
}

fn finish_handover(world: &mut World, follows: &Follows) {
    let sidecar = &mut world.sidecar;
    let Some((hold, mark)) = sidecar.handover else { return };
    if !sidecar.covers(mark) || sidecar.stale_checkpointer && follows.checkpoint_lock_first {
        return;
    }
    (sidecar.held, sidecar.hold) = (sidecar.next, hold);
    (sidecar.next, sidecar.handover) = (Lock::None, None);
}

/// `CheckpointLock::maintain`, and what follows from having it. Without keeping it, having had it is as good.
pub(super) fn maintain_lock(world: &mut World, follows: &Follows) {
    let free = matches!(world.checkpoint, Owner::Nobody | Owner::Sidecar);
    if free && follows.keeps_lock {
        world.checkpoint = Owner::Sidecar;
        world.sidecar.has_lock = true;
    }
    world.sidecar.stale_checkpointer &= !free;
}

fn begin_checkpoint(world: &mut World, truncates: bool, aside: bool) -> bool {
    // A checkpoint that finds the lock taken has ended, and the lock is asked for again.
    let locked = Checkpointer::lock(world, Owner::Sidecar, truncates);
    world.sidecar.checkpoint = locked.unwrap_or(Checkpointer::IDLE);
    world.sidecar.checkpointing = true;
    world.sidecar.unlocked = locked.is_none();
    world.sidecar.aside = aside;
    // Of a checkpoint on another thread the task learns at its end, and believes until then that it has the lock.
    world.sidecar.has_lock &= aside && locked.is_some();
    true
}

/// SQLite's part of our own checkpoint. Its unlocking drops the checkpoint lock of the whole process.
fn run_checkpoint(world: &mut World) -> bool {
    if world.sidecar.unlocked {
        return false;
    }
    let mut checkpoint = world.sidecar.checkpoint;
    // Our SQLite is a newer one.
    let (_, over) = checkpoint.advance(world, true);
    world.sidecar.checkpoint = checkpoint;
    world.sidecar.unlocked = over;
    true
}

/// The lock is taken again, if it is free, and the task learns of it.
fn checkpointed(world: &mut World, follows: &Follows) -> bool {
    if !world.sidecar.unlocked {
        return false;
    }
    (world.sidecar.unlocked, world.sidecar.checkpointing) = (false, false);
    world.sidecar.aside = false;
    let free = world.checkpoint == Owner::Nobody;
    world.sidecar.has_lock = free && follows.keeps_lock;
    if world.sidecar.has_lock {
        world.checkpoint = Owner::Sidecar;
    }
    true
}
