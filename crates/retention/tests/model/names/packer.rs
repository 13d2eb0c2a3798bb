//! Makes packs: one that may sleep between any two of its steps, and beside it others that are quick.

use ebbtide_testkit::search::Next;

use super::world::{Body, Rules, World, author_bit};

/// The packer that may sleep. A pack of one entry stands for the last segments of any pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Packer {
    Idle,
    /// It has listed this segment and one after it.
    Listed(u8),
    /// It has read the segment.
    Read(u8, Body),
    /// It has seen that the segment after it continues it.
    Proved(u8, Body),
}

pub(crate) fn steps(world: &World, rules: &Rules, next: &mut Vec<Next<World>>) {
    let mut add = |who, what, step: &dyn Fn(&mut World) -> bool| {
        let mut after = world.clone();
        if step(&mut after) {
            next.push((who, what, after));
        }
    };
    for name in 1..rules.names {
        let (Some(segment), Some(after)) = (world.segment(name), world.segment(name + 1)) else {
            continue;
        };
        let is_hidden = rules.lags && !world.is_packed(name, true);
        if world.packs[usize::from(name)] != 0 && !is_hidden {
            continue;
        }
        if world.packer == Packer::Idle && rules.sleepers {
            add("packer", "lists the log", &|after| {
                after.packer = Packer::Listed(name);
                true
            });
        }
        if after.body.before == segment.body.author {
            add("another packer", "packs", &|after| put(after, name, segment.body));
        }
    }
    match world.packer {
        Packer::Idle => {}
        Packer::Listed(name) => add("packer", "reads a segment", &|after| {
            after.packer = match after.segment(name) {
                Some(segment) if rules.packs_what_links => Packer::Read(name, segment.body),
                Some(segment) => Packer::Proved(name, segment.body),
                None => Packer::Idle,
            };
            true
        }),
        Packer::Read(name, body) => add("packer", "reads the segment after it", &|after| {
            let next = after.segment(name + 1).filter(|next| next.body.before == body.author);
            after.packer = next.map_or(Packer::Idle, |_| Packer::Proved(name, body));
            true
        }),
        Packer::Proved(name, body) => add("packer", "puts the pack", &|after| {
            after.packer = Packer::Idle;
            put(after, name, body);
            true
        }),
    }
}

fn put(world: &mut World, name: u8, body: Body) -> bool {
    let packs = &mut world.packs[usize::from(name)];
    let is_new = *packs & author_bit(body.author) == 0;
    *packs |= author_bit(body.author);
    is_new
}
