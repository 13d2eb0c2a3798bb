//! What will probably be read next, from what was.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::heads::Heads;
use crate::page::Page;
use crate::tree::Trees;

/// How many blocks are read ahead at most: what a store that is 20 ms away and gives some hundred megabytes a second has on
/// its way.
const BLOCKS_MAX: usize = 384;

/// What blocks have at most in what `replicate` writes.
const BLOCK_BYTES: usize = 128 * 1024;

/// What was read of one moment.
#[derive(Debug)]
pub(crate) struct Readahead {
    /// What is read ahead must still be there when its turn comes.
    blocks_max: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    heads: Heads,
    trees: Trees,
    /// The page that was read last.
    last: u32,
}

/// Blocks to read ahead, by the numbers of their objects: each once and ascending.
pub(crate) type Guess = BTreeMap<u32, Vec<usize>>;

impl Readahead {
    /// For a cache of so many bytes.
    pub(crate) fn new(cache_bytes: usize) -> Readahead {
        let blocks_max = (cache_bytes / 5 * 2 / BLOCK_BYTES).min(BLOCKS_MAX);
        Readahead { blocks_max, seen: Mutex::default() }
    }

    /// A page was read out of this block: which blocks to read ahead. `place` gives the object and the block of a page, and
    /// `at_hand` the page if it is here.
    pub(crate) fn note(
        &self,
        (page, image): (u32, &[u8]),
        (object, block): (u32, usize),
        place: impl Fn(u32) -> Option<(u32, usize)>,
        at_hand: impl Fn(u32) -> Option<Page>,
    ) -> Guess {
        let mut guess = Guess::new();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut seen.last, page) == page {
            return guess;
        }
        let run = seen.heads.note(object, block, self.blocks_max);
        let children = seen.trees.note(page, image, at_hand);
        let mut count = run.len();
        if !run.is_empty() {
            guess.entry(object).or_default().extend(run);
        }
        for (at, &child) in children.iter().enumerate() {
            let Some((object, block)) = place(child) else { continue };
            let blocks = guess.entry(object).or_default();
            if blocks.contains(&block) {
                continue;
            }
            if count >= self.blocks_max {
                seen.trees.give_back(page, children.len() - at);
                break;
            }
            blocks.push(block);
            count += 1;
        }
        drop(seen);
        guess.values_mut().for_each(|blocks| blocks.sort_unstable());
        guess
    }
}
