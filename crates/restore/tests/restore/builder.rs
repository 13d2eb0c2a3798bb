//! Replicas that are written by hand, and restores from them.

use std::path::Path;
use std::sync::Arc;

use ebbtide_catalog::{Progress, Target};
use ebbtide_replica::KeyPrefix;
use ebbtide_restore::{LocalState, Options, Report, Result, restore};
use ebbtide_store::{MemoryStore, Store};
pub(crate) use ebbtide_testkit::builder::{
    Builder, Carry, Form, SECOND, START, State, micros, txid,
};

/// A store of its own with the same history, and neither horizons nor marks.
pub(crate) async fn copy(store: &MemoryStore) -> MemoryStore {
    let to = Builder::copy(store);
    for prefix in [KeyPrefix::Horizon, KeyPrefix::Mark] {
        for object in to.list(prefix, None).await.unwrap() {
            to.delete(&object.key).await.unwrap();
        }
    }
    to
}

pub(crate) fn options(target: Target, output: &Path) -> Options {
    Options {
        target,
        output: output.to_path_buf(),
        force: false,
        state: None,
        expect: None,
        check: None,
        bytes_per_second: None,
        now: micros(START + 1_000_000 * SECOND),
    }
}

pub(crate) fn with_state(options: Options) -> Options {
    let directory = ebbtide_state::state_directory(&options.output);
    Options { state: Some(LocalState { directory, location: "memory".to_owned() }), ..options }
}

pub(crate) async fn restore_with(store: &MemoryStore, options: &Options) -> Result<Report> {
    restore(Arc::new(store.clone()), options, &Arc::new(Progress::default())).await
}

/// Restores into a directory of its own. The bytes, if it succeeded; and then nothing else may be in the directory.
pub(crate) async fn restored(store: &MemoryStore, target: Target) -> Result<(Vec<u8>, Report)> {
    let directory = tempfile::tempdir().unwrap();
    let output = directory.path().join("out.db");
    let result = restore_with(store, &options(target, &output)).await;
    let left: Vec<_> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().file_name())
        .collect();
    match result {
        Ok(report) => {
            assert_eq!(left, ["out.db"]);
            Ok((std::fs::read(&output).unwrap(), report))
        }
        Err(error) => {
            assert!(left.is_empty(), "{left:?} after {error}");
            Err(error)
        }
    }
}
