//! Blocks of lists of hashes that were compared with what was proved, so that this is done once for many pages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

/// How many blocks are kept: each is at most a mebibyte, the hashes of 256 MiB of pages of 4 KiB.
const KEPT_MAX: usize = 8;

/// A layer and the number of a block of its list, and the block.
type ProvedBlock = ((usize, usize), Arc<Vec<u8>>);

/// The blocks that were used last.
#[derive(Debug, Default)]
pub(crate) struct ProvedLists {
    kept: Mutex<VecDeque<ProvedBlock>>,
}

impl ProvedLists {
    /// A block, if it is here.
    pub(crate) fn get(&self, layer: usize, number: usize) -> Option<Arc<Vec<u8>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().find(|(key, _)| *key == (layer, number));
        found.map(|(_, raw)| Arc::clone(raw))
    }

    /// Keeps a block that is proved.
    pub(crate) fn put(&self, layer: usize, number: usize, raw: &Arc<Vec<u8>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.truncate(KEPT_MAX - 1);
        kept.push_front(((layer, number), Arc::clone(raw)));
    }
}
