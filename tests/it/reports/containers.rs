//! Restarts in loops, process numbers that mean nothing, overlapping deployments, directories that are swept.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;

use crate::support::{Counts, PATIENCE, Setup, Sidecar, wait_until};

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
    let (setup, app) = Setup::with_rows(20);
    app.insert(300, 700);
    assert_eq!(setup.follow().stop(), 0);
    let before = bytes_under(Path::new(&setup.replica));
    for start in 0..12 {
        let sidecar = setup.spawn();
        // Some are killed at once and some while they follow.
        if start % 2 == 1 {
            sidecar.wait_until_it_follows();
        }
        app.insert(1, 700);
        sidecar.kill();
    }
    setup.assert_exact_after(setup.follow());
    assert_eq!(setup.history().counts(), Counts::commits(12));
    let more = bytes_under(Path::new(&setup.replica)) - before;
    assert!(more < before / 2, "{more} bytes more than {before}");
}

/// In a container every process is number 1, and so is whoever lives there after a restart.
#[test]
fn r30_a_number_of_a_living_process_in_a_stale_lock_file_keeps_nobody_out() {
    let (setup, _app) = Setup::with_rows(20);
    setup.once().exits(0);
    let lock = setup.path(".app.db-ebbtide").join("lock");
    assert!(lock.exists());
    for number in ["1", &std::process::id().to_string()] {
        fs::write(&lock, number).unwrap();
        setup.once().exits(0);
    }
    setup.assert_exact();
}

/// A deployment without downtime starts the new container, with its application in it, before it stops the old one. The
/// new sidecar waits for the old one to let go and then follows; before, it gave up and its application wrote on alone.
#[test]
fn r31_beside_an_application_of_its_own_a_sidecar_waits_for_the_one_before_it() {
    let (setup, app) = Setup::with_rows(20);
    let follow = || {
        let mut follow = setup.replicate();
        follow.args(["--exec", "exec cat"]);
        follow
    };
    let old = Sidecar::start_command(&mut follow());
    let new = Sidecar::spawn_command(&mut follow());
    new.process().line_with("in use by another process", PATIENCE);
    app.insert(3, 700);
    old.process().signal(Signal::SIGTERM).unwrap();
    new.wait_until_it_follows();
    app.insert(2, 700);
    setup.sync();
    setup.assert_exact();
    assert_eq!(setup.history().counts(), Counts::commits(5));
    new.process().signal(Signal::SIGTERM).unwrap();
}

/// A directory for temporary files is swept, and a user's runtime directory goes with the last login: the process is found
/// again a moment later, without a restart.
#[test]
fn r35_a_socket_that_is_swept_away_comes_back() {
    let (setup, _app) = Setup::with_rows(20);
    let run = setup.path("run");
    let sidecar = setup.follow();
    let status = || setup.run(&["status"]);
    status().exits(0);
    fs::remove_dir_all(&run).unwrap();
    status().exits(1);
    wait_until("the process to be found again", || status().code() == 0);
    setup.sync();
    setup.assert_exact_after(sidecar);
    let left = fs::read_dir(&run).unwrap().count();
    assert_eq!(left, 0, "the socket goes with its process");
    assert!(setup.history().head().is_some());
}
