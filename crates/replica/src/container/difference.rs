//! What differs between an image of a page and the one before it, in as few bytes as a look at both gives.
//!
//! A page of a b-tree changes in a few places: counters in its header, a cell, and the array of pointers, half of which
//! moves by two bytes. So a difference copies from the base where bytes stay, also from another position, and states
//! the others. It is a sequence of steps, each of which
//! copies and then states bytes; `docs/format.md` has the bytes.

use crate::{Error, Result};

/// The most bytes of a number: three have 21 bits, and no number is greater than twice a page and one.
const NUMBER_BYTES_MAX: usize = 3;

/// Fewer bytes that stay in their place are stated along with their neighbours: a step costs two.
const STAY_MIN: usize = 4;

/// Fewer bytes that moved are stated: a step costs three to five.
const MOVE_MIN: usize = 8;

/// So many bytes are stated before moved ones are looked for, which means going through the whole base once.
const PATIENCE: usize = 8;

/// Slots for the positions of the base; of positions with the same slot the last is found.
const SLOTS: usize = 1 << 12;

const NOWHERE: u16 = u16::MAX;

/// Finds differences, with memory that is kept from one to the next.
pub(super) struct Differ {
    slots: Box<[u16; SLOTS]>,
}

impl Default for Differ {
    fn default() -> Differ {
        Differ { slots: Box::new([NOWHERE; SLOTS]) }
    }
}

/// A step that is being put together.
#[derive(Clone, Copy)]
struct Copied {
    from: usize,
    to: usize,
    length: usize,
}

impl Differ {
    /// Appends what makes `image` of `base`, which has the same length, to `out`.
    pub(super) fn encode(&mut self, base: &[u8], image: &[u8], out: &mut Vec<u8>) {
        let mut indexed = false;
        // What the last step copied, and where the bytes begin that are to be stated after it.
        let mut copied = Copied { from: 0, to: 0, length: same(base, image) };
        let (mut stated, mut shift) = (copied.length, 0_isize);
        let mut at = stated;
        while at < image.len() {
            let mut found = here(base, image, at, 0, STAY_MIN);
            if found.is_none() && shift != 0 {
                found = here(base, image, at, shift, STAY_MIN);
            }
            if found.is_none() && at - stated >= PATIENCE {
                if !indexed {
                    self.index(base);
                    indexed = true;
                }
                found = self.find(base, image, at);
            }
            let Some(mut next) = found else {
                at += 1;
                continue;
            };
            while next.to > stated && next.from > 0 && base[next.from - 1] == image[next.to - 1] {
                (next.from, next.to, next.length) = (next.from - 1, next.to - 1, next.length + 1);
            }
            step(copied, &image[stated..next.to], out);
            (copied, stated) = (next, next.to + next.length);
            at = stated;
            if next.from != next.to {
                shift = next.from.cast_signed() - next.to.cast_signed();
            }
        }
        if stated < image.len() || copied.from != copied.to {
            step(copied, &image[stated..], out);
        }
    }

    fn index(&mut self, base: &[u8]) {
        self.slots.fill(NOWHERE);
        for (at, word) in base.windows(4).enumerate() {
            let word = word.try_into().expect("windows of four bytes");
            self.slots[slot(word)] = u16::try_from(at).unwrap_or(NOWHERE);
        }
    }

    fn find(&self, base: &[u8], image: &[u8], at: usize) -> Option<Copied> {
        let word = *image.get(at..)?.first_chunk()?;
        let from = self.slots[slot(word)];
        if from == NOWHERE {
            return None;
        }
        let from = usize::from(from);
        let length = same(&base[from..], &image[at..]);
        (length >= MOVE_MIN).then_some(Copied { from, to: at, length })
    }
}

/// What `image` at `at` has in common with `base` at a position that is greater by `shift`, if it is long enough or ends
/// with the page.
fn here(base: &[u8], image: &[u8], at: usize, shift: isize, min: usize) -> Option<Copied> {
    let from = at.checked_add_signed(shift)?;
    if base.get(from)? != &image[at] {
        return None;
    }
    let length = same(&base[from..], &image[at..]);
    let enough = length >= min || (length > 0 && at + length == image.len());
    enough.then_some(Copied { from, to: at, length })
}

/// How many bytes are the same at the beginning of both.
fn same(one: &[u8], other: &[u8]) -> usize {
    let (ones, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let whole = 8 * ones.iter().zip(others).take_while(|(one, other)| one == other).count();
    whole + one[whole..].iter().zip(&other[whole..]).take_while(|(one, other)| one == other).count()
}

fn slot(word: [u8; 4]) -> usize {
    // Fibonacci hashing: the golden ratio of 2^32 spreads neighbouring words.
    (u32::from_le_bytes(word).wrapping_mul(0x9e37_79b1) >> 20) as usize % SLOTS
}

fn step(copied: Copied, stated: &[u8], out: &mut Vec<u8>) {
    let shift = copied.from.cast_signed() - copied.to.cast_signed();
    let moved = copied.length > 0 && shift != 0;
    put_number(copied.length * 2 + usize::from(moved), out);
    if moved {
        put_number(((shift << 1) ^ (shift >> (isize::BITS - 1))).cast_unsigned(), out);
    }
    put_number(stated.len(), out);
    out.extend_from_slice(stated);
}

/// Appends a number.
pub(super) fn put_number(mut number: usize, out: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            out.push(low & 0x7f);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Takes a number off the beginning of `bytes`.
pub(super) fn take_number(bytes: &mut &[u8]) -> Result<usize> {
    let mut number = 0;
    for at in 0..NUMBER_BYTES_MAX {
        let Some((&byte, rest)) = bytes.split_first() else {
            return Err(wrong("it ends within a number"));
        };
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(wrong("a number is too long"))
}

/// Makes `image` of `base`, which has the same length.
pub(super) fn apply(base: &[u8], mut steps: &[u8], image: &mut [u8]) -> Result<()> {
    let mut at = 0_usize;
    while !steps.is_empty() {
        let head = take_number(&mut steps)?;
        let mut from = at;
        if head & 1 == 1 {
            let shift = take_number(&mut steps)?;
            let shift = (shift >> 1).cast_signed() ^ -((shift & 1).cast_signed());
            from = at.checked_add_signed(shift).ok_or_else(|| wrong("it copies from nowhere"))?;
        }
        let copied = base.get(from..from + head / 2).ok_or_else(|| wrong("it copies too much"))?;
        let stated = take_number(&mut steps)?;
        let stated = steps.split_at_checked(stated).ok_or_else(|| wrong("it is cut off"))?;
        steps = stated.1;
        for part in [copied, stated.0] {
            let room = image.get_mut(at..at + part.len()).ok_or_else(|| wrong("it is too long"))?;
            room.copy_from_slice(part);
            at += part.len();
        }
    }
    image[at..].copy_from_slice(&base[at..]);
    Ok(())
}

fn wrong(why: &str) -> Error {
    Error::damaged("the difference to an image", why)
}
