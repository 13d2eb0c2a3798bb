//! One page as it is handed out.

use std::ops::{Deref, Range};
use std::sync::Arc;

/// The image of a page. It keeps the block that it lies in, whatever becomes of the cache.
#[derive(Debug, Clone)]
pub struct Page {
    block: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl Page {
    /// Page `slot`, counted from 0, of a block; nothing if the block is shorter.
    pub(crate) fn of(block: Arc<Vec<u8>>, slot: usize, page_size: usize) -> Option<Page> {
        let start = slot.checked_mul(page_size)?;
        let end = start.checked_add(page_size)?;
        (end <= block.len()).then_some(Page { block, range: start..end })
    }

    /// A page of zeros.
    pub(crate) fn zeros(page_size: usize) -> Page {
        Page { block: Arc::new(vec![0; page_size]), range: 0..page_size }
    }
}

impl Deref for Page {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}
