//! A process that follows a database goes on following it, whatever is attempted beside it meanwhile. Would catch one that
//! takes its next session for its first start, and ends for what is over in a moment.

use std::fs;
use std::process::Command;

use ebbtide_state::{State, state_folder};
use rusqlite::Connection;

use crate::control::{Place, code, insert, said};
use crate::support::{PATIENCE, Replica, Sidecar, wait_until};

/// The database, its log and its wal-index are removed, as by somebody who takes them for leftovers.
fn remove(place: &Place) {
    for name in ["app.db", "app.db-wal", "app.db-shm"] {
        match fs::remove_file(place.path(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
}

/// A database that is followed, with a row that is durable, and that nobody has open.
fn followed() -> (Place, Sidecar) {
    let place = Place::new();
    let application = place.database("app.db");
    let sidecar = place.follow("app.db", "backup");
    insert(&application);
    sync(&place);
    (place, sidecar)
}

fn sync(place: &Place) {
    let ended = place.run(&["sync", "--wait", &place.text("app.db")]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
}

fn is_failing(place: &Place) -> bool {
    place.status(&[]).1.first().is_some_and(|report| report["phase"] == "failing")
}

fn follows(place: &Place) -> bool {
    place.status(&[]).1.first().is_some_and(|report| report["phase"] == "following")
}

#[test]
fn o43_a_restore_that_fails_where_the_database_is_gone_leaves_it_followed() {
    let (place, sidecar) = followed();
    remove(&place);
    wait_until("the loss to be noticed", || is_failing(&place));
    let restore = |more: &[&str]| {
        let (database, replica) = (place.text("app.db"), place.text("backup"));
        let args = [&["restore", "-o", &database], more, &[&replica]].concat();
        code(&place.run(&args))
    };
    assert_eq!(restore(&["--txid", "99"]), 3, "a typing error");
    wait_until("it to be followed for again", || is_failing(&place));
    assert_eq!(restore(&[]), 0);
    wait_until("the restored database to be followed", || follows(&place));
    let application = Connection::open(place.path("app.db")).unwrap();
    insert(&application);
    sync(&place);
    Replica::open(&place.text("backup"))
        .assert_ends_with(&place.path("app.db"), place.folder.path());
    assert_eq!(sidecar.stop(), 0);
}

/// As a `replicate --once` by cron has it for a moment.
#[test]
fn o42_whoever_has_the_local_state_for_a_moment_does_not_end_who_follows() {
    let (place, sidecar) = followed();
    fs::rename(place.path("app.db"), place.path("aside.db")).unwrap();
    wait_until("the loss to be noticed", || is_failing(&place));
    let state = State::open(&state_folder(&place.path("app.db"))).unwrap().unwrap();
    fs::rename(place.path("aside.db"), place.path("app.db")).unwrap();
    sidecar.process().line_with("is in use by another process", PATIENCE);
    drop(state);
    wait_until("it to be followed again", || follows(&place));
    let newcomer = State::open(&state_folder(&place.path("app.db")));
    assert!(newcomer.is_err(), "it is the process's own again");
    assert_eq!(sidecar.stop(), 0);
}

/// With a limit on the size of files, which ends a process that does not say otherwise.
#[test]
fn o44_a_limit_on_the_size_of_files_is_an_error_with_its_reason() {
    let place = Place::new();
    let application = place.database("app.db");
    for _ in 0..200 {
        application.execute("INSERT INTO t VALUES (randomblob(4000))", []).unwrap();
    }
    let limited = |args: &[&str]| {
        let program = env!("CARGO_BIN_EXE_ebbtide");
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "ulimit -f 64; exec \"$0\" \"$@\"", program]).args(args);
        shell.env("EBBTIDE_RUNTIME_DIR", place.path("run")).output().unwrap()
    };
    let (database, replica, output) =
        (place.text("app.db"), place.text("backup"), place.text("out.db"));
    let once = place.run(&["replicate", "--once", &database, &replica]);
    assert_eq!(code(&once), 0, "{}", said(&once));
    let ended = limited(&["restore", "-o", &output, &replica]);
    assert_eq!(ended.status.code(), Some(1), "{}", said(&ended));
    assert!(said(&ended).contains("File too large"), "{}", said(&ended));
    let left: Vec<_> = fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("restore"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn o45_an_empty_manifest_is_as_good_as_a_missing_one() {
    let place = Place::new();
    let application = place.database("app.db");
    insert(&application);
    let (database, replica) = (place.text("app.db"), place.text("backup"));
    let once = || place.run(&["replicate", "--once", &database, &replica]);
    assert_eq!(code(&once()), 0);
    fs::write(place.path("backup").join("ebbtide.json"), "").unwrap();
    let ended = place.run(&["restore", "-o", &place.text("out.db"), &replica]);
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    assert!(said(&ended).contains("ebbtide.json is empty"), "{}", said(&ended));
    insert(&application);
    let ended = once();
    assert_eq!(code(&ended), 0, "{}", said(&ended));
    Replica::open(&replica).assert_ends_with(&place.path("app.db"), place.folder.path());
}

#[test]
fn o46_a_pipe_in_the_place_of_the_rollback_journal_is_refused() {
    let place = Place::new();
    let application = place.database("app.db");
    insert(&application);
    let pipe = place.path("app.db-journal");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    let ended = place.run(&["replicate", "--once", &place.text("app.db"), &place.text("backup")]);
    assert_eq!(code(&ended), 1, "{}", said(&ended));
    assert!(said(&ended).contains("app.db-journal is a pipe"), "{}", said(&ended));
    fs::remove_file(&pipe).unwrap();
}

#[test]
fn o47_a_restore_into_the_name_of_anothers_log_is_refused() {
    let place = Place::new();
    let application = place.database("app.db");
    insert(&application);
    let (database, replica) = (place.text("app.db"), place.text("backup"));
    assert_eq!(code(&place.run(&["replicate", "--once", &database, &replica])), 0);
    for suffix in ["-wal", "-shm", "-journal"] {
        let output = format!("{database}{suffix}");
        let ended = place.run(&["restore", "--force", "-o", &output, &replica]);
        assert_eq!(code(&ended), 1, "{}", said(&ended));
        assert!(said(&ended).contains("a part of"), "{}", said(&ended));
    }
}

/// What `log` ends with is what an operator relies on.
#[test]
fn o48_the_log_does_not_promise_what_a_missing_snapshot_alone_could_give() {
    let place = Place::new();
    let application = place.database("app.db");
    insert(&application);
    let (database, replica) = (place.text("app.db"), place.text("backup"));
    assert_eq!(code(&place.run(&["replicate", "--once", &database, &replica])), 0);
    let told = || String::from_utf8(place.run(&["log", &replica]).stdout).unwrap();
    assert!(told().contains("can be restored: any txid from"), "{}", told());
    for snapshot in fs::read_dir(place.path("backup").join("snap")).unwrap() {
        fs::remove_file(snapshot.unwrap().path()).unwrap();
    }
    assert!(told().contains("can be restored: not all of this"), "{}", told());
}
