//! Compresses blocks, with memory that is kept from one to the next.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use super::Codec;
use super::records::LENGTH_BYTES;
use super::rows_reader::LZ4_EXPANSION_MAX;

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

    /// The bytes to store for the records of a block of `raw_len` bytes of images; nothing if another codec is better.
    pub(super) fn pack_records(&mut self, records: &[u8], raw_len: usize) -> Option<&[u8]> {
        let room = LENGTH_BYTES + get_maximum_output_size(records.len());
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let (length, packed) = self.packed.split_first_chunk_mut::<LENGTH_BYTES>()?;
        *length = u32::try_from(records.len()).ok()?.to_le_bytes();
        let packed = compress_into_with_table(records, packed, &mut self.table).ok()?;
        let stored = LENGTH_BYTES + packed;
        let expands = raw_len as u64 > stored as u64 * LZ4_EXPANSION_MAX;
        (stored < raw_len - raw_len / WORTHWHILE && !expands).then_some(&self.packed[..stored])
    }
}
