//! Holds up a checkpoint at the point where the bug needs it.
//!
//! `sqlite3WalCheckpoint` takes the checkpoint lock, copies the wal-index's header, and only later compares it with how
//! far the log was copied. If the header is news to it, it tells the file to forget mapped pages in between, by the
//! method `xUnfetch`. So that method is replaced in the one connection that is to be held up. Nothing is mapped here, so
//! the method has nothing else to do.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use rusqlite::Connection;
use rusqlite::ffi;

use crate::Result;

/// The two ends that the held-up thread has: it says that it is there, and waits until it may go on.
static GATE: Mutex<Option<(Sender<()>, Receiver<()>)>> = Mutex::new(None);

/// The other two ends.
pub(crate) struct Gate {
    arrived: Receiver<()>,
    go: Sender<()>,
}

impl Gate {
    /// The next call of `xUnfetch` will be held up.
    pub(crate) fn close() -> Gate {
        let ((arrives, arrived), (go, may_go)) = (channel(), channel());
        *GATE.lock().unwrap_or_else(PoisonError::into_inner) = Some((arrives, may_go));
        Gate { arrived, go }
    }

    /// Waits until somebody is held up, or nobody will be any more.
    pub(crate) fn arrived(&self) -> bool {
        self.arrived.recv().is_ok()
    }

    pub(crate) fn open(self) {
        // If nobody is held up there is nobody to tell.
        self.go.send(()).ok();
    }
}

/// Nobody will be held up any more.
pub(crate) fn remove_gate() {
    *GATE.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

unsafe extern "C" fn stalling_unfetch(_: *mut ffi::sqlite3_file, _: i64, _: *mut c_void) -> c_int {
    let gate = GATE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((arrives, may_go)) = gate {
        // Whoever does not listen any more does not want to hold anybody up.
        if arrives.send(()).is_ok() {
            may_go.recv().ok();
        }
    }
    ffi::SQLITE_OK
}

/// Replaces the method in a connection's main database.
pub(crate) fn install(connection: &Connection) -> Result<()> {
    let mut file: *mut ffi::sqlite3_file = ptr::null_mut();
    // SAFETY: the handle is that of an open connection, and the operation writes one pointer to where the last argument
    // points.
    let code = unsafe {
        ffi::sqlite3_file_control(
            connection.handle(),
            c"main".as_ptr(),
            ffi::SQLITE_FCNTL_FILE_POINTER,
            (&raw mut file).cast(),
        )
    };
    if code != ffi::SQLITE_OK || file.is_null() {
        return Err("SQLite does not tell its file".into());
    }
    // SAFETY: the file lives as long as its connection, and nobody else uses this connection now. Its methods are a
    // table of plain pointers, of which it gets a copy that is never freed.
    unsafe {
        let mut methods = *(*file).pMethods;
        methods.xUnfetch = Some(stalling_unfetch);
        (*file).pMethods = Box::leak(Box::new(methods));
    }
    Ok(())
}
