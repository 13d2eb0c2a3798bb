//! The bytes of a block whose images are differences: one record for each image, and LZ4 over all of them.
//!
//! A record is the image itself, or what makes it of the image before it in the same block. So a block decodes by itself,
//! a chain of differences is no longer than its block, and there is nothing that could name a wrong base.

use super::difference::{Differ, apply, take_number};
use super::limits::BLOCK_RAW_MAX;
use crate::{Error, Result};

/// The length of the records, before their LZ4 block.
pub(super) const LENGTH_BYTES: usize = 4;

/// What the length of a record takes at most.
const HEAD_MAX: usize = 3;

/// Makes records of differences, with memory that is kept from one to the next.
#[derive(Default)]
pub(super) struct Recorder {
    differ: Differ,
    steps: Vec<u8>,
}

impl Recorder {
    /// What makes `image` of `base`; nothing if the image had better be stored itself.
    pub(super) fn difference(&mut self, base: &[u8], image: &[u8]) -> Option<&[u8]> {
        self.steps.clear();
        self.differ.encode(base, image, &mut self.steps);
        (self.steps.len() <= image.len() / 4 * 3).then_some(&self.steps[..])
    }
}

/// Decodes the `raw_len` bytes of `count` images into the beginning of `scratch`.
pub(super) fn unpack(
    stored: &[u8],
    raw_len: usize,
    count: u32,
    scratch: &mut Vec<u8>,
) -> Result<()> {
    let (length, packed) =
        stored.split_first_chunk::<LENGTH_BYTES>().ok_or_else(|| wrong("they have no length"))?;
    let length = u32::from_le_bytes(*length) as usize;
    let count = count as usize;
    let page = raw_len.checked_div(count).ok_or_else(|| wrong("there are none"))?;
    if raw_len > BLOCK_RAW_MAX || length > raw_len + count * HEAD_MAX {
        return Err(wrong(&format!("they would have {length} bytes for {raw_len}")));
    }
    scratch.resize(raw_len + length, 0);
    let (images, records) = scratch.split_at_mut(raw_len);
    let unpacked = lz4_flex::block::decompress_into(packed, records);
    let unpacked = unpacked.map_err(|error| wrong(&error.to_string()))?;
    if unpacked != length {
        return Err(wrong(&format!("they have {unpacked} bytes of {length}")));
    }
    rebuild(records, page, images)
}

/// Makes the images of `page` bytes each that these records stand for.
pub(super) fn rebuild(mut records: &[u8], page: usize, images: &mut [u8]) -> Result<()> {
    for at in (0..images.len()).step_by(page) {
        let length = take_number(&mut records)?;
        let record = records.split_at_checked(length).ok_or_else(|| wrong("one is cut off"))?;
        records = record.1;
        let (before, rest) = images.split_at_mut(at);
        let image = &mut rest[..page];
        if length == page {
            image.copy_from_slice(record.0);
        } else if length > page {
            return Err(wrong("one is longer than an image"));
        } else {
            let base = at.checked_sub(page).ok_or_else(|| wrong("the first is a difference"))?;
            apply(&before[base..], record.0, image)?;
        }
    }
    match records {
        [] => Ok(()),
        _ => Err(wrong("there are more than images")),
    }
}

fn wrong(why: &str) -> Error {
    Error::damaged("the records of images", why)
}
