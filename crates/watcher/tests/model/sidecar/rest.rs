//! Rest: the steps of `Follower::rest` and `Follower::rouse`, and what an application and an operator do around them.

use super::steps::{kill, maintain_lock};
use super::{Hold, Position, Task};
use crate::application::{Checkpointer, Writer};
use crate::world::{Follows, Lock, Owner, Rules, TRIES_MAX, World};
use ebbtide_testkit::search::Next;

/// What a task that waits may do towards a rest.
pub(super) fn wait(
    world: &World,
    follows: &Follows,
    add: &mut impl FnMut(&'static str, &dyn Fn(&mut World) -> bool),
) {
    let sidecar = &world.sidecar;
    let empty = world.index.frames == 0 && world.file.frames[0] == 0;
    let may = follows.rests && sidecar.handover.is_none() && sidecar.has_read(world.index);
    if may && !world.open && (empty || !follows.empties) {
        add("rest locks the database", &|after| {
            (after.file_changed, after.logged_at_rest) = (false, after.readable());
            after.sidecar.task = Task::Leaving;
            true
        });
    }
}

/// The steps from the lock to the next hold.
pub(super) fn steps(
    world: &World,
    follows: &Follows,
    add: &mut impl FnMut(&'static str, &dyn Fn(&mut World) -> bool),
) {
    match world.sidecar.task {
        Task::Leaving => add("rest closes the connections", &|after| {
            // `Shm::take_backfill_lock` is the lock of a reader of the database file alone.
            after.sidecar.held = Lock::Zero;
            if !follows.takes_backfill_lock {
                after.sidecar.held = Lock::None;
            }
            after.sidecar.has_lock = false;
            if after.checkpoint == Owner::Sidecar {
                after.checkpoint = Owner::Nobody;
            }
            after.sidecar.task = Task::Resting;
            detach(after, follows);
            true
        }),
        Task::Resting if world.has_stirred() => {
            add("rouse begins to read", &|after| {
                if after.foreign {
                    kill(after);
                    return true;
                }
                revive(after);
                let lock = after.begin_read();
                after.sidecar.held = lock.unwrap_or(Lock::None);
                after.sidecar.task = Task::Rousing;
                lock.is_some()
            });
        }
        Task::Rousing => add("rouse looks at the file", &|after| {
            if !leave_if_changed(after, follows) {
                begin(after, follows);
            }
            true
        }),
        _ => {}
    }
}

/// A database that was changed by something else than commits in its log ends the session.
fn leave_if_changed(world: &mut World, follows: &Follows) -> bool {
    let ends = world.foreign || world.file_changed && follows.looks_at_file;
    if ends {
        kill(world);
    }
    ends
}

/// From the start of the log.
fn begin(world: &mut World, follows: &Follows) {
    maintain_lock(world, follows);
    let index = world.index;
    let sidecar = &mut world.sidecar;
    sidecar.stale_checkpointer = !sidecar.has_lock;
    sidecar.hold = Hold { salts: index.salts, ..Hold::NONE };
    (sidecar.position, sidecar.cursor) =
        (Position { salts: index.salts, frame: 0, checksum: 0 }, false);
    sidecar.known_frames = index.frames;
    sidecar.caught_up = index.frames == 0;
    sidecar.task = Task::Waiting;
}

/// The first connection to a database rebuilds the wal-index; or the wal-index of an application that has just closed
/// the database is kept.
fn revive(world: &mut World) {
    if !world.index_whole {
        if world.index.frames > 0 && !world.kills {
            world.index_whole = true;
        } else {
            world.recover();
        }
    }
}

/// Once nobody has the database open, its wal-index is of no use any more.
fn detach(world: &mut World, follows: &Follows) {
    if !world.open && !world.sidecar.is_attached(follows) {
        world.index_whole = false;
    }
}

/// The application opens and closes the database, and an operator replaces the file while it is closed.
pub(crate) fn surroundings(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let follows = &rules.sidecar;
    if !follows.rests {
        return;
    }
    if !world.open {
        let mut after = World { open: true, ..world.clone() };
        if !after.index_whole {
            after.recover();
        }
        next.push(("the application", "opens the database", after));
    } else if is_idle(world) {
        let mut after = World { open: false, ..world.clone() };
        if !world.sidecar.is_there() {
            after.database |= after.readable();
            after.file.frames = [0; TRIES_MAX];
            (after.file.salts, after.file.synced) = (0, 0);
        }
        detach(&mut after, follows);
        next.push(("the application", "closes the database", after));
    }
    if !world.open && !world.replaced && world.sidecar.task == Task::Resting && !world.has_stirred()
    {
        for (what, moved) in
            [("moves another file there", true), ("copies another file over it", false)]
        {
            let mut after = world.clone();
            replace(&mut after, moved);
            next.push(("the operator", what, after));
        }
    }
}

fn is_idle(world: &World) -> bool {
    let writers = world.writers.iter().all(|writer| *writer == Writer::Idle);
    writers && world.checkpointers.iter().all(|one| *one == Checkpointer::IDLE)
}

/// Another database stands there: it has none of the commits, and those to come are not successors of what is captured.
fn replace(world: &mut World, moved: bool) {
    if world.file.frames[0] != 0 {
        world.wrong = Some("the log was played over another file");
    }
    if world.index_whole {
        world.wrong = Some("the wal-index of another file was alive");
    }
    world.replaced = true;
    (world.foreign, world.file_changed) = (moved, true);
    world.other_file = true;
    (world.database, world.committed, world.saved) = (0, 0, None);
}
