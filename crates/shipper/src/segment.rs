//! The open segment: entries that are being encoded into one object.

use ebbtide_replica::container::{Contents, EntryStart, Header, Writer};
use ebbtide_replica::{
    Chain, Digest, Entry, EntryState, Key, PageHash, ReplicaId, Timestamp, Txid,
};
use ebbtide_wal::{PageNumber, PageSize};

use crate::encryption::Encryption;
use crate::error::Error;
use crate::outgoing::{BeginUpload, Outgoing, STREAM_BYTES, Sealed};

/// A segment with this many encoded bytes is full: it is sealed without asking the rate limiter, and new commits stay
/// in the log until then.
pub(crate) const FULL_BYTES: usize = STREAM_BYTES * 3 / 4;

/// Entries that are being encoded into one object.
pub(crate) struct Segment {
    writer: Writer,
    outgoing: Outgoing,
    /// The last entry that was ended.
    head: Option<EntryState>,
}

impl Segment {
    /// The segment that begins with `first` at `time`, encrypted if `encryption` is there. `chain` is the chain before it.
    pub(crate) fn new(
        (first, time): (Txid, Timestamp),
        chain: Chain,
        (replica, page_size): (ReplicaId, PageSize),
        encryption: Option<&Encryption>,
    ) -> Result<Segment, Error> {
        let header = Header { replica, page_size, contents: Contents::Segment { first, chain } };
        let sealer = encryption.map(|encryption| encryption.segment_sealer(&header, time));
        let writer = Writer::begin(header, sealer.transpose()?);
        Ok(Segment { writer, outgoing: Outgoing::new(Key::Log(first)), head: None })
    }

    pub(crate) fn key(&self) -> Key {
        self.outgoing.key()
    }

    /// The last entry that was ended.
    pub(crate) fn head(&self) -> Option<EntryState> {
        self.head
    }

    pub(crate) fn entries(&self) -> u32 {
        self.writer.entries()
    }

    /// Whether it has room, if it may have `bytes_max` encoded bytes in memory.
    pub(crate) fn has_room(&self, bytes_max: usize) -> bool {
        !self.outgoing.is_streaming() && self.writer.buffered() < bytes_max
    }

    /// Whether it is being streamed.
    pub(crate) fn is_streaming(&self) -> bool {
        self.outgoing.is_streaming()
    }

    pub(crate) fn begin(&mut self, start: EntryStart) -> Result<(), Error> {
        Ok(self.writer.begin_entry(start)?)
    }

    pub(crate) fn vouch(&mut self, content: [u8; 32]) -> Result<(), Error> {
        Ok(self.writer.vouch(content)?)
    }

    /// Adds a page. A segment that becomes larger than [`STREAM_BYTES`] is streamed from then on.
    pub(crate) fn page(
        &mut self,
        page: PageNumber,
        image: &[u8],
        begin_upload: Option<&BeginUpload<'_>>,
    ) -> Result<(), Error> {
        self.writer.page(page, image)?;
        self.outgoing.drain(&mut self.writer, begin_upload);
        Ok(())
    }

    /// Adds a page whose hash is known. Does not start streaming.
    pub(crate) fn hashed_page(
        &mut self,
        page: PageNumber,
        image: &[u8],
        hash: PageHash,
    ) -> Result<(), Error> {
        Ok(self.writer.hashed_page(page, image, hash)?)
    }

    pub(crate) fn hashed(&mut self) -> impl Iterator<Item = (PageNumber, PageHash)> {
        self.writer.hashed()
    }

    pub(crate) fn hash_pages(&mut self) {
        self.writer.hash_pages();
    }

    pub(crate) fn end(&mut self, digest: Digest) -> Result<Entry, Error> {
        let entry = self.writer.end_entry(digest)?;
        self.head = self.writer.chain().map(|chain| EntryState::after(&entry, chain));
        Ok(entry)
    }

    /// Completes the object.
    pub(crate) fn seal(self) -> Result<Sealed, Error> {
        let finished = self.writer.finish()?;
        Ok(self.outgoing.seal(finished.tail))
    }
}
