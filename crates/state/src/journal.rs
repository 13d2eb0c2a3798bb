//! Records beside the position, for whoever keeps something that is worth having after a restart and can do without it.
//!
//! There are two files, of which the one with the higher generation counts. It begins with a record that says everything;
//! those after it are appended, without fsync, and say what was added since. A record has its length and a CRC32, and what
//! comes after the first one that is incomplete counts for nothing: a power failure may take the end of the file away.
//! [`Journal::begin`] writes the other file again, so a kill in between leaves the present one as it is.
//!
//! ```text
//!   0 [8]  magic
//!   8 u64  generation
//!  16 u32  CRC32 of bytes 0 to 16
//!  20      records: u32 length ‖ u32 CRC32 of length and bytes ‖ bytes
//! ```

use std::io::Read as _;

use ebbtide_fault::point;

use super::error::{StateError, io_error};
use super::handle::Handle;
use super::locked::{LockedDirectory, journal_name};
use super::write::{set_length, write_at};

const MAGIC: [u8; 8] = *b"ebbtide\x11";
const HEAD: usize = 20;
const RECORD_HEAD: usize = 8;

/// A longer file is not read: it would not be one of ours.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The two files.
#[derive(Debug)]
pub(super) struct Journal {
    files: [Handle; 2],
    /// The generation of the file that counts, which is file `generation % 2`; 0 if there is none.
    generation: u64,
    /// Where the next record goes in it.
    end: u64,
}

impl Journal {
    /// Opens the files and reads the records of the one that counts.
    pub(super) fn open(directory: &LockedDirectory) -> Result<(Journal, Vec<Vec<u8>>), StateError> {
        let mut files = [directory.handle(journal_name(0))?, directory.handle(journal_name(1))?];
        let mut newest = Contents::default();
        for (number, file) in (0..).zip(&mut files) {
            let found = read(file)?;
            // Opened again when there is something to write.
            file.close();
            let is_placed = found.generation % 2 == number && !found.records.is_empty();
            if is_placed && found.generation > newest.generation {
                newest = found;
            }
        }
        let Contents { generation, records, end } = newest;
        Ok((Journal { files, generation, end }, records))
    }

    /// How many bytes the file has that counts.
    pub(super) fn len(&self) -> u64 {
        self.end
    }

    /// Begins again with this record.
    pub(super) fn begin(&mut self, record: &[u8]) -> Result<(), StateError> {
        let generation = self.generation.wrapping_add(1);
        let mut bytes = Vec::with_capacity(HEAD + RECORD_HEAD + record.len());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        push(&mut bytes, record);
        let file = &self.files[usize::from(generation % 2 == 1)];
        let error = |doing| io_error(doing, file.path());
        set_length(file.file()?, 0).map_err(error("shorten"))?;
        point("state.journal.begin");
        write_at(file.file()?, &bytes, 0).map_err(error("write"))?;
        point("state.journal.begun");
        let other = usize::from(generation.is_multiple_of(2));
        self.files[other].close();
        (self.generation, self.end) = (generation, bytes.len() as u64);
        Ok(())
    }

    /// Adds a record. There must be one that it continues.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), StateError> {
        let mut bytes = Vec::with_capacity(RECORD_HEAD + record.len());
        push(&mut bytes, record);
        let file = &self.files[usize::from(self.generation % 2 == 1)];
        write_at(file.file()?, &bytes, self.end).map_err(io_error("write", file.path()))?;
        point("state.journal.appended");
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Closes the file descriptors until the next access.
    pub(super) fn close_files(&mut self) {
        self.files.iter_mut().for_each(Handle::close);
    }
}

/// What is in a file.
#[derive(Debug, Default)]
struct Contents {
    generation: u64,
    records: Vec<Vec<u8>>,
    end: u64,
}

fn push(bytes: &mut Vec<u8>, record: &[u8]) {
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(length, record).to_le_bytes());
    bytes.extend_from_slice(record);
}

fn read(file: &Handle) -> Result<Contents, StateError> {
    let mut bytes = Vec::new();
    let read = file.file()?.take(BYTES_MAX).read_to_end(&mut bytes);
    read.map_err(io_error("read", file.path()))?;
    Ok(parse(&bytes))
}

fn parse(bytes: &[u8]) -> Contents {
    let head = bytes.first_chunk::<HEAD>().filter(|head| {
        head[..8] == MAGIC && crc32fast::hash(&head[..16]).to_le_bytes() == head[16..]
    });
    let Some(head) = head else { return Contents::default() };
    let mut generation = [0; 8];
    generation.copy_from_slice(&head[8..16]);
    let (mut records, mut end) = (Vec::new(), HEAD);
    while let Some(record) = next(&bytes[end..]) {
        end += RECORD_HEAD + record.len();
        records.push(record.to_vec());
    }
    Contents { generation: u64::from_le_bytes(generation), records, end: end as u64 }
}

fn next(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (stated, rest) = rest.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length);
    let record = rest.get(..usize::try_from(length).ok()?)?;
    (checksum(length, record).to_le_bytes() == *stated).then_some(record)
}

/// Over the length, too: zeros in the place of what was not written are no record.
fn checksum(length: u32, record: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length.to_le_bytes());
    hasher.update(record);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(generation: u64, records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&generation.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        records.iter().for_each(|record| push(&mut bytes, record));
        bytes
    }

    /// Whatever is cut off or flipped, what is read is a row of records from the first one on.
    #[test]
    fn h27_whatever_becomes_of_the_file_its_first_records_are_read_or_none() {
        let records: [&[u8]; 4] = [b"everything", b"one", b"", b"a longer one"];
        let whole = file(7, &records);
        let sound = parse(&whole);
        assert_eq!((sound.generation, sound.records.len()), (7, 4));
        assert_eq!(sound.end, whole.len() as u64);
        let check = |bytes: &[u8]| {
            let found = parse(bytes).records;
            assert!(found.len() <= records.len() && found.iter().zip(records).all(|(a, b)| a == b));
            found.len()
        };
        for length in 0..whole.len() {
            assert!(check(&whole[..length]) < records.len());
            let mut flipped = whole.clone();
            flipped[length] ^= 1 << (length % 8);
            assert!(check(&flipped) < records.len(), "{length}");
        }
        // Torn between two states of the disk: zeros in the place of what was not written.
        let mut torn = whole.clone();
        torn[50..].fill(0);
        check(&torn);
    }
}
