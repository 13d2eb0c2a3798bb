//! Where results and logs go: closed, full, or read by nobody, none of which ends anything but what is written there.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use ebbtide_testkit::s3_server::{ACCESS_KEY, S3Server};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::{Running, Setup, by_itself_in, command, wait_until};

/// A setup with a database and a configuration of it.
fn configured() -> Setup {
    let setup = Setup::new();
    setup.app();
    setup.configure("", "");
    setup
}

/// `ebbtide replicate` of its database, with its log there.
fn follow(setup: &Setup, stderr: impl Into<Stdio>) -> Running {
    Running::start(setup.replicate().stdin(Stdio::null()).stderr(stderr))
}

fn wait_until_followed(setup: &Setup) {
    wait_until("it to follow", || setup.report()["phase"] == "following");
}

/// Ends it; it has followed to the last commit.
#[track_caller]
fn assert_follows_to_the_end(setup: &Setup, mut sidecar: Running) {
    setup.app().insert(1, 8);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.wait(), 0);
    setup.assert_exact();
}

/// An output that is always full; nothing where the system has none.
fn full() -> Option<File> {
    OpenOptions::new().write(true).open("/dev/full").ok()
}

/// An output that nobody reads any more.
fn closed() -> File {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    File::from(std::os::fd::OwnedFd::from(writer))
}

fn lost(report: &Value) -> u64 {
    report["log_lines_lost"].as_u64().unwrap()
}

#[test]
fn o04_a_log_that_nobody_reads_any_more_ends_nothing() {
    let setup = configured();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let sidecar = follow(&setup, writer);
    wait_until_followed(&setup);
    assert_eq!(lost(&setup.report()), 0);
    reader.read_exact(&mut [0]).unwrap();
    drop(reader);
    // Something to log, until it is lost: a process that another test has forked and that has not executed its program yet
    // holds this reader for a moment, and a line may get into the pipe meanwhile.
    wait_until("the loss to be counted", || {
        sidecar.signal(Signal::SIGUSR2);
        lost(&setup.report()) > 0
    });
    let report = setup.report();
    assert!(report["log_error"].as_str().unwrap().contains("Broken pipe"), "{report}");
    assert_eq!((&report["healthy"], &report["phase"]), (&true.into(), &"following".into()));
    let config = setup.text("ebbtide.toml");
    let table = command_on(&setup, &["status", "--config", &config], &[]).output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("could not be logged: Broken pipe"), "{table}");
    assert_follows_to_the_end(&setup, sidecar);
}

#[test]
fn o04_a_log_on_a_full_disk_ends_nothing() {
    let Some(full) = full() else { return eprintln!("NOT RUN: o04: there is no /dev/full here") };
    let setup = configured();
    let sidecar = follow(&setup, full);
    wait_until_followed(&setup);
    let report = setup.report();
    assert!(lost(&report) > 0, "{report}");
    assert!(report["log_error"].as_str().unwrap().contains("No space left"), "{report}");
    assert_follows_to_the_end(&setup, sidecar);
}

/// Would catch a task that waits, in the middle of following, for somebody to read a line.
#[test]
fn o04_a_log_that_is_not_read_delays_nothing() {
    let setup = configured();
    let (reader, mut writer) = std::io::pipe().unwrap();
    let is_ready = |writer: &std::io::PipeWriter| {
        let mut descriptors = [PollFd::new(writer.as_fd(), PollFlags::POLLOUT)];
        poll(&mut descriptors, PollTimeout::ZERO).unwrap() > 0
    };
    while is_ready(&writer) {
        writer.write_all(&[b'\n'; 4096]).unwrap();
    }
    let sidecar = follow(&setup, writer);
    wait_until_followed(&setup);
    let report = setup.report();
    assert!(lost(&report) > 0, "{report}");
    assert!(report["log_error"].as_str().unwrap().contains("nobody reads"), "{report}");
    assert_follows_to_the_end(&setup, sidecar);
    drop(reader);
}

/// A command with paths in the directory at its end.
fn command_on(setup: &Setup, args: &[&str], paths: &[&str]) -> Command {
    let mut command = setup.command(args);
    command.args(paths.iter().map(|path| setup.path(path)));
    command
}

/// Each command, and its exit code when all is well.
fn commands(setup: &Setup) -> Vec<(Command, &'static str)> {
    let config = setup.text("ebbtide.toml");
    let copy = || {
        std::fs::remove_file(setup.path("copy.db")).ok();
        setup.text("copy.db")
    };
    let copy = copy();
    vec![
        (command_on(setup, &["log"], &["backup"]), "log"),
        (command_on(setup, &["log", "--json"], &["backup"]), "log --json"),
        (command_on(setup, &["verify"], &["backup"]), "verify"),
        (command_on(setup, &["verify", "--json", "--restore"], &["backup"]), "verify --json"),
        (
            command_on(setup, &["restore", "--dry-run", "-o", &copy], &["backup"]),
            "restore --dry-run",
        ),
        (command_on(setup, &["restore", "--force", "-o", &copy], &["backup"]), "restore"),
        (
            command_on(setup, &["restore", "--json", "--force", "-o", &copy], &["backup"]),
            "restore --json",
        ),
        (command_on(setup, &["status", "--config", &config], &[]), "status"),
        (command_on(setup, &["status", "--json", "--config", &config], &[]), "status --json"),
        (command_on(setup, &["sync", "--wait"], &["app.db"]), "sync"),
        (command_on(setup, &["--help"], &[]), "--help"),
        (command_on(setup, &["--version"], &[]), "--version"),
        (command_on(setup, &["replicate", "--help"], &[]), "replicate --help"),
    ]
}

fn stderr(ended: &Output) -> &str {
    std::str::from_utf8(&ended.stderr).unwrap()
}

#[test]
fn o38_a_result_that_nobody_reads_is_no_error_and_one_that_is_lost_is_one() {
    let setup = configured();
    let mut sidecar = follow(&setup, Stdio::null());
    wait_until_followed(&setup);
    for (mut command, name) in commands(&setup) {
        let ended = command.stdout(closed()).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{name}: {}", stderr(&ended));
        assert!(!stderr(&ended).contains("panicked"), "{name}: {}", stderr(&ended));
        assert!(!stderr(&ended).contains("ebbtide:"), "{name}: {}", stderr(&ended));
        // The work is done all the same.
        assert!(!name.starts_with("restore --json") || setup.path("copy.db").exists());
    }
    for (mut command, name) in commands(&setup) {
        let Some(full) = full() else { return eprintln!("NOT RUN: o38: there is no /dev/full") };
        let ended = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = stderr(&ended);
        assert_eq!(ended.status.code(), Some(1), "{name}: {said}");
        let errors: Vec<&str> = said.lines().filter(|line| line.contains("ebbtide: ")).collect();
        assert_eq!(errors.len(), 1, "{name}: {said}");
        assert!(errors[0].contains("standard output: No space left"), "{name}: {said}");
    }
    assert!(setup.path("copy.db").exists());
    // Neither is a lost log.
    for (mut command, name) in commands(&setup) {
        let Some(full) = full() else { return };
        let ended = command.stdout(Stdio::null()).stderr(full).status().unwrap();
        assert_eq!(ended.code(), Some(0), "{name}");
    }
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.wait(), 0);
}

#[test]
fn o38_an_error_keeps_its_exit_code_wherever_it_is_said() {
    let setup = configured();
    setup.once().exits(0);
    let cases: [(&[&str], &[&str], i32); 4] = [
        (&["restore"], &[], 2),
        (&["log"], &["nowhere"], 3),
        (&["verify"], &["nowhere"], 3),
        (&["replicate", "--once"], &["nowhere.db", "other"], 1),
    ];
    for (args, paths, code) in cases {
        let Some(full) = full() else { return eprintln!("NOT RUN: o38: there is no /dev/full") };
        let mut command = command_on(&setup, args, paths);
        let ended = command.stdout(full.try_clone().unwrap()).stderr(full).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{args:?}");
        let mut command = command_on(&setup, args, paths);
        let ended = command.stdout(closed()).stderr(closed()).status().unwrap();
        assert_eq!(ended.code(), Some(code), "{args:?}");
    }
}

#[test]
fn o29_a_database_that_is_not_there_is_waited_for_only_where_that_was_said() {
    let setup = configured();
    let refused = command_on(&setup, &["replicate"], &["nope.db", "other"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{}", stderr(&refused));
    // Once, with a way out, and nothing is left of it.
    let said = stderr(&refused);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("nope.db: there is no such file") && said.contains("--wait"), "{said}");
    let mut names: Vec<_> = std::fs::read_dir(setup.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains("nope") || name == "other")
        .collect();
    names.sort();
    assert_eq!(names, [""; 0]);
    let mut config = setup.text("nope.toml");
    let entry = format!(
        "[[database]]\npath = {:?}\nreplica = {:?}\n",
        setup.path("one.db"),
        setup.path("one")
    );
    std::fs::write(&config, entry).unwrap();
    config.insert_str(0, "--config=");
    let (two, three) = (setup.text("two.db"), setup.text("three.db"));
    let ways: [(&str, Vec<&str>); 3] = [
        ("one.db", vec![&config]),
        ("two.db", vec!["--wait", &two, "other-two"]),
        ("three.db", vec!["--exec", "exec sleep 600", &three, "other-three"]),
    ];
    for (name, args) in ways {
        let mut command = command(&[&["replicate", "--log-format", "json"], &args[..]].concat());
        let (reader, writer) = std::io::pipe().unwrap();
        let mut waiting =
            Running::start(command.current_dir(setup.directory.path()).stderr(writer));
        drop(command);
        let lines = crate::support::Lines::of(reader);
        lines.wait_for("there is no such file");
        let database = Connection::open(setup.path(name)).unwrap();
        database.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
        lines.wait_for("\"following\"");
        waiting.signal(Signal::SIGTERM);
        assert!([0, 143].contains(&waiting.wait()), "{name}");
    }
}

#[test]
fn o31_an_error_is_said_once_in_the_form_of_the_logs_and_an_end_is_logged() {
    let setup = configured();
    setup.once().exits(0);
    let json = |args: &[&str], paths: &[&str]| {
        let args = [args, &["--log-format", "json"]].concat();
        let ended = command_on(&setup, &args, paths).output().unwrap();
        let parse = |line| serde_json::from_str::<Value>(line).expect(line);
        let lines: Vec<Value> = stderr(&ended).lines().map(parse).collect();
        (ended.status.code().unwrap(), lines)
    };
    let errors = |lines: &[Value]| lines.iter().filter(|line| line["level"] == "ERROR").count();
    for (args, paths, code) in [
        (vec!["replicate"], vec!["nope.db", "other"], 1),
        (vec!["replicate", "--once"], vec!["nope.db", "other"], 1),
        (vec!["log"], vec!["nowhere"], 3),
        (vec!["restore", "--txid", "ffff", "-o", "copy.db"], vec!["backup"], 3),
    ] {
        let (ended, lines) = json(&args, &paths);
        assert_eq!((ended, errors(&lines)), (code, 1), "{args:?}: {lines:?}");
        assert!(lines.last().unwrap()["timestamp"].is_string(), "{lines:?}");
    }
    let text =
        command_on(&setup, &["replicate", "--once"], &["nope.db", "other"]).output().unwrap();
    assert_eq!(stderr(&text).matches("there is no such file").count(), 1, "{}", stderr(&text));
    let (reader, writer) = std::io::pipe().unwrap();
    let mut sidecar = follow(&setup, writer);
    wait_until_followed(&setup);
    sidecar.signal(Signal::SIGTERM);
    assert_eq!(sidecar.wait(), 0);
    let said = crate::support::Lines::of(reader).all();
    assert!(said.contains("ending with a last sync") && said.contains("SIGTERM"), "{said}");
    assert!(said.contains("everything that was committed is durable"), "{said}");
}

#[test]
fn o12_no_signal_but_one_that_says_so_ends_following() {
    let setup = configured();
    let (reader, writer) = std::io::pipe().unwrap();
    let lines = crate::support::Lines::of(reader);
    let mut sidecar = follow(&setup, writer);
    wait_until_followed(&setup);
    for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
        sidecar.signal(signal);
        lines.wait_for(signal.as_str());
        setup.app().insert(1, 8);
        let synced = command_on(&setup, &["sync", "--wait"], &["app.db"]).output().unwrap();
        assert_eq!(synced.status.code(), Some(0), "{signal}: {}", stderr(&synced));
    }
    setup.app().insert(1, 8);
    sidecar.signal(Signal::SIGQUIT);
    assert_eq!(sidecar.wait(), 0);
    setup.assert_exact();
}

#[test]
fn z17_no_access_key_id_is_logged_at_any_level() {
    let setup = configured();
    let server = S3Server::start();
    let address = server.address("app");
    let database = setup.text("app.db");
    let mut said = String::new();
    for args in [
        vec!["replicate", "--once", &database, &address],
        vec!["log", &address],
        vec!["verify", &address],
    ] {
        let mut command = command(&args);
        let filter = "trace,aws_config=trace,aws_smithy_runtime=trace,aws_sdk_s3=trace,aws_runtime=trace,hyper=trace";
        command.args(["--log", filter]).envs(server.environment());
        let ended = command.output().unwrap();
        assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
        said += stderr(&ended);
    }
    assert!(said.len() > 10_000, "the SDK logs at this level: {said}");
    let told: Vec<&str> = said.lines().filter(|line| line.contains(ACCESS_KEY)).collect();
    assert!(told.is_empty(), "{} lines: {:?}", told.len(), told.first());
    assert!(said.contains("[key id]"), "there was something to replace");
}

/// An abort would leave the store's credentials in a file.
#[test]
fn z13_no_core_is_dumped_and_the_applications_limit_is_its_own() {
    use std::os::unix::process::ExitStatusExt as _;
    let setup = configured();
    let run = |script: &str, paths: &[&Path]| {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            &format!("ulimit -c 1000000; {script}"),
            "sh",
            env!("CARGO_BIN_EXE_ebbtide"),
        ]);
        shell.args(paths).current_dir(setup.directory.path());
        by_itself_in(&mut shell);
        setup.equip(shell)
    };
    let paths = [setup.path("app.db"), setup.path("backup")];
    let paths = [paths[0].as_path(), paths[1].as_path()];
    let dumps = run("exec sh -c 'kill -ABRT $$'", &[]).status().unwrap().core_dumped();
    if dumps {
        let mut command = run("exec \"$1\" replicate \"$2\" \"$3\"", &paths);
        let mut sidecar = Running::start(command.stderr(Stdio::null()));
        wait_until_followed(&setup);
        sidecar.signal(Signal::SIGABRT);
        assert!(!sidecar.ended().core_dumped());
    } else {
        eprintln!("NOT RUN: z13: nothing dumps a core here");
    }
    let script = "exec \"$1\" replicate --exec 'ulimit -c' \"$2\" \"$3\"";
    let ended = run(script, &paths).output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap().trim(), "1000000", "{}", ended.status);
}
