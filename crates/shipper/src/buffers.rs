//! The buffers of the parts of one upload, used again once the store has their bytes: with memory that is mapped anew
//! for each part, the system spends as long on clearing it as we do on hashing the pages.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::part::PART_BYTES;

/// A part, and what the block that completes it has too much.
const BUFFER_BYTES: usize = PART_BYTES + (128 << 10);

/// Buffers that nobody uses at the moment. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

/// Bytes that are on their way.
struct Lent {
    bytes: Vec<u8>,
    to: Buffers,
}

impl Buffers {
    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.spares().pop().unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    fn spares(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bytes in a buffer, which comes back here when the last of their readers is done.
    pub(crate) fn lend(&self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to(BUFFER_BYTES);
        Bytes::from_owner(Lent { bytes, to: self.clone() })
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.bytes);
        buffer.clear();
        self.to.spares().push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_when_its_last_reader_is_done() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        buffer.extend_from_slice(b"abc");
        let address = buffer.as_ptr();
        let part = buffers.lend(buffer);
        let reader = part.slice(1..);
        drop(part);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), address);
        assert_eq!(reader, "bc");
        drop(reader);
        let again = buffers.take();
        assert_eq!(again.as_ptr(), address);
        assert!(again.is_empty());
    }
}
