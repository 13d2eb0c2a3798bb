//! The workload and the oracle, judged by SQLite's own files: everything else is judged by these two.

use std::fs;
use std::path::Path;

use ebbtide_testkit::oracle::{Keep, Oracle};
use ebbtide_testkit::workload::{Options, Step, Workload};
use ebbtide_testkit::{Random, for_each_seed};

/// Runs so many steps on a new database in `directory`, with the options that the seed decides.
fn run(directory: &Path, seed: u64, steps: usize, keep: Keep) -> (Vec<Step>, Oracle) {
    let path = directory.join("app.db");
    let options = Options::random(&mut Random::new(seed));
    let mut workload = Workload::new(&path, seed, options).expect("a new database");
    let mut oracle = Oracle::new(keep);
    oracle.capture(&path).expect("a database that can be read");
    let mut done = Vec::new();
    for _ in 0..steps {
        let step = workload.step(&mut |_| {
            oracle.capture(&path).expect("a database that can be read");
        });
        done.push(step.unwrap_or_else(|error| panic!("{error}: {workload}, after {done:?}")));
    }
    (done, oracle)
}

/// Would catch an oracle that captures what SQLite has in its caches rather than what it would write, and one that
/// takes a commit for another.
#[test]
fn the_newest_image_is_the_file_once_the_last_connection_has_checkpointed_it() {
    for_each_seed(24, |seed| {
        let directory = tempfile::tempdir().unwrap();
        let (steps, oracle) = run(directory.path(), seed, 60, Keep::Bodies);
        assert!(!directory.path().join("app.db-wal").exists(), "the last close deletes the log");
        let file = fs::read(directory.path().join("app.db")).unwrap();
        let newest = oracle.images().len() - 1;
        assert_eq!(oracle.find(&file), Some(newest), "after {steps:?}");
        assert_eq!(oracle.body(newest), Some(file.as_slice()));
        assert_eq!(oracle.find_file(&directory.path().join("app.db")).unwrap(), Some(newest));
        assert_eq!(oracle.find(&file[1..]), None);
    });
}

/// Would catch images that depend on anything but the seed: a test that kills a writer finds out by another run which
/// commit came next.
#[test]
fn a_seed_decides_every_byte_of_every_commit() {
    for_each_seed(8, |seed| {
        let directories = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let runs =
            directories.each_ref().map(|directory| run(directory.path(), seed, 60, Keep::Hashes));
        assert_eq!(runs[0].0, runs[1].0);
        assert_eq!(runs[0].1.images(), runs[1].1.images());
    });
}

/// Would catch a change to the steps that leaves one out for good.
#[test]
fn every_kind_of_step_is_taken() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 1..=30 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("app.db");
        let mut options = Options::random(&mut Random::new(seed));
        options.synchronous = ebbtide_testkit::workload::Synchronous::Off;
        let mut workload = Workload::new(&path, seed, options).unwrap();
        for _ in 0..120 {
            let step = format!("{:?}", workload.step(&mut |_| {}).unwrap());
            let kind = if step.starts_with("Checkpoint") { &step } else { name(&step) };
            seen.insert(kind.to_owned());
        }
    }
    assert_eq!(seen.len(), 25, "{seen:?}");
}

fn name(step: &str) -> &str {
    step.split('(').next().unwrap_or(step)
}
