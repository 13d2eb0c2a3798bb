//! What rows are written into before it goes out: a whole row may fail without a half of it being written.

use std::io::{self, Write};

/// So much is written at once.
const BYTES: usize = 1 << 18;

/// An empty buffer.
pub(crate) fn buffer() -> Vec<u8> {
    Vec::with_capacity(BYTES)
}

/// Writes what is in the buffer, if it is full.
pub(crate) fn spill(buffer: &mut Vec<u8>, out: &mut dyn Write) -> io::Result<()> {
    if buffer.len() >= BYTES {
        out.write_all(buffer)?;
        buffer.clear();
        // A row may have been large.
        buffer.shrink_to(2 * BYTES);
    }
    Ok(())
}
