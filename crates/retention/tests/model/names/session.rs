//! A session: it reads the head, sends what an earlier one of its machine has spooled, claims, and puts.

use ebbtide_testkit::search::Next;

use super::world::{Body, Rules, World};

/// A session that encodes a name a second time does so under another author.
pub(crate) const SECOND: u8 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    Gone,
    /// It has listed the log, and the newest name was the one before its next.
    Listed,
    /// It has read the head.
    Attached,
    /// What it has put last does not count yet.
    Looking,
    /// It has claimed, and what it puts counts.
    Writing,
    /// It does not know what became of its last put.
    Unsure,
}

/// What a machine has on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// The session that wrote last.
    session: u8,
    /// The last entry that counts, and its author.
    position: u8,
    author: u8,
    /// How many entries after it are spooled, and who encoded them.
    spooled: u8,
    spooler: u8,
}

impl Disk {
    pub(crate) const EMPTY: Disk =
        Disk { session: 0, position: 0, author: 0, spooled: 0, spooler: 0 };
}

/// One session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Session {
    phase: Phase,
    number: u8,
    next: u8,
    /// The author of the entry before the next one.
    before: u8,
    /// With which name it began; 0 before that.
    first: u8,
    claimed: bool,
    /// How many entries it has to send from the spool, and who encoded them.
    spooled: u8,
    spooler: u8,
    /// The author of a head that is of an earlier session of its machine, and of which nobody has been told yet.
    adopts: u8,
}

impl Session {
    pub(crate) const GONE: Session = Session {
        phase: Phase::Gone,
        number: 0,
        next: 0,
        before: 0,
        first: 0,
        claimed: false,
        spooled: 0,
        spooler: 0,
        adopts: 0,
    };

    /// What it puts next.
    fn body(&self) -> Body {
        let before = self.before;
        if self.spooled > 0 {
            return Body { author: self.spooler, before, claim: false };
        }
        Body { author: self.number, before, claim: !self.claimed }
    }
}

const WHO: [&str; 2] = ["machine 1", "machine 2"];

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    for (at, who) in WHO.into_iter().enumerate() {
        let mut add = |what, step: &dyn Fn(&mut World) -> bool| {
            let mut after = world.clone();
            if step(&mut after) {
                next.push((who, what, after));
            }
        };
        match world.sessions[at].phase {
            Phase::Gone => starts(world, at, rules, &mut add),
            Phase::Listed => attaches(world, at, rules, &mut add),
            Phase::Attached | Phase::Writing | Phase::Unsure => puts(world, at, rules, &mut add),
            Phase::Looking => looks(world, at, rules, &mut add),
        }
        // A session that sleeps for ever is as good as dead.
        let another_may_start = world.started <= rules.starts;
        if world.sessions[at].phase != Phase::Gone && another_may_start {
            add("is killed", &|after| {
                after.sessions[at] = Session::GONE;
                true
            });
        }
    }
}

type Add<'a> = dyn FnMut(&'static str, &dyn Fn(&mut World) -> bool) + 'a;

fn starts(world: &World, at: usize, rules: &Rules, add: &mut Add<'_>) {
    if world.started > rules.starts {
        return;
    }
    for head in world.newest_listed(rules).filter(|&head| head < rules.names) {
        add("begins, and lists the log", &|after| {
            after.started += 1;
            let (phase, number) = (Phase::Listed, after.started);
            after.sessions[at] = Session { phase, number, next: head + 1, ..Session::GONE };
            true
        });
    }
}

/// `catalog::head` reads the segment that was listed last.
fn attaches(world: &World, at: usize, rules: &Rules, add: &mut Add<'_>) {
    let head = world.sessions[at].next - 1;
    let Some(segment) = world.segment(head) else { return };
    let disk = world.disks[at];
    let attach = |after: &mut World, spooled: u8, adopts: bool| {
        let session = &mut after.sessions[at];
        session.phase = Phase::Attached;
        session.before = segment.body.author;
        (session.spooled, session.spooler) = (spooled, disk.spooler);
        let is_late = adopts && rules.counts_adopted_late;
        session.adopts = if is_late { segment.body.author } else { 0 };
        let number = session.number;
        let disk = &mut after.disks[at];
        disk.session = number;
        if spooled == 0 {
            (disk.spooled, disk.spooler) = (0, 0);
        }
        if adopts && !rules.counts_adopted_late {
            after.count(head, segment.body.author);
        }
        true
    };
    add("reads the head, and continues behind it", &|after| attach(after, 0, false));
    let since = head.checked_sub(disk.position).filter(|_| disk.position > 0);
    match since {
        Some(0) if segment.body.author == disk.author && disk.spooled > 0 => {
            add("reads the head, which the spool continues", &|after| {
                attach(after, disk.spooled, false)
            });
        }
        Some(sent) if sent > 0 && sent <= disk.spooled && segment.body.author == disk.spooler => {
            add("reads the head, which is of the spool", &|after| {
                attach(after, disk.spooled - sent, true)
            });
        }
        Some(1) if segment.body.author & !SECOND == disk.session => {
            add("reads the head, which is its own", &|after| attach(after, 0, true));
        }
        _ => {}
    }
}

fn puts(world: &World, at: usize, rules: &Rules, add: &mut Add<'_>) {
    let session = world.sessions[at];
    if session.next <= rules.names {
        let body = session.body();
        add("puts", &|after| {
            match after.land(session.next, body) {
                true => landed(after, at, rules),
                false => after.sessions[at] = Session::GONE,
            }
            true
        });
        if session.phase != Phase::Unsure {
            add("puts, and hears nothing", &|after| {
                after.land(session.next, body);
                after.sessions[at].phase = Phase::Unsure;
                session.claimed
            });
        }
        add("puts, and is killed while the request is on its way", &|after| {
            after.late = Some((session.next, body));
            after.died = true;
            after.sessions[at] = Session::GONE;
            rules.dies && !world.died
        });
    }
    let is_unsure = session.phase == Phase::Unsure;
    if session.claimed && rules.spools && session.next + session.spooled <= rules.names {
        add("spools", &|after| {
            let disk = &mut after.disks[at];
            if disk.position + 1 != session.next || session.spooled > 0 {
                return false;
            }
            (disk.spooled, disk.spooler) = (1, session.number);
            let session = &mut after.sessions[at];
            (session.spooled, session.spooler) = (1, session.number);
            true
        });
    }
    let forgets = match session.spooled {
        0 => is_unsure && !rules.one_body,
        // What was never sent, and perhaps by another machine that has a copy of the disk.
        _ => !is_unsure && !rules.one_spooled_body,
    };
    if forgets && session.claimed && session.number < SECOND {
        add("loses the bytes, and encodes others", &|after| {
            let session = &mut after.sessions[at];
            session.number |= SECOND;
            session.spooled = 0;
            session.phase = Phase::Writing;
            true
        });
    }
}

/// The object is there, and is this session's.
fn landed(world: &mut World, at: usize, rules: &Rules) {
    let session = &mut world.sessions[at];
    let (name, body) = (session.next, session.body());
    let is_first = session.first == 0;
    if is_first {
        session.first = name;
    }
    session.claimed |= body.claim;
    session.next += 1;
    session.before = body.author;
    session.spooled = session.spooled.saturating_sub(1);
    if is_first && rules.looks_behind {
        session.phase = Phase::Looking;
    } else {
        counts(world, at);
    }
}

/// What was put last counts.
fn counts(world: &mut World, at: usize) {
    let session = &mut world.sessions[at];
    let (name, author) = (session.next - 1, session.before);
    session.phase = if session.claimed { Phase::Writing } else { Phase::Attached };
    let disk = &mut world.disks[at];
    let from_spool = disk.spooled > 0 && disk.spooler == author && name > disk.position;
    disk.spooled -= u8::from(from_spool);
    (disk.position, disk.author) = (name, author);
    world.count(name, author);
}

/// R2: the log after the name that was put, and the horizon.
fn looks(world: &World, at: usize, rules: &Rules, add: &mut Add<'_>) {
    let session = world.sessions[at];
    let name = session.next - 1;
    let behind = (session.next..=rules.names).filter_map(|name| world.segment(name));
    let (mut sure, mut perhaps) = (false, false);
    for segment in behind {
        perhaps = true;
        sure |= segment.old || !rules.lags;
    }
    if rules.looks_at_horizon && world.freed >= name {
        perhaps = true;
        sure |= world.old_freed >= name || !rules.lags;
    }
    if perhaps {
        add("looks behind: the put is void", &|after| {
            after.sessions[at] = Session::GONE;
            true
        });
    }
    if !sure {
        add("looks behind: nothing", &|after| {
            let adopts = std::mem::take(&mut after.sessions[at].adopts);
            if adopts != 0 {
                after.count(session.first - 1, adopts);
            }
            counts(after, at);
            true
        });
    }
}
