//! Going back to an earlier position of a log that is held.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::convert::Infallible;
use std::time::Duration;

use ebbtide_watcher::{
    Action, CaptureError, Error, Follower, Kept, Limits, Options, Scratch, Start, Transaction,
};
use rusqlite::Connection;

const OPTIONS: Options = Options {
    enable_wal: false,
    limits: Limits {
        checkpoint_frames: 1,
        checkpoint_interval: Duration::from_secs(60),
        barrier_frames: 4000,
        barrier_budget: Duration::from_millis(20),
        truncate_bytes: 8 << 20,
        idle: Duration::from_secs(5),
    },
};

/// How many transactions are captured now, or why none are.
fn capture(follower: &mut Follower) -> Result<usize, Error> {
    let captured = follower.capture(0, &mut Scratch::default(), |_| Ok::<_, Infallible>(true));
    match captured {
        Ok(captured) => Ok(captured.transactions),
        Err(CaptureError::Follow(error)) => Err(error),
        Err(CaptureError::Sink(never)) => match never {},
    }
}

/// Everything was captured and copied back, so the hold ignores the log. Going back makes it needed again, and nothing
/// keeps the application from beginning it anew. Would catch a history that lacks the three commits.
#[test]
fn a_log_that_begins_anew_after_going_back_is_broken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.db");
    let application = Connection::open(&path).unwrap();
    let insert = || application.execute("INSERT INTO t VALUES (randomblob(100))", []).unwrap();
    application.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (a)").unwrap();
    let (mut follower, start) = Follower::open(&path, &OPTIONS, None, 0).unwrap();
    assert_eq!(start, Start::Anew);
    let begun = follower.position();
    for _ in 0..3 {
        insert();
    }
    assert_eq!(capture(&mut follower).unwrap(), 3);
    while maintain(&mut follower) != Action::Wait {}
    assert!(follower.rewind(begun).unwrap());
    insert();
    match capture(&mut follower) {
        Err(Error::Broken { .. }) => {}
        other => panic!("of four commits these were captured: {other:?}"),
    }
}

/// Does what the log needs, one thing at a time; what it was.
fn maintain(follower: &mut Follower) -> Action {
    let mut scratch = Scratch::default();
    let sink = |_: &mut Transaction<'_>| Ok::<_, Infallible>(true);
    let action = follower.maintain(0, Kept::Durable, true, &mut scratch, sink).unwrap();
    if let Some(checkpoint) = follower.take_checkpoint() {
        follower.checkpointed(checkpoint.run()).unwrap();
    }
    action
}
