//! Objects that hold a document instead of entries: horizons and marks. They have the same header, blocks and footer as
//! all others, so that every byte is under the same checks; their index has block rows only.

use ebbtide_seal::Keys;

use super::body::{Body, End};
use super::footer::root;
use super::header::Header;
use super::layout::{block_row, counts};
use super::limits::{BLOCK_RAW_MAX, DOCUMENT_SIZE_MAX};
use super::opened::ToOpen;
use super::packer::Packer;
use super::rows::parse_block;
use super::rows_reader::{LZ4_EXPANSION_MAX, TAG_SIZE};
use super::{Block, BlockKind, Codec, Footer, Opener, Sealer, Sealing};
use crate::{Chain, Digest, Error, Key, Result, Txid};

/// A document and what the object says beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentObject {
    /// The header.
    pub header: Header,
    /// The newest entry that the document is about…
    pub last: Txid,
    /// …the history up to it…
    pub chain: Chain,
    /// …and the database after it.
    pub digest: Digest,
    /// JSON.
    pub json: Vec<u8>,
}

fn damaged(why: impl Into<String>) -> Error {
    Error::damaged("the document", why)
}

impl DocumentObject {
    /// The longest object that a reader takes.
    pub const OBJECT_SIZE_MAX: u64 = 2 * DOCUMENT_SIZE_MAX as u64;

    /// The name of the object.
    #[must_use]
    pub fn key(&self) -> Key {
        self.header.key(self.last)
    }

    /// As a plain object.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.encode_with(None)
    }

    /// As an encrypted object.
    pub fn seal(&self, sealing: &Sealing) -> Result<Vec<u8>> {
        let sealer = sealing.without_pages().object(&self.header, self.last);
        let sealer =
            sealer.map_err(|error| Error::unwritable("the document", error.to_string()))?;
        self.encode_with(Some(sealer))
    }

    /// As an object that is encrypted if there is a sealer, which was made for it.
    pub fn encode_with(&self, sealer: Option<Sealer>) -> Result<Vec<u8>> {
        let unwritable = |why: String| Err(Error::unwritable("the document", why));
        let kind = self.header.kind();
        if !kind.is_document() {
            return unwritable(format!("an object of kind {} holds none", kind.code()));
        }
        if self.json.is_empty() || self.json.len() > DOCUMENT_SIZE_MAX {
            return unwritable(format!("it has {} bytes", self.json.len()));
        }
        let (mut body, mut packer) = (Body::new(self.header, sealer), Packer::default());
        for raw in self.json.chunks(BLOCK_RAW_MAX) {
            let (codec, stored) = packer.pack(raw);
            body.add_block(BlockKind::Document, codec, stored, raw.len())?;
        }
        let (chain, last, digest) = (self.chain, self.last, self.digest);
        Ok(body.finish(End { chain, last, digest })?.0)
    }

    /// From a whole plain object, and its root, which names exactly these bytes.
    pub fn parse(object: &[u8]) -> Result<(DocumentObject, [u8; 32])> {
        DocumentObject::open(object, &Keys::NONE)
    }

    /// The same of an object that may be encrypted, with an index key that is among `keys`.
    pub fn open(object: &[u8], keys: &Keys) -> Result<(DocumentObject, [u8; 32])> {
        let (header, envelope) = Header::parse_any(object)?;
        let footer = Footer::parse(object)?;
        if footer.kind != header.kind() {
            return Err(damaged("the header and the footer are of two kinds"));
        }
        if !header.kind().is_document() {
            return Err(damaged(format!("an object of kind {} holds none", header.kind().code())));
        }
        let end = object.len().checked_sub(Footer::SIZE).ok_or_else(|| damaged("it is short"))?;
        let start = usize::try_from(footer.index_offset)
            .ok()
            .filter(|&start| start >= Header::SIZE && start <= end)
            .filter(|&start| (end - start) as u64 == footer.index_length)
            .ok_or_else(|| damaged("its index is not before the footer"))?;
        let index = &object[start..end];
        let (header, root, footer, json) = match envelope {
            None => {
                let head = object.first_chunk().ok_or_else(|| damaged("it is short"))?;
                if root(head, index) != footer.root {
                    let why = "its header and index are not those that the footer vouches for";
                    return Err(damaged(why));
                }
                let blocks = blocks(index, footer.entries, 0)?;
                (header, footer.root, footer, join(object, start, &blocks, &Opener::PLAIN)?)
            }
            Some(envelope) => {
                let root = footer.root;
                let to_open = ToOpen::new(header, envelope, footer, keys)?;
                let opened = to_open.open(index.to_vec(), keys)?;
                let blocks = blocks(opened.index(), opened.footer.entries, TAG_SIZE)?;
                let json = join(object, start, &blocks, &opened.opener)?;
                (opened.header, root, opened.footer, json)
            }
        };
        let Footer { last, chain, digest, .. } = footer;
        Ok((DocumentObject { header, last, chain, digest, json }, root))
    }
}

/// The blocks of an index that has nothing else. Each is longer by `tag` than what was encrypted.
fn blocks(index: &[u8], entries: u32, tag: u32) -> Result<Vec<Block>> {
    let (counts, rows) =
        index.split_at_checked(counts::SIZE).ok_or_else(|| damaged("its index is short"))?;
    let others = [counts::ENTRIES, counts::RUNS, counts::DETAILS];
    if entries != 0 || others.iter().any(|count| count.u32(counts) != 0) {
        return Err(damaged("it has entries"));
    }
    let (rows, rest) = rows.as_chunks::<{ block_row::SIZE }>();
    if !rest.is_empty() || rows.len() as u64 != u64::from(counts::BLOCKS.u32(counts)) {
        return Err(damaged("it has other blocks than it states"));
    }
    let mut blocks = Vec::with_capacity(rows.len());
    let (mut offset, mut raw) = (Header::SIZE as u64, 0);
    for row in rows {
        let block = parse_block(row, offset)?;
        let packed = block.stored_len.saturating_sub(tag);
        let fits = match block.codec {
            Codec::Stored => packed == block.raw_len,
            Codec::Lz4 => {
                packed < block.raw_len
                    && u64::from(block.raw_len) <= u64::from(packed) * LZ4_EXPANSION_MAX
            }
            Codec::Records => false,
        };
        raw += block.raw_len as usize;
        let is_whole = packed > 0 && block.raw_len as usize <= BLOCK_RAW_MAX;
        if block.kind != BlockKind::Document || !fits || !is_whole || raw > DOCUMENT_SIZE_MAX {
            return Err(damaged(format!("the block at {offset} is none of a document")));
        }
        offset = block.end();
        blocks.push(block);
    }
    Ok(blocks)
}

/// The raw bytes of all blocks, which must end at `end`.
fn join(object: &[u8], end: usize, blocks: &[Block], opener: &Opener) -> Result<Vec<u8>> {
    let mut json = Vec::new();
    let mut begin = Header::SIZE;
    for block in blocks {
        let next = begin + block.stored_len as usize;
        let stored = object.get(begin..next).filter(|_| next <= end);
        let stored =
            stored.ok_or_else(|| damaged("its blocks do not end where its index begins"))?;
        json.extend_from_slice(&block.decode(opener, stored)?);
        begin = next;
    }
    if begin != end || json.is_empty() {
        return Err(damaged("its blocks do not end where its index begins"));
    }
    Ok(json)
}
