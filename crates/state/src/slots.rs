//! The two slots for the position, which are written in turn.

use std::io::Read as _;

use ebbtide_fault::point;
use ebbtide_wal::PageNumber;

use super::error::{StateError, io_error};
use super::handle::Handle;
use super::locked::{LockedDirectory, slot_name};
use super::position::Position;
use super::record::{self, Record, Slot};
use super::write::{set_length, write_at};
use ebbtide_replica::PageHash;

/// A slot file that is longer than this is truncated before the next record is written into it.
pub(super) const SLOT_BYTES_RETAINED: usize = 1024 * 1024;

/// The two slots. The next record goes into the slot without the newest record.
#[derive(Debug)]
pub(super) struct Slots {
    files: [Handle; 2],
    lengths: [u64; 2],
    /// The sequence number of the newest record, which is in slot `sequence % 2`; 0 if there is none.
    sequence: u64,
    /// The table that belongs to the newest record.
    table: u8,
    buffer: Vec<u8>,
}

impl Slots {
    pub(super) fn open(directory: &LockedDirectory) -> Result<(Slots, Option<Record>), StateError> {
        let mut newest: Option<Record> = None;
        let mut lengths = [0; 2];
        let mut open = |number: usize| {
            let path = directory.slot(number);
            let file = directory.handle(slot_name(number))?;
            let mut bytes = Vec::new();
            file.file()?.read_to_end(&mut bytes).map_err(io_error("read", &path))?;
            lengths[number] = bytes.len() as u64;
            match record::decode(&bytes) {
                Slot::Invalid => {}
                Slot::Newer(version) => return Err(StateError::Newer { file: path, version }),
                Slot::Valid(record) if slot_of(record.sequence) != number => {}
                Slot::Valid(record) => {
                    if newest.as_ref().is_none_or(|newest| is_newer(&record, newest)) {
                        newest = Some(*record);
                    }
                }
            }
            Ok(file)
        };
        let files = [open(0)?, open(1)?];
        let (sequence, table) =
            newest.as_ref().map_or((0, 0), |record| (record.sequence, record.table));
        Ok((Slots { files, lengths, sequence, table, buffer: Vec::new() }, newest))
    }

    pub(super) fn write(
        &mut self,
        directory: &LockedDirectory,
        position: &Position,
        redo: &[(PageNumber, PageHash)],
    ) -> Result<(), StateError> {
        let sequence = self.sequence.wrapping_add(1);
        let number = slot_of(sequence);
        record::encode(&mut self.buffer, sequence, self.table, position, redo)?;
        let (file, path) = (self.files[number].file()?, directory.slot(number));
        if self.lengths[number] > SLOT_BYTES_RETAINED as u64 {
            set_length(file, 0).map_err(io_error("shorten", &path))?;
            self.lengths[number] = 0;
        }
        point("state.slot.begin");
        write_at(file, &self.buffer, 0).map_err(io_error("write", &path))?;
        self.lengths[number] = self.lengths[number].max(self.buffer.len() as u64);
        self.sequence = sequence;
        self.buffer.shrink_to(SLOT_BYTES_RETAINED);
        Ok(())
    }

    /// The table that belongs to the newest record.
    pub(super) fn table(&self) -> u8 {
        self.table
    }

    /// The next record belongs to this table.
    pub(super) fn switch_table(&mut self, table: u8) {
        self.table = table;
    }

    /// Closes the file descriptors until the next access.
    pub(super) fn close_files(&mut self) {
        self.files.iter_mut().for_each(Handle::close);
    }

    /// Makes both slots durable.
    pub(super) fn sync(&self) -> Result<(), StateError> {
        for file in &self.files {
            file.file()?.sync_data().map_err(io_error("make durable", file.path()))?;
        }
        Ok(())
    }
}

/// The slot of the record with this sequence number.
fn slot_of(sequence: u64) -> usize {
    usize::from(sequence % 2 == 1)
}

/// Sequence numbers wrap around, so that a next number always exists.
pub(super) fn is_newer(record: &Record, than: &Record) -> bool {
    (1..1 << 63).contains(&record.sequence.wrapping_sub(than.sequence))
}
