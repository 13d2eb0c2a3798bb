//! A replica that is being opened: everything that a shipper needs but the local state.

use std::path::PathBuf;
use std::sync::Arc;

use ebbtide_replica::{ClaimedFile, Manifest};
use ebbtide_state::{FileIdentity, State};
use ebbtide_store::StoreError;

use crate::destination::Destination;
use crate::options::Options;
use crate::presence::Presence;
use crate::shipper::Shipper;
use crate::spool::Spool;

/// The parts of a [`Shipper`] but the local state.
#[derive(Debug)]
pub(crate) struct OpenContext {
    pub(crate) to: Destination,
    pub(crate) options: Options,
    /// The directory of the local state.
    pub(crate) directory: PathBuf,
    pub(crate) database: Option<FileIdentity>,
    pub(crate) file: Option<ClaimedFile>,
    pub(crate) manifest: Manifest,
    /// Whether the manifest is in the store.
    pub(crate) is_stored: bool,
}

impl OpenContext {
    pub(crate) fn spool(&self) -> Result<Spool, StoreError> {
        Spool::new(&self.directory, self.options.spool_bytes_max, &self.to)
    }

    pub(crate) fn shipper(self, state: State, spool: Spool) -> Shipper {
        let presence = Arc::new(Presence::new(self.manifest, self.is_stored, self.to));
        Shipper::new(state, self.database, self.file, presence, spool, self.options)
    }
}
