//! Resyncs: entries that bring a replica up to date with the pages that differ.

use ebbtide_catalog::ResyncDetail;
use ebbtide_fault::point;
use ebbtide_replica::{EntryFlags, EntryKind, Timestamp};

use crate::commit::Blocking;
use crate::comparison::Difference;
use crate::entry::NewEntry;
use crate::error::Error;
use crate::pages::Pages;
use crate::shipper::Shipper;

/// A resync entry without its pages.
#[derive(Debug, Clone)]
pub struct Resync {
    /// The time at which the state was read, in µs since the epoch.
    pub time: Timestamp,
    /// The history before it, as far as it is known.
    pub detail: ResyncDetail,
    /// The size of the database, in pages.
    pub database_pages: u32,
    /// Whether the replica had entries that the database lacks.
    pub is_fork: bool,
    /// The log position of the state.
    pub wal: ebbtide_wal::Position,
}

impl Resync {
    /// Appends the entry. `pages` visits the pages of `difference`.
    ///
    /// # Errors
    /// As [`Shipper::append`]; [`Error::Unproven`] when the pages changed since the comparison.
    pub fn append<E: From<Error>>(
        self,
        shipper: &mut Shipper,
        difference: &Difference,
        pages: impl Pages<E>,
    ) -> Result<(), E> {
        let page_bytes = shipper.position().page_size.offset();
        let entry = NewEntry {
            kind: EntryKind::Resync,
            flags: if self.is_fork { EntryFlags::FORK } else { EntryFlags::NONE },
            time: self.time,
            database_pages: self.database_pages,
            detail: self.detail.to_json(),
            expected: difference.count * page_bytes,
            wal: Some(self.wal),
        };
        point("shipper.resync.compared");
        shipper.append_entry(&entry, Blocking::Allowed, pages)?;
        point("shipper.resync.appended");
        let state = shipper.position().state;
        if state.digest != difference.digest {
            let why = "they changed after the comparison";
            return Err(Error::Unproven { txid: state.txid(), why }.into());
        }
        Ok(())
    }
}
