//! A pool of buffers for the parts of one upload. A buffer is reused once the store has sent its bytes: with newly
//! mapped memory for each part, the kernel spends as much CPU time on zeroing it as hashing the pages takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// The unused buffers, each with the same capacity. Clones share the pool.
#[derive(Debug, Clone)]
pub(crate) struct Buffers {
    buffer_bytes: usize,
    unused: Arc<Mutex<Vec<Vec<u8>>>>,
}

/// A buffer in use, which returns to the pool when it is dropped.
struct Lent {
    bytes: Vec<u8>,
    to: Buffers,
}

impl Buffers {
    /// A pool of buffers with a capacity of `buffer_bytes`.
    pub(crate) fn new(buffer_bytes: usize) -> Buffers {
        Buffers { buffer_bytes, unused: Arc::default() }
    }

    /// An empty buffer.
    pub(crate) fn take(&self) -> Vec<u8> {
        self.unused().pop().unwrap_or_else(|| Vec::with_capacity(self.buffer_bytes))
    }

    fn unused(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.unused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Converts a buffer to [`Bytes`]. The buffer returns to the pool when the last clone of them is dropped.
    pub(crate) fn lend(&self, mut bytes: Vec<u8>) -> Bytes {
        bytes.shrink_to(self.buffer_bytes);
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
        self.to.unused().push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_when_its_last_reader_is_done() {
        let buffers = Buffers::new(64);
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
