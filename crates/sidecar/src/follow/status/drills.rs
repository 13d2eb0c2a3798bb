//! The last drills of a database, which lie in its local state.

use std::path::PathBuf;

use ebbtide_restore::DrillRecord;

use super::Status;

impl Status {
    /// Where the local state is.
    pub(crate) fn keep_state_in(&self, directory: PathBuf) {
        self.known().state = Some(directory);
    }

    /// What the last drills of the database came to, whoever made them.
    pub(crate) fn drills(&self) -> DrillRecord {
        let directory = self.known().state.clone();
        directory.and_then(|directory| DrillRecord::read(&directory)).unwrap_or_default()
    }
}
