//! `ebbtide demo`: the story is told to its end, and nothing of it is left.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use ebbtide_testkit::process::{Output, Process};
use nix::sys::signal::Signal;

use crate::support::{Ended, PATIENCE, command};

#[test]
fn the_demonstration_brings_every_row_back_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let ended = Ended::of(command(&["demo"]).env("TMPDIR", directory.path())).exits(0);
    let took = begun.elapsed();
    eprintln!("the demonstration took {took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    for step in [
        "$ ebbtide replicate --exec ./application app.db ./backup",
        "$ sqlite3 app.db 'DELETE FROM orders WHERE customer = 7'",
        "$ ebbtide log --tables --changed orders ./backup",
        "orders -5",
        "$ ebbtide undo --txid ",
        "Every row is back",
    ] {
        ended.prints(step);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{}", ended.out);
}

#[test]
fn a_demonstration_that_is_interrupted_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = command(&["demo"]);
    command.env("TMPDIR", directory.path()).stderr(Stdio::null());
    let mut demo = Process::start(&mut command, Output::Stdout).unwrap();
    demo.line_with("sqlite3 app.db", PATIENCE);
    demo.signal(Signal::SIGTERM).unwrap();
    assert_eq!(demo.wait(PATIENCE).unwrap().code(), Some(1));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
