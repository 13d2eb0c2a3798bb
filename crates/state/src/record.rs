//! The format of a slot.
//!
//! ```text
//!   0  [8]  magic              the first 32 bytes are the same in every version
//!   8  u32  version
//!  12  u32  length of the whole record, its last checksum included
//!  16  u64  sequence number
//!  24  u32  zero
//!  28  u32  CRC32 of bytes 0 to 28
//!  32 [16]  replica            version 1 from here on
//!  48  u32  page size
//!  52  u8   which table holds the page hashes, 0 or 1
//!  53  u8   flags: 1 the place in the log is known, 2 the file is known, 4 the database was restored
//!  54  u16  length of the location
//!  56  u64  txid
//!  64 [32]  chain
//!  96 [16]  digest
//! 112  u32  database size in pages
//! 116  u32  length of the redo list in rows
//! 120  i64  time
//! 128  [8]  salts of the log
//! 136  u64  frame
//! 144 2u32  checksum of the frame
//! 152  u64  device
//! 160  u64  inode
//! 168  u64  head of the replica when the database was restored
//! 176       location ‖ redo list: u32 page, [16] hash ‖ u32 CRC32 of everything before it but bytes 28 to 32
//! ```
//!
//! The last checksum covers the first bytes, too. Otherwise a torn write that replaced only the first bytes would look
//! like a valid new record with the rest of the old one. The last checksum excludes the first one, because the CRC of
//! data that is followed by its own CRC is a constant.

use ebbtide_wal::{self as wal, PageNumber, PageSize, lock_page};

use super::{FileIdentity, Origin, Position, StateError};
use ebbtide_replica::{Chain, Digest, EntryState, PageHash, Point, ReplicaId, Timestamp, Txid};

const MAGIC: &[u8; 8] = b"ebbtide\x10";
const VERSION: u32 = 1;
const HEAD: usize = 32;
const FIXED: usize = 176;
const REDO_ROW: usize = 20;
const CHECKSUM: usize = 4;

const WAL_KNOWN: u8 = 1;
const FILE_KNOWN: u8 = 2;
const RESTORED: u8 = 4;

/// The contents of a valid slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// The newer of two valid slots has the higher one, modulo 2^64.
    pub(super) sequence: u64,
    /// The table that belongs to it, 0 or 1.
    pub(super) table: u8,
    /// The position.
    pub(super) position: Position,
    /// Rows that may be missing in the table: ascending, within the database, without the lock-byte page.
    pub(super) redo: Vec<(PageNumber, PageHash)>,
}

/// A decoded slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// An incomplete or damaged record.
    Invalid,
    /// Written by a later version.
    Newer(u32),
    /// A record of this version.
    Valid(Box<Record>),
}

/// Encodes a record into `bytes`.
pub(super) fn encode(
    bytes: &mut Vec<u8>,
    sequence: u64,
    table: u8,
    position: &Position,
    redo: &[(PageNumber, PageHash)],
) -> Result<(), StateError> {
    let location_bytes = u16::try_from(position.location.len()).unwrap_or(u16::MAX);
    if usize::from(location_bytes) > Position::LOCATION_BYTES_MAX {
        return Err(StateError::Invalid("the location of the replica is too long"));
    }
    let length = FIXED + usize::from(location_bytes) + redo.len() * REDO_ROW + CHECKSUM;
    let (Ok(length), Ok(redo_rows)) = (u32::try_from(length), u32::try_from(redo.len())) else {
        return Err(StateError::Invalid("too many pages change at once: fill the table again"));
    };
    bytes.clear();
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    let checksum = crc32fast::hash(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());

    bytes.extend_from_slice(position.replica.as_bytes());
    bytes.extend_from_slice(&position.page_size.get().to_le_bytes());
    bytes.push(table);
    bytes.push(flags(position));
    bytes.extend_from_slice(&location_bytes.to_le_bytes());
    bytes.extend_from_slice(&position.state.txid().get().to_le_bytes());
    bytes.extend_from_slice(position.state.chain.as_bytes());
    bytes.extend_from_slice(position.state.digest.as_bytes());
    bytes.extend_from_slice(&position.state.database_pages.to_le_bytes());
    bytes.extend_from_slice(&redo_rows.to_le_bytes());
    bytes.extend_from_slice(&position.state.time().as_micros().to_le_bytes());
    let wal = position.wal.unwrap_or(wal::Position {
        salts: wal::Salts([0; 8]),
        frame: 0,
        checksum: wal::Checksum { s0: 0, s1: 0 },
    });
    bytes.extend_from_slice(&wal.salts.0);
    bytes.extend_from_slice(&u64::from(wal.frame).to_le_bytes());
    bytes.extend_from_slice(&wal.checksum.s0.to_le_bytes());
    bytes.extend_from_slice(&wal.checksum.s1.to_le_bytes());
    let database = position.database.unwrap_or(FileIdentity { device: 0, inode: 0 });
    bytes.extend_from_slice(&database.device.to_le_bytes());
    bytes.extend_from_slice(&database.inode.to_le_bytes());
    let head = match position.origin {
        Origin::Followed => 0,
        Origin::Restored { head } => head.get(),
    };
    bytes.extend_from_slice(&head.to_le_bytes());
    debug_assert_eq!(bytes.len(), FIXED);
    bytes.extend_from_slice(position.location.as_bytes());
    for (page, hash) in redo {
        bytes.extend_from_slice(&page.get().to_le_bytes());
        bytes.extend_from_slice(hash.as_bytes());
    }
    let checksum = whole_checksum(bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    Ok(())
}

fn flags(position: &Position) -> u8 {
    let mut flags = 0;
    if position.wal.is_some() {
        flags |= WAL_KNOWN;
    }
    if position.database.is_some() {
        flags |= FILE_KNOWN;
    }
    if matches!(position.origin, Origin::Restored { .. }) {
        flags |= RESTORED;
    }
    flags
}

/// Decodes a slot. Bytes after the record are ignored.
pub(super) fn decode(bytes: &[u8]) -> Slot {
    match head(bytes) {
        None => Slot::Invalid,
        Some((version, _, _)) if version != VERSION => Slot::Newer(version),
        Some((_, length, sequence)) => bytes
            .get(..length)
            .and_then(|record| decode_record(sequence, record))
            .map_or(Slot::Invalid, |record| Slot::Valid(Box::new(record))),
    }
}

/// Version, length and sequence number, if the checksum over the part that all versions share is right.
fn head(bytes: &[u8]) -> Option<(u32, usize, u64)> {
    let mut fields = Fields(bytes.get(..HEAD)?);
    let checksum = crc32fast::hash(&bytes[..HEAD - CHECKSUM]);
    let magic: [u8; 8] = fields.take()?;
    let (version, length) = (fields.u32()?, fields.u32()?);
    let (sequence, zero) = (fields.u64()?, fields.u32()?);
    let valid = magic == *MAGIC && zero == 0 && fields.u32()? == checksum;
    valid.then_some((version, length as usize, sequence))
}

fn decode_record(sequence: u64, record: &[u8]) -> Option<Record> {
    let (record, checksum) = record.split_last_chunk::<CHECKSUM>()?;
    if record.len() < FIXED || whole_checksum(record) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let mut fields = Fields(record.get(HEAD..)?);
    let replica = ReplicaId::from_bytes(fields.take()?);
    let page_size = PageSize::new(fields.u32()?)?;
    let [table, flags] = fields.take()?;
    let location_bytes = u16::from_le_bytes(fields.take()?);
    let txid = Txid::new(fields.u64()?)?;
    let chain = Chain::from_bytes(fields.take()?);
    let digest = Digest::from_bytes(fields.take()?);
    let (database_pages, redo_rows) = (fields.u32()?, fields.u32()?);
    let time = Timestamp::from_micros(i64::from_le_bytes(fields.take()?))?;
    let salts = wal::Salts(fields.take()?);
    let frame = u32::try_from(fields.u64()?).ok()?;
    let checksum = wal::Checksum { s0: fields.u32()?, s1: fields.u32()? };
    let wal = wal::Position { salts, frame, checksum };
    let database = FileIdentity { device: fields.u64()?, inode: fields.u64()? };
    let head = fields.u64()?;
    let origin = if flags & RESTORED == 0 {
        Origin::Followed
    } else {
        Origin::Restored { head: Txid::new(head)? }
    };
    let (location, redo) = fields.0.split_at_checked(usize::from(location_bytes))?;
    let redo = decode_redo(redo, redo_rows, database_pages, page_size)?;
    let position = Position {
        replica,
        location: String::from_utf8(location.to_vec()).ok()?,
        page_size,
        state: EntryState { point: Point { txid, time }, chain, digest, database_pages },
        wal: (flags & WAL_KNOWN != 0).then_some(wal),
        database: (flags & FILE_KNOWN != 0).then_some(database),
        origin,
    };
    (table <= 1).then_some(Record { sequence, table, position, redo })
}

/// The last checksum of a record. `record` is the record without it.
fn whole_checksum(record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&record[..HEAD - CHECKSUM]);
    hasher.update(&record[HEAD..]);
    hasher.finalize()
}

fn decode_redo(
    bytes: &[u8],
    rows: u32,
    database_pages: u32,
    page_size: PageSize,
) -> Option<Vec<(PageNumber, PageHash)>> {
    let (list, rest) = bytes.as_chunks::<REDO_ROW>();
    if list.len() != rows as usize || !rest.is_empty() {
        return None;
    }
    let mut redo = Vec::with_capacity(list.len());
    let mut before = 0;
    for row in list {
        let mut fields = Fields(row);
        let page = PageNumber::new(fields.u32()?)?;
        if page.get() <= before || page.get() > database_pages || page == lock_page(page_size) {
            return None;
        }
        before = page.get();
        redo.push((page, PageHash::from_bytes(fields.take()?)));
    }
    Some(redo)
}

/// Takes integers and arrays off the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}
