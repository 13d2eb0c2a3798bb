//! Restarts in loops, process numbers that mean nothing, overlapping deployments, folders that are swept.

use std::fs;
use std::path::Path;

use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::Signal;

use super::{Site, code, said, succeeds};
use crate::support::{PATIENCE, Replica, Sidecar, command, wait_until};

fn bytes_under(path: &Path) -> u64 {
    let metadata = fs::metadata(path).unwrap();
    if metadata.is_file() {
        return metadata.len();
    }
    fs::read_dir(path).unwrap().map(|entry| bytes_under(&entry.unwrap().path())).sum()
}

/// A supervisor starts it again and again, and it is killed each time: no snapshot for each start, no history without an
/// end, nothing missed.
#[test]
fn r27_a_loop_of_kills_and_starts_costs_little_and_misses_nothing() {
    let site = Site::new();
    site.insert(300);
    assert_eq!(site.follow().stop(), 0);
    let before = bytes_under(Path::new(&site.replica));
    for start in 0..12 {
        let sidecar = Sidecar::spawn(&site.database, &site.replica);
        // Some are killed at once and some while they follow.
        if start % 2 == 1 {
            sidecar.wait_until_it_follows();
        }
        site.insert(1);
        sidecar.kill();
    }
    site.assert_exact_after(site.follow());
    assert_eq!(site.commits_and_gaps(), (12, 0));
    let more = bytes_under(Path::new(&site.replica)) - before;
    assert!(more < before / 2, "{more} bytes more than {before}");
}

/// In a container every process is number 1, and so is whoever lives there after a restart.
#[test]
fn r30_a_number_of_a_living_process_in_a_stale_lock_file_keeps_nobody_out() {
    let site = Site::new();
    succeeds(&site.once());
    let lock = site.path(".app.db-ebbtide").join("lock");
    assert!(lock.exists());
    for number in ["1", &std::process::id().to_string()] {
        fs::write(&lock, number).unwrap();
        succeeds(&site.once());
    }
    site.assert_exact();
}

/// A deployment without downtime starts the new container, with its application in it, before it stops the old one. The
/// new sidecar waits for the old one to let go and then follows; before, it gave up and its application wrote on alone.
#[test]
fn r31_beside_an_application_of_its_own_a_sidecar_waits_for_the_one_before_it() {
    let site = Site::new();
    let follow = || {
        let mut follow = command(&["replicate", "--log-format", "json", "--exec", "exec cat"]);
        follow.args([site.database.to_str().unwrap(), &site.replica]);
        follow
    };
    let old = Sidecar::start_command(&mut follow());
    let new = Process::start(&mut follow(), Output::Stderr).unwrap();
    new.line_with("in use by another process", PATIENCE);
    site.insert(3);
    old.process().signal(Signal::SIGTERM).unwrap();
    new.line_with("\"following\"", PATIENCE);
    site.insert(2);
    site.sync();
    site.assert_exact();
    assert_eq!(site.commits_and_gaps(), (5, 0));
    new.signal(Signal::SIGTERM).unwrap();
}

/// A folder for temporary files is swept, and a user's runtime folder goes with the last login: the process is found
/// again a moment later, without a restart.
#[test]
fn r35_a_socket_that_is_swept_away_comes_back() {
    let site = Site::new();
    let run = site.path("run");
    let folder = run.to_str().unwrap();
    let sidecar =
        Sidecar::start_in(&site.database, &site.replica, &[("EBBTIDE_RUNTIME_DIR", folder)]);
    let status = || command(&["status"]).env("EBBTIDE_RUNTIME_DIR", folder).output().unwrap();
    succeeds(&status());
    fs::remove_dir_all(&run).unwrap();
    assert_eq!(code(&status()), 1, "it is gone");
    wait_until("the process to be found again", || code(&status()) == 0);
    let sync = ["sync", "--wait", site.database.to_str().unwrap()];
    let ended = command(&sync).env("EBBTIDE_RUNTIME_DIR", folder).output().unwrap();
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    site.assert_exact_after(sidecar);
    let left = fs::read_dir(&run).unwrap().count();
    assert_eq!(left, 0, "the socket goes with its process");
    assert!(Replica::open(&site.replica).head().is_some());
}
