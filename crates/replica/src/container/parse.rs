//! From the bytes of an object to an [`Index`]: nothing is believed before it was checked, and nothing is allocated
//! that is larger than what was read.

use ebbtide_seal::Keys;

use super::layout::counts;
use super::limits::INDEX_SIZE_MAX;
use super::opened::{INDEX_EXTRA, ToOpen};
use super::rows_reader::RowsReader;
use super::{Footer, Header, Index, Parsed};
use crate::{Error, Result};

impl Index {
    /// The index of a plain object of `object_size` bytes. `head` are its first bytes, at least [`Header::SIZE`] of them;
    /// `tail` are its last bytes, as many as are at hand: the answer says if they are too few.
    pub fn parse(object_size: u64, head: &[u8], tail: &[u8]) -> Result<Parsed> {
        Index::open(object_size, head, tail, &Keys::NONE)
    }

    /// The same of an object that may be encrypted, with an index key that is among `keys`. Its images are opened if their
    /// key is, too.
    pub fn open(object_size: u64, head: &[u8], tail: &[u8], keys: &Keys) -> Result<Parsed> {
        let given = tail.len() as u64;
        if given > object_size {
            let why = format!("{given} bytes of an object of {object_size}");
            return Err(Error::damaged("the index", why));
        }
        let (_, envelope) = Header::parse_any(head)?;
        if given < Footer::SIZE as u64 {
            return Ok(Parsed::NeedTail(Footer::SIZE as u64));
        }
        let footer = Footer::parse(tail)?;
        let extra = if envelope.is_some() { INDEX_EXTRA } else { 0 };
        let needed = tail_needed(object_size, &footer, extra)?;
        if given < needed {
            return Ok(Parsed::NeedTail(needed));
        }
        let end = tail.len() - Footer::SIZE;
        let length = usize::try_from(footer.index_length).expect("the tail is longer");
        let mut reader = IndexReader::open(object_size, head, tail, keys)?;
        reader.push(&tail[end - length..end])?;
        reader.finish(keys).map(Parsed::Ready)
    }
}

/// Reads an index in pieces, in their order. A piece that is not what an index has is refused before the next one is
/// asked for, so that whoever claims a long index has to send it. One that is encrypted is kept until all of it is there.
pub struct IndexReader(Reader);

#[expect(clippy::large_enum_variant, reason = "there is one of it at a time")]
enum Reader {
    Plain(RowsReader),
    Sealed(ToOpen, Vec<u8>),
}

impl IndexReader {
    /// For an object of `object_size` bytes with these first and last bytes, of which at least the header and the footer
    /// are at hand, and which may be encrypted with an index key that is among `keys`.
    pub fn open(object_size: u64, head: &[u8], tail: &[u8], keys: &Keys) -> Result<IndexReader> {
        let ((header, envelope), footer) = (Header::parse_any(head)?, Footer::parse(tail)?);
        let extra = if envelope.is_some() { INDEX_EXTRA } else { 0 };
        tail_needed(object_size, &footer, extra)?;
        Ok(IndexReader(match envelope {
            None => Reader::Plain(RowsReader::new(header, footer)),
            Some(envelope) => {
                Reader::Sealed(ToOpen::new(header, envelope, footer, keys)?, Vec::new())
            }
        }))
    }

    /// Where in the object the index begins and ends.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        let footer = match &self.0 {
            Reader::Plain(rows) => rows.footer(),
            Reader::Sealed(to_open, _) => &to_open.footer,
        };
        footer.index_offset..footer.index_offset + footer.index_length
    }

    /// Takes the next bytes of the index.
    pub fn push(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.0 {
            Reader::Plain(rows) => rows.push(bytes),
            Reader::Sealed(to_open, index) => {
                let length = (index.len() + bytes.len()) as u64;
                if length > to_open.footer.index_length {
                    return Err(Error::damaged("the index", "it is long"));
                }
                index.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// The index, once all of its bytes were taken. `keys` are those that it was begun with.
    pub fn finish(self, keys: &Keys) -> Result<Index> {
        let (to_open, bytes) = match self.0 {
            Reader::Plain(rows) => return rows.finish(),
            Reader::Sealed(to_open, bytes) => (to_open, bytes),
        };
        let stored = to_open.footer;
        if bytes.len() as u64 != stored.index_length {
            return Err(Error::damaged("the index", "some of its bytes are missing"));
        }
        let opened = to_open.open(bytes, keys)?;
        let mut rows = RowsReader::opened(opened.header, opened.footer);
        rows.push(opened.index())?;
        let mut index = rows.finish()?;
        (index.footer.root, index.footer.index_length) = (stored.root, stored.index_length);
        index.opener = opened.opener;
        index.blocks_hash = Some(*stored.chain.as_bytes());
        let has_key = index.opener.envelope().is_some_and(|envelope| envelope.pages.is_some());
        if !index.page_blocks.is_empty() && !has_key {
            return Err(Error::damaged("the index", "it has images and no page key"));
        }
        Ok(index)
    }
}

/// How many bytes from the end of the object the index and the footer take. An encrypted index is longer by `extra`.
pub(super) fn tail_needed(object_size: u64, footer: &Footer, extra: u64) -> Result<u64> {
    let length = footer.index_length;
    if length > INDEX_SIZE_MAX + extra || length < counts::SIZE as u64 + extra {
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
