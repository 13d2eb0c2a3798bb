//! `Follower::rewind`: going back to an earlier position of a log that is held.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use ebbtide_time::Timestamp;
use ebbtide_wal::{READ_MARKS, lock};
use ebbtide_watcher::{
    Action, CaptureError, Error, Follower, Kept, Limits, LogEvidence, Moved, Options, Scratch,
    Transaction,
};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rusqlite::Connection;

const OPTIONS: Options = Options {
    enable_wal: false,
    limits: Limits {
        checkpoint_frames: 1,
        checkpoint_interval: Duration::from_secs(60),
        exclusive_frames: 4000,
        write_lock_budget: Duration::from_millis(20),
        truncate_bytes: 8 << 20,
        idle: Duration::from_secs(5),
    },
};

/// The number of transactions that are captured now, or the error.
fn capture(follower: &mut Follower) -> Result<usize, Error> {
    let captured =
        follower.capture(Timestamp::EPOCH, &mut Scratch::default(), |_| Ok::<_, Infallible>(true));
    match captured {
        Ok(captured) => Ok(captured.transactions),
        Err(CaptureError::Follow(error)) => Err(error),
        Err(CaptureError::Sink(never)) => match never {},
    }
}

/// All frames were captured and backfilled, so the hold reads the database file alone. After going back the log is
/// needed again: the restart lock keeps the application from restarting it. Would catch commits that are lost although
/// the log had them.
#[test]
fn a_log_that_one_goes_back_in_is_kept_until_it_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let captured = go_back_and_write(&directory.path().join("app.db"), true);
    assert_eq!(captured.unwrap(), 4);
}

/// Another process was stopped within a restart of the log, so the restart lock is not free, and nothing keeps the
/// application from restarting the log. Would catch a history that lacks the three commits.
#[test]
fn a_log_that_restarts_after_going_back_is_broken() {
    let directory = tempfile::tempdir().unwrap();
    match go_back_and_write(&directory.path().join("app.db"), false) {
        Err(Error::Broken { .. }) => {}
        other => panic!("of four commits these were captured: {other:?}"),
    }
}

/// An application opens another file that has the database's name by now, and shares the log with us. Would catch its
/// commit taken for one of the file that is held.
#[test]
fn what_is_committed_to_another_file_of_the_name_is_not_captured() {
    let directory = tempfile::tempdir().unwrap();
    let (path, other) = (directory.path().join("app.db"), directory.path().join("new.db"));
    let open = |path: &Path| {
        let application = Connection::open(path).unwrap();
        application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
        application
    };
    drop(open(&other));
    let application = open(&path);
    let (mut follower, _) = Follower::open(&path, &OPTIONS, None, Timestamp::EPOCH).unwrap();
    application.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    assert_eq!(capture(&mut follower).unwrap(), 1);
    std::fs::rename(&other, &path).unwrap();
    let newcomer = Connection::open(&path).unwrap();
    newcomer.execute_batch("INSERT INTO t VALUES (2)").unwrap();
    match capture(&mut follower) {
        Err(Error::Moved { moved: Moved::Replaced, .. }) => {}
        other => panic!("captured: {other:?}"),
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(capture(&mut follower).unwrap(), 1, "of a deleted file, the last commits count");
}

/// Locks or unlocks the last read mark, as another process would.
fn lock_last_mark(file: &File, kind: i32) {
    let start = lock::read(READ_MARKS - 1).try_into().unwrap();
    let (kind, whence) = (kind.try_into().unwrap(), libc::SEEK_SET.try_into().unwrap());
    let lock = libc::flock { l_type: kind, l_whence: whence, l_start: start, l_len: 1, l_pid: 0 };
    fcntl(file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
}

/// Three commits, captured and backfilled; goes back before them, and the application commits once more. Returns how
/// many transactions are captured then.
fn go_back_and_write(path: &Path, has_restart_lock: bool) -> Result<usize, Error> {
    // Closed last: that drops this process's locks.
    let shm;
    let application = Connection::open(path).unwrap();
    let insert = || application.execute("INSERT INTO t VALUES (randomblob(100))", []).unwrap();
    application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    let (mut follower, start) = Follower::open(path, &OPTIONS, None, Timestamp::EPOCH).unwrap();
    assert_eq!(start, LogEvidence::Restarted);
    let begun = follower.position();
    for _ in 0..3 {
        insert();
    }
    assert_eq!(capture(&mut follower).unwrap(), 3);
    while maintain(&mut follower) != Action::Wait {}
    let shm_path = path.with_file_name("app.db-shm");
    shm = OpenOptions::new().read(true).write(true).open(shm_path).unwrap();
    if !has_restart_lock {
        lock_last_mark(&shm, libc::F_WRLCK);
    }
    assert!(follower.rewind(begun).unwrap());
    lock_last_mark(&shm, libc::F_UNLCK);
    insert();
    let captured = capture(&mut follower);
    // The restart lock was released, or this would fail.
    lock_last_mark(&shm, libc::F_WRLCK);
    captured
}

/// Performs the action that is due, and returns it.
fn maintain(follower: &mut Follower) -> Action {
    let mut scratch = Scratch::default();
    let sink = |_: &mut Transaction<'_>| Ok::<_, Infallible>(true);
    let action = follower.due(Kept::Durable, true).unwrap();
    follower.perform(action, Timestamp::EPOCH, Kept::Durable, &mut scratch, sink).unwrap();
    if let Some(checkpoint) = follower.take_checkpoint() {
        checkpoint.run();
        follower.end_checkpoint().unwrap();
    }
    action
}
