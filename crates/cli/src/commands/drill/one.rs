//! A drill of one replica.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ebbtide_catalog::Progress;
use ebbtide_replica::{EntryState, ReplicaId};
use ebbtide_restore::{Drill as What, DrillRecord, Drilled, Error, arbitrary, drill};
use ebbtide_sidecar::clock;
use ebbtide_store::Store;

use crate::args::{Drill, Integrity};
use crate::integrity;
use crate::progress_bar::watch;

/// Drills one replica; `before` is where the record of the last drill is.
pub(super) async fn one(
    args: &Drill,
    store: Arc<dyn Store>,
    durable: Option<(ReplicaId, EntryState)>,
    before: Option<&Path>,
) -> (Result<Drilled, Error>, DrillRecord) {
    let (now, begun) = (clock::now(), Instant::now());
    let directory = args.directory.clone().unwrap_or_else(std::env::temp_dir);
    let what = What {
        directory: (!args.no_file).then_some(directory),
        check: integrity::check_of(Integrity::Full),
        bytes_per_second: args.bandwidth,
        random: arbitrary(&store.address(), now),
        durable,
        now,
    };
    let progress = Arc::new(Progress::default());
    let drilling = drill(store, &what, &progress);
    let result = watch("drill", args.json, &progress, drilling).await;
    let ended = clock::now();
    let last = || before.and_then(DrillRecord::read).unwrap_or_default();
    let record = match &result {
        Ok(drilled) => DrillRecord::after(drilled, ended, begun.elapsed(), None),
        Err(error) => last().failed(ended, ebbtide_store::error_chain(error)),
    };
    (result, record)
}
