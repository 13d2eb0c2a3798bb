//! The image: the database as of one position of its log, read page by page while everybody else goes on; each step is
//! named by its function in the watcher.
//!
//! A page is one transaction's: it has been written or not, and the image is right if those that were are of the
//! transactions up to its position. Any number of pages is read, in any order.

use super::{Mark, NAME, Position, Task};
use crate::world::{Follows, Index, Lock, Rules, Set, TRIES_MAX, World, bit};
use ebbtide_testkit::search::Next;

/// `image::Image`, if there is one, and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Image {
    None,
    /// Its transaction has begun…
    Begun(Lock),
    /// …and the wal-index was looked at.
    Pinned(Pin),
    Reading(Reading),
}

/// `image::ImagePin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pin {
    lock: Lock,
    end: Index,
    pub(super) until: Mark,
    /// What was committed at its end.
    committed: Set,
}

/// An image that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    lock: Lock,
    position: Position,
    /// What it should have.
    pages: Set,
    /// The transaction in each frame that it would read.
    logged: [u8; TRIES_MAX],
    restarted: bool,
    step: Step,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// Any pages from the file.
    File,
    /// Then those of them that the log has.
    Log,
    /// A look at the log's header, after that has been read, right or not.
    Look { right: bool },
    /// The file again, since the log is another by now.
    FileAgain,
}

impl Image {
    pub(crate) fn lock(&self) -> Lock {
        match *self {
            Image::None => Lock::None,
            Image::Begun(lock) => lock,
            Image::Pinned(Pin { lock, .. }) | Image::Reading(Reading { lock, .. }) => lock,
        }
    }

    /// The WAL generation that it remembers.
    pub(crate) fn salts(&self) -> u8 {
        match *self {
            Image::None | Image::Begun(_) => 0,
            Image::Pinned(pin) => pin.end.salts,
            Image::Reading(reading) => reading.position.salts,
        }
    }
}

/// What a task that waits may do about an image.
pub(super) fn wait(
    world: &World,
    follows: &Follows,
    add: &mut impl FnMut(&'static str, &dyn Fn(&mut World) -> bool),
) {
    match world.sidecar.image {
        Image::None if follows.images => add("pin_image begins to read", &begin),
        Image::Begun(lock) => add("pin_image looks", &|after| look(after, lock)),
        Image::Pinned(pin) if world.sidecar.task == Task::Unknown => {
            add("skip_to", &|after| skip_to(after, pin));
        }
        Image::Pinned(pin) => add("image", &|after| image(after, pin)),
        Image::None | Image::Reading(_) => {}
    }
}

fn begin(world: &mut World) -> bool {
    let lock = world.begin_read();
    world.sidecar.image = lock.map_or(Image::None, Image::Begun);
    lock.is_some()
}

fn look(world: &mut World, lock: Lock) -> bool {
    let (end, committed) = (world.index, world.committed);
    let until = world.sidecar.mark(end);
    world.sidecar.image = Image::Pinned(Pin { lock, end, until, committed });
    world.index_whole
}

/// For a start that could not resume: everything before the pin is given up as history.
fn skip_to(world: &mut World, mut pin: Pin) -> bool {
    if pin.end.frames > 0 && world.file.salts != pin.end.salts {
        // The log was restarted before the end could be proved. The next session tries again.
        super::steps::kill(world);
        return true;
    }
    let checksum = world.logged(pin.end.frames);
    world.emitted = pin.committed;
    let sidecar = &mut world.sidecar;
    sidecar.begin_at(Position { salts: pin.end.salts, frame: pin.end.frames, checksum }, pin.end);
    pin.until = sidecar.mark(pin.end);
    sidecar.image = Image::Pinned(pin);
    true
}

/// `Follower::image`, and the proof of `logged_pages`.
fn image(world: &mut World, pin: Pin) -> bool {
    let position = world.sidecar.position;
    let mut logged = [0; TRIES_MAX];
    if position.frame > 0 && world.file.salts == position.salts {
        let frames = ..usize::from(position.frame);
        logged[frames].copy_from_slice(&world.file.frames[frames]);
        if world.logged(position.frame) != position.checksum {
            world.wrong = Some("the log broke while an image held it");
        }
    }
    world.sidecar.image = Image::Reading(Reading {
        lock: pin.lock,
        position,
        pages: world.emitted,
        logged,
        restarted: false,
        step: Step::File,
    });
    world.sidecar.covers(pin.until)
}

/// Every step of an image that is being read, by another thread than the task's.
pub(super) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let Image::Reading(reading) = world.sidecar.image else { return };
    let mut add = |what: &'static str, image: Option<Image>| {
        let mut after = world.clone();
        match image {
            Some(image) => after.sidecar.image = image,
            None => after.wrong = Some("an image has a page that is not of its position"),
        }
        next.push((NAME, what, after));
    };
    let go_on = |step| Some(Image::Reading(reading.at(step)));
    let only_if = |right: bool| if right { go_on(Step::File) } else { None };
    match reading.step {
        Step::File => {
            let logged = if reading.restarted { 0 } else { reading.logged() };
            let right = reading.wrong_in_file(world) & !logged == 0;
            let after = if logged == 0 { Step::File } else { Step::Log };
            add("Image::read_file", if right { go_on(after) } else { None });
            add("has read an image", Some(Image::None));
        }
        // One page may be read before another is overwritten.
        Step::Log => {
            for (frame, page) in (0..).zip(reading.logged).filter(|&(_, page)| page != 0) {
                let right = world.file.frames[frame] == page;
                let looks = rules.sidecar.looks_again;
                let after = if looks { go_on(Step::Look { right }) } else { only_if(right) };
                add("Image::read_log", after);
            }
        }
        Step::Look { right } if world.file.salts == reading.position.salts => {
            add("Image::read_pages finds the header of its log", only_if(right));
        }
        Step::Look { .. } => {
            let after = Reading { restarted: true, ..reading.at(Step::FileAgain) };
            let what = "Image::read_pages finds that the log was restarted";
            add(what, Some(Image::Reading(after)));
        }
        Step::FileAgain => {
            add("Image::read_file again", only_if(reading.wrong_in_file(world) == 0));
        }
    }
}

impl Reading {
    fn at(self, step: Step) -> Reading {
        Reading { step, ..self }
    }

    fn logged(&self) -> Set {
        self.logged.iter().fold(0, |set, &page| set | bit(page))
    }

    /// The pages that are not written where they should be, or are where they should not. Nobody can say what stands
    /// where a checkpoint is writing.
    fn wrong_in_file(&self, world: &World) -> Set {
        self.pages ^ world.database | world.half_copied()
    }
}
