//! A process that follows a database goes on following it, whatever is attempted beside it meanwhile. Would catch one that
//! takes its next session for its first start, and ends for what is over in a moment.

use std::fs;
use std::process::Command;

use ebbtide_state::{State, state_directory};

use crate::support::{Ended, History, PATIENCE, Setup, Sidecar, wait_until};

/// The database, its log and its wal-index are removed, as by somebody who takes them for leftovers.
fn remove(setup: &Setup) {
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        match fs::remove_file(setup.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}

/// A database that is followed, with a row that is durable, and that nobody has open.
fn followed() -> (Setup, Sidecar) {
    let setup = Setup::new();
    let application = setup.app();
    let sidecar = setup.follow();
    application.insert(1, 100);
    setup.sync();
    (setup, sidecar)
}

fn is_failing(setup: &Setup) -> bool {
    setup.report()["phase"] == "failing"
}

fn follows(setup: &Setup) -> bool {
    setup.report()["phase"] == "following"
}

#[test]
fn o43_a_restore_that_fails_where_the_database_is_gone_leaves_it_followed() {
    let (setup, sidecar) = followed();
    remove(&setup);
    wait_until("the loss to be noticed", || is_failing(&setup));
    let database = setup.text("app.db");
    // A typing error.
    setup.restore(&["-o", &database, "--txid", "99"]).exits(3);
    wait_until("it to be followed for again", || is_failing(&setup));
    setup.restore(&["-o", &database]).exits(0);
    wait_until("the restored database to be followed", || follows(&setup));
    setup.app().insert(1, 100);
    setup.sync();
    setup.assert_exact();
    assert_eq!(sidecar.stop(), 0);
}

/// As a `replicate --once` by cron has it for a moment.
#[test]
fn o42_whoever_has_the_local_state_for_a_moment_does_not_end_who_follows() {
    let (setup, sidecar) = followed();
    fs::rename(setup.path("app.db"), setup.path("aside.db")).unwrap();
    wait_until("the loss to be noticed", || is_failing(&setup));
    let state = State::open(&state_directory(&setup.path("app.db"))).unwrap().unwrap();
    fs::rename(setup.path("aside.db"), setup.path("app.db")).unwrap();
    sidecar.process().line_with("is in use by another process", PATIENCE);
    drop(state);
    wait_until("it to be followed again", || follows(&setup));
    let newcomer = State::open(&state_directory(&setup.path("app.db")));
    assert!(newcomer.is_err(), "it is the process's own again");
    assert_eq!(sidecar.stop(), 0);
}

/// With a limit on the size of files, which ends a process that does not say otherwise.
#[test]
fn o44_a_limit_on_the_size_of_files_is_an_error_with_its_reason() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(200, 4000);
    let limited = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_ebbtide");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\"", program]).args(args);
        Ended::of(shell.env("EBBTIDE_RUNTIME_DIR", setup.path("run")))
    };
    let (database, replica, output) =
        (setup.text("app.db"), setup.text("backup"), setup.text("out.db"));
    setup.run(&["replicate", "--once", &database, &replica]).exits(0);
    limited(&["restore", "-o", &output, &replica]).exits(1).says("File too large");
    let left: Vec<_> = fs::read_dir(setup.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("restore"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn o45_an_empty_manifest_is_as_good_as_a_missing_one() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(1, 100);
    let (database, replica) = (setup.text("app.db"), setup.text("backup"));
    let once = || setup.run(&["replicate", "--once", &database, &replica]);
    once().exits(0);
    fs::write(setup.path("backup").join("ebbtide.json"), "").unwrap();
    let ended = setup.run(&["restore", "-o", &setup.text("out.db"), &replica]).exits(0);
    ended.says("ebbtide.json is empty");
    application.insert(1, 100);
    once().exits(0);
    History::open(&replica).assert_ends_with(&setup.path("app.db"), setup.directory.path());
}

#[test]
fn o46_a_pipe_in_the_place_of_the_rollback_journal_is_refused() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(1, 100);
    let pipe = setup.path("app.db-journal");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let ended = setup.once().exits(1);
    ended.says("app.db-journal is a pipe");
    fs::remove_file(&pipe).unwrap();
}

#[test]
fn o47_a_restore_into_the_name_of_anothers_log_is_refused() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(1, 100);
    let (database, replica) = (setup.text("app.db"), setup.text("backup"));
    setup.run(&["replicate", "--once", &database, &replica]).exits(0);
    for suffix in ["-wal", "-shm", "-journal"] {
        let output = format!("{database}{suffix}");
        let ended = setup.run(&["restore", "--force", "-o", &output, &replica]).exits(1);
        ended.says("a part of");
    }
}

/// What `log` ends with is what an operator relies on.
#[test]
fn o48_the_log_does_not_promise_what_a_missing_snapshot_alone_could_give() {
    let setup = Setup::new();
    let application = setup.app();
    application.insert(1, 100);
    let (database, replica) = (setup.text("app.db"), setup.text("backup"));
    setup.run(&["replicate", "--once", &database, &replica]).exits(0);
    let told = || setup.run(&["log", &replica]).out;
    assert!(told().contains("can be restored: any txid from"), "{}", told());
    for snapshot in fs::read_dir(setup.path("backup").join("snap")).unwrap() {
        fs::remove_file(snapshot.unwrap().path()).unwrap();
    }
    assert!(told().contains("can be restored: not all of this"), "{}", told());
}
