//! Compresses blocks, with memory that is kept from one to the next.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::Codec;

/// A block that compression makes smaller by less than one part in this many is stored as it is: it costs a little
/// space once and saves the decoding each time.
const WORTHWHILE: usize = 32;

/// Compresses block after block. Has no memory before the first.
#[derive(Default)]
pub(super) struct Packer {
    table: CompressTable,
    packed: Vec<u8>,
}

impl Packer {
    /// The bytes to store for the raw bytes of a block.
    pub(super) fn pack<'a>(&'a mut self, raw: &'a [u8]) -> (Codec, &'a [u8]) {
        let room = get_maximum_output_size(raw.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        match compress_into_with_table(raw, &mut self.packed, &mut self.table) {
            Ok(length) if length < raw.len() - raw.len() / WORTHWHILE => {
                (Codec::Lz4, &self.packed[..length])
            }
            // It cannot fail with as much room as it asks for, and if it did, nothing would be lost.
            Ok(_) | Err(_) => (Codec::Stored, raw),
        }
    }
}
