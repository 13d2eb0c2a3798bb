//! Commands that read and are ended by a signal: at once, and without leaving what they were making.

use std::fs;
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{App, Setup, command, wait_until};

#[track_caller]
fn ends_by(child: &mut Child, signal: Signal) {
    let begun = Instant::now();
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(status.signal(), Some(signal as i32), "{status}");
}

fn begin(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A store that takes the connection and never answers, and every command that reads the past.
#[test]
fn t05_each_command_that_waits_for_the_store_ends_within_a_second() {
    let directory = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("s3://bucket/app?endpoint=http://{}", silent.local_addr().unwrap());
    let address = address.as_str();
    let out = directory.path().join("out");
    let out = out.to_str().unwrap();
    let runs: [&[&str]; 8] = [
        &["sql", address, "SELECT 1"],
        &["diff", "--from", "txid:1", address],
        &["undo", "--txid", "2", address],
        &["when", address, "SELECT 1"],
        &["blame", address, "t", "1"],
        &["dump", address],
        &["export", "--format", "sql", "-o", out, address],
        &["fixture", "-o", out, address],
    ];
    let mut children: Vec<Child> = runs
        .iter()
        .map(|args| {
            let mut command = command(args);
            command.env("AWS_ACCESS_KEY_ID", "k").env("AWS_SECRET_ACCESS_KEY", "s");
            begin(command.env("AWS_REGION", "us-east-1"))
        })
        .collect();
    // Each is connected, and so at it.
    let mut connections = Vec::new();
    while connections.len() < runs.len() {
        connections.push(silent.accept().unwrap());
    }
    for (child, args) in children.iter_mut().zip(runs) {
        assert_eq!(child.try_wait().unwrap(), None, "{args:?} is still at it");
        ends_by(child, Signal::SIGINT);
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

fn unfinished(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains(".ebbtide-new-")).count()
}

/// A file and a directory in the making go with the command, whichever signal ends it.
#[test]
fn an_export_that_is_ended_leaves_nothing() {
    let setup = Setup::new();
    App::prepared(
        &setup.database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, body TEXT); CREATE TABLE u (x);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600000)
         INSERT INTO t SELECT i, hex(zeroblob(60)) FROM n;",
    );
    let (database, out) = (setup.text("app.db"), setup.text("out"));
    let runs: [(&[&str], Signal); 4] = [
        (&["export", "--format", "json", "--table", "t", "-o", &out, &database], Signal::SIGINT),
        (&["export", "--format", "csv", "-o", &out, &database], Signal::SIGTERM),
        (&["export", "--format", "postgres", "-o", &out, &database], Signal::SIGHUP),
        (&["fixture", "-o", &out, &database], Signal::SIGINT),
    ];
    for (args, signal) in runs {
        let mut child = begin(&mut setup.command(args));
        wait_until("something to be begun", || unfinished(setup.directory.path()) > 0);
        ends_by(&mut child, signal);
        let left: Vec<_> = fs::read_dir(setup.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.contains("out"))
            .collect();
        assert!(left.is_empty(), "{args:?}: {left:?}");
    }
}

/// `nohup`, and a script that runs something in the background, begin it with a signal ignored.
#[test]
fn a_signal_that_was_ignored_from_the_beginning_ends_nothing() {
    let setup = Setup::new();
    setup.app();
    let endless =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n";
    setup.once().exits(0);
    let mut shell = Command::new("sh");
    let run = setup.command(&["sql", &setup.replica, endless]);
    shell
        .args(["-c", "trap '' INT; exec \"$@\"", "sh"])
        .arg(run.get_program())
        .args(run.get_args());
    let mut child = begin(&mut setup.equip(shell));
    std::thread::sleep(Duration::from_millis(500));
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(child.try_wait().unwrap(), None, "it goes on");
    ends_by(&mut child, Signal::SIGTERM);
}
