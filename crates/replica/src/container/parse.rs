//! From the bytes of an object to an [`Index`]: nothing is believed before it was checked, and nothing is allocated
//! that is larger than what was read.

use super::layout::counts;
use super::limits::INDEX_SIZE_MAX;
use super::rows_reader::RowsReader;
use super::{Footer, Header, Index, Parsed};
use crate::{Error, Result};

impl Index {
    /// The index of an object of `object_size` bytes. `head` are its first bytes, at least [`Header::SIZE`] of them;
    /// `tail` are its last bytes, as many as are at hand: the answer says if they are too few.
    pub fn parse(object_size: u64, head: &[u8], tail: &[u8]) -> Result<Parsed> {
        let given = tail.len() as u64;
        if given > object_size {
            let why = format!("{given} bytes of an object of {object_size}");
            return Err(Error::damaged("the index", why));
        }
        let header = Header::parse(head)?;
        if given < Footer::SIZE as u64 {
            return Ok(Parsed::NeedTail(Footer::SIZE as u64));
        }
        let footer = Footer::parse(tail)?;
        let needed = tail_needed(object_size, &footer)?;
        if given < needed {
            return Ok(Parsed::NeedTail(needed));
        }
        let end = tail.len() - Footer::SIZE;
        let length = usize::try_from(footer.index_length).expect("the tail is longer");
        let mut reader = IndexReader { rows: RowsReader::new(header, footer) };
        reader.push(&tail[end - length..end])?;
        reader.finish().map(Parsed::Ready)
    }
}

/// Reads an index in pieces, in their order. A piece that is not what an index has is refused before the next one is
/// asked for, so that whoever claims a long index has to send it.
pub struct IndexReader {
    rows: RowsReader,
}

impl IndexReader {
    /// For an object of `object_size` bytes with these first and last bytes, of which at least the header and the footer
    /// are at hand.
    pub fn new(object_size: u64, head: &[u8], tail: &[u8]) -> Result<IndexReader> {
        let (header, footer) = (Header::parse(head)?, Footer::parse(tail)?);
        tail_needed(object_size, &footer)?;
        Ok(IndexReader { rows: RowsReader::new(header, footer) })
    }

    /// Where in the object the index begins and ends.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        let footer = self.rows.footer();
        footer.index_offset..footer.index_offset + footer.index_length
    }

    /// Takes the next bytes of the index.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.rows.push(bytes)
    }

    /// The index, once all of its bytes were taken.
    pub fn finish(self) -> Result<Index> {
        self.rows.finish()
    }
}

/// How many bytes from the end of the object the index and the footer take.
fn tail_needed(object_size: u64, footer: &Footer) -> Result<u64> {
    let length = footer.index_length;
    if length > INDEX_SIZE_MAX || length < counts::SIZE as u64 {
        return Err(Error::damaged("the footer", format!("its index has {length} bytes")));
    }
    let needed = length + Footer::SIZE as u64;
    let fits = footer.index_offset >= Header::SIZE as u64
        && footer.index_offset.checked_add(needed) == Some(object_size);
    if !fits {
        let offset = footer.index_offset;
        return Err(Error::damaged(
            "the footer",
            format!("an index of {length} bytes at {offset} is not at the end of {object_size}"),
        ));
    }
    Ok(needed)
}
