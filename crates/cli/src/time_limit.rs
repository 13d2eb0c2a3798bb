//! An end to what SQLite evaluates: a thread that interrupts a connection once its time is over, and goes on with that
//! until it is told that nothing runs any more, because an interrupt between two statements is lost.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::InterruptHandle;

/// How often a connection is interrupted whose time is over.
const AGAIN: Duration = Duration::from_millis(20);

/// A limit that is in force as long as this exists.
#[derive(Debug)]
pub(crate) struct TimeLimit {
    is_reached: Arc<AtomicBool>,
    /// Dropped first, which ends the thread.
    end: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TimeLimit {
    /// Whatever the connection runs has `time` from now on.
    pub(crate) fn begin(connection: InterruptHandle, time: Duration) -> io::Result<TimeLimit> {
        let is_reached = Arc::new(AtomicBool::new(false));
        let reached = Arc::clone(&is_reached);
        let (end, ended) = mpsc::channel::<()>();
        let thread = thread::Builder::new().name("time-limit".to_owned()).spawn(move || {
            let mut wait = time;
            while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                reached.store(true, Ordering::Release);
                connection.interrupt();
                wait = AGAIN;
            }
        })?;
        Ok(TimeLimit { is_reached, end: Some(end), thread: Some(thread) })
    }

    /// Whether the time is over.
    pub(crate) fn is_reached(&self) -> bool {
        self.is_reached.load(Ordering::Acquire)
    }
}

impl Drop for TimeLimit {
    fn drop(&mut self) {
        self.end = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of a time limit has panicked");
        }
    }
}
