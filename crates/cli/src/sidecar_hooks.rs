//! What the command does beside the engine: a bar for a long first snapshot, memory that goes back, and lines that could not
//! be logged.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use ebbtide_config::Database;
use ebbtide_seal::Wrap;
use ebbtide_sidecar::{Hooks, SnapshotProgress};
use indicatif::ProgressBar;

use crate::args::{EncryptTo, Integrity};
use crate::progress_bar::{self, Counted};
use crate::{integrity, log_writer, memory};

/// A first snapshot of fewer bytes is done before a bar could be read.
const BAR_BYTES_MIN: u64 = 64 << 20;

/// Those for whom the keys of a database's replica are wrapped.
pub(crate) fn recipients(database: &Database) -> Result<Option<Arc<dyn Wrap>>, String> {
    let configured = EncryptTo {
        recipients: database.encrypt_to.clone(),
        recipients_files: database.encrypt_to_file.clone().into_iter().collect(),
    };
    configured.wrap().map_err(|error| error.to_string())
}

/// The hooks of `ebbtide replicate`, which sends no more than so many bytes a second.
pub(crate) fn hooks(bytes_per_second: Option<u64>) -> Hooks {
    let bars = Mutex::<HashMap<PathBuf, ProgressBar>>::default();
    let show = move |snapshot: &SnapshotProgress| {
        let mut bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
        if snapshot.is_over {
            if let Some(bar) = bars.remove(&snapshot.database) {
                bar.finish_and_clear();
            }
            return;
        }
        let is_short = snapshot.total < BAR_BYTES_MIN;
        let bar = bars
            .entry(snapshot.database.clone())
            .or_insert_with(|| progress_bar::bar("snapshot", is_short));
        progress_bar::show(bar, Counted::Bytes, snapshot.done, snapshot.total);
    };
    Hooks {
        started: Some(memory::give_back_free),
        snapshot: Some(Arc::new(show)),
        drill_check: integrity::check_of(Integrity::Full),
        unlogged: Some(log_writer::lost),
        recipients: Some(recipients),
        bytes_per_second,
    }
}
