//! File events of a log, and the observation after each. Would catch events under another path than the watched one,
//! and a commit that is missed because it was not published yet.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use ebbtide_time::Timestamp;
use ebbtide_watcher::{Cause, Follower, Limits, Options, PollInterval, Wake};

const LONG: Duration = Duration::from_secs(20);
const APPLICATION: &str = "EBBTIDE_TEST_APPLICATION";

/// Not a test of its own: an application that executes the lines it is told, and says so.
#[test]
fn application_process() {
    let Ok(path) = std::env::var(APPLICATION) else { return };
    let application = rusqlite::Connection::open(path).unwrap();
    for line in std::io::stdin().lines() {
        application.execute_batch(&line.unwrap()).unwrap();
        println!("done");
    }
}

struct Application {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Application {
    fn start(path: &Path) -> Application {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "application_process", "--nocapture"])
            .env(APPLICATION, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Application { child, input, output }
    }

    fn execute(&mut self, sql: &str) {
        writeln!(self.input, "{sql}").unwrap();
        let mut line = String::new();
        while !line.ends_with("done\n") {
            line.clear();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the application has ended");
        }
    }

    fn finish(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_transaction_is_waited_for_until_it_is_published_or_rolled_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let mut application = Application::start(&path);
    application.execute("PRAGMA journal_mode = WAL; CREATE TABLE t(a)");
    let limits = Limits {
        checkpoint_frames: 1000,
        checkpoint_interval: LONG,
        exclusive_frames: 4000,
        write_lock_budget: Duration::from_millis(50),
        truncate_bytes: 1 << 20,
        idle: LONG,
    };
    let options = Options { enable_wal: false, limits };
    let (mut follower, _) = Follower::open(&path, &options, None, Timestamp::EPOCH).unwrap();
    let mut pin = follower.pin_image().unwrap();
    follower.skip_to(&mut pin).unwrap();
    let observer = follower.observer();
    let has_committed = || observer.see_written(Timestamp::EPOCH).map(|seen| seen.frames > 0);
    let wal = follower.wal_path();
    let log_bytes = || std::fs::metadata(&wal).unwrap().len();

    assert_eq!(has_committed(), Some(false), "nobody writes");
    let before = log_bytes();
    // Its pages do not fit into the cache, so that it writes before it commits.
    application.execute("PRAGMA cache_size = 2; BEGIN; INSERT INTO t VALUES(randomblob(100000))");
    assert!(log_bytes() > before, "frames are there");
    assert_eq!(has_committed(), None, "they may become a commit");
    assert_eq!(follower.observe_written(Timestamp::EPOCH).unwrap(), None);
    application.execute("ROLLBACK");
    assert_eq!(has_committed(), Some(false));
    assert_eq!(follower.observe_written(Timestamp::EPOCH).unwrap(), Some(0));
    application.execute("BEGIN; INSERT INTO t VALUES(randomblob(100000))");
    assert_eq!(has_committed(), None);
    application.execute("COMMIT");
    assert_eq!(has_committed(), Some(true));
    assert_eq!(has_committed(), Some(false), "it was seen");
    application.finish();
}

#[test]
fn opening_a_log_closing_it_and_writing_into_it_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.db-wal");
    std::fs::write(&file, b"").unwrap();
    let wake = Wake::new().unwrap();
    let (sender, receiver) = mpsc::channel();
    wake.watch(&file, Arc::new(move |cause| sender.send(cause).map_or(0, |()| 1))).unwrap();
    let told = |causes: &[Cause]| {
        for cause in causes {
            assert_eq!(receiver.recv_timeout(LONG), Ok(*cause));
        }
        assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err(), "and nothing else");
    };
    drop(std::fs::File::options().append(true).open(&file).unwrap());
    told(&[Cause::Opened, Cause::Closed]);
    std::fs::File::options().append(true).open(&file).unwrap().write_all(b"frame").unwrap();
    told(&[Cause::Opened, Cause::Written, Cause::Closed]);
    // The close of a file descriptor that was open for reading is no event.
    drop(std::fs::File::open(&file).unwrap());
    told(&[Cause::Opened]);
}

#[test]
fn a_write_wakes_whatever_form_the_path_has() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("app.db-wal");
    std::fs::write(&file, b"").unwrap();
    // Only this test changes the current directory of this process.
    std::env::set_current_dir(directory.path()).unwrap();
    let wake = Wake::new().unwrap();
    for path in [file.as_path(), Path::new("app.db-wal"), Path::new("./app.db-wal")] {
        let (sender, receiver) = mpsc::channel();
        let call = move |cause| sender.send(cause).map_or(0, |()| 1);
        wake.watch(path, Arc::new(call)).unwrap();
        let mut log = std::fs::File::options().append(true).open(&file).unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Opened));
        log.write_all(b"frame").unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Written));
        wake.poll(path, PollInterval::ByCommits).unwrap();
        wake.poll(path, PollInterval::ByCommits).unwrap();
        while receiver.recv_timeout(LONG).unwrap() == Cause::Written {}
        log.write_all(b"frame").unwrap();
        for _ in 0..20 {
            assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Poll));
        }
        wake.resume(path).unwrap();
        while receiver.recv_timeout(Duration::from_millis(50)).is_ok() {}
        log.write_all(b"frame").unwrap();
        assert_eq!(receiver.recv_timeout(LONG), Ok(Cause::Written));
        wake.forget(path);
        assert_eq!(receiver.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
