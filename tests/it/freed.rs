//! Names that were deleted: whoever wakes up and puts under one is told that somebody else owns the replica.

use std::fs;
use std::path::{Path, PathBuf};

use ebbtide_fault::WAITS;
use ebbtide_replica::EntryKind;
use ebbtide_replica::container::{Index, Merge, Parsed};
use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::Signal;

use crate::support::{App, Ended, PATIENCE, Setup};

/// Puts a pack of all segments but the newest, and deletes those of them that are no fences, as a pruner does.
fn prune(replica: &Path) {
    let listed = fs::read_dir(replica.join("log")).unwrap();
    let mut log: Vec<PathBuf> = listed.map(|file| file.unwrap().path()).collect();
    log.sort_unstable();
    log.pop();
    let mut merge: Option<Merge> = None;
    let mut freed = Vec::new();
    for path in log {
        let body = fs::read(&path).unwrap();
        let parsed = Index::parse(body.len() as u64, &body, &body).unwrap();
        let Parsed::Ready(index) = parsed else { panic!("{} is cut off", path.display()) };
        let merge = merge.get_or_insert_with(|| Merge::begin(&index).unwrap());
        merge.add(&index, &body).unwrap();
        if index.entries().iter().all(|entry| entry.kind != EntryKind::Claim) {
            freed.push(path);
        }
    }
    let merge = merge.unwrap();
    let pack = replica.join(merge.key().to_string());
    fs::create_dir_all(pack.parent().unwrap()).unwrap();
    fs::write(pack, merge.finish().unwrap()).unwrap();
    assert!(!freed.is_empty());
    freed.iter().for_each(|path| fs::remove_file(path).unwrap());
}

/// Copies the machine's disk; the copy of the database.
fn copy(setup: &Setup) -> PathBuf {
    let clone = setup.path("clone");
    fs::create_dir(&clone).unwrap();
    for name in ["app.db", "app.db-wal", ".app.db-ebbtide"] {
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(setup.path(name)).arg(&clone);
        Ended::of(&mut copy).exits(0);
    }
    clone.join("app.db")
}

#[test]
fn h01_a_writer_that_sleeps_until_its_name_was_used_and_its_neighbours_deleted_counts_nothing() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    app.insert(2, 700);
    setup.sync();
    let clone = copy(&setup);
    sidecar.process().signal(Signal::SIGSTOP).unwrap();
    let other = App::open(&clone);
    for _ in 0..2 {
        other.insert(2, 700);
        let clone = clone.to_str().unwrap();
        setup.run(&["replicate", "--once", "--adopt", clone, &setup.replica]).exits(0);
    }
    prune(Path::new(&setup.replica));
    app.insert(1, 700);
    sidecar.process().signal(Signal::SIGCONT).unwrap();
    let (code, said) = sidecar.end();
    assert_eq!(code, 5, "{said}");
    setup.history().assert_ends_with(&clone, setup.directory.path());
}

#[test]
fn h02_a_starter_that_sleeps_until_its_name_was_deleted_counts_nothing() {
    let (setup, app) = Setup::with_rows(20);
    let sidecar = setup.follow();
    app.insert(2, 700);
    setup.sync();
    let clone = copy(&setup);
    let mut starter =
        setup.command(&["replicate", "--adopt", clone.to_str().unwrap(), &setup.replica]);
    starter.env("FAILPOINTS", "shipper.attach.read=1:wait");
    let mut starter = Process::start(&mut starter, Output::Stderr).unwrap();
    starter.line_with(WAITS, PATIENCE);
    for _ in 0..3 {
        app.insert(1, 700);
        setup.sync();
    }
    prune(Path::new(&setup.replica));
    starter.tell("").unwrap();
    let code = starter.wait(PATIENCE).unwrap().code();
    let said = starter.reap().unwrap().join("\n");
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("used and deleted before"), "{said}");
    app.insert(1, 700);
    setup.assert_exact_after(sidecar);
}
