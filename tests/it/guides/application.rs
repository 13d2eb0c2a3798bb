//! The application that the pages speak of: it notes a row every few milliseconds.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;

/// A thread that writes until it is stopped.
pub(super) struct Application {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Application {
    pub(super) fn start(database: &Path) -> Application {
        let connection = Connection::open(database).unwrap();
        connection.busy_timeout(crate::support::PATIENCE).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE IF NOT EXISTS notes (text);
                 INSERT INTO notes VALUES ('the first')",
            )
            .unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ends);
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                connection.execute("INSERT INTO notes VALUES ('a note')", []).unwrap();
                thread::sleep(Duration::from_millis(10));
            }
        });
        Application { ends, thread: Some(thread) }
    }

    /// Nobody who writes.
    pub(super) fn none() -> Application {
        Application { ends: Arc::default(), thread: None }
    }

    pub(super) fn stop(&mut self) {
        self.ends.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.stop();
    }
}
