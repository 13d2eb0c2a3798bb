//! Standard error, which may be closed, full, or a pipe that nobody empties: none of that ends or delays what is logged
//! about.
//!
//! A line that could not be written is counted, with the newest reason, and `ebbtide status` shows both.

use ebbtide_sidecar::LostLines;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::redact::redacted;

/// A pipe that is ready takes so many bytes without blocking: `PIPE_BUF` of Linux (pipe(7)).
const CHUNK_BYTES: usize = 4096;

/// How long a line waits for its reader. While that reader does not read, the next lines do not wait at all.
const PATIENCE: Duration = Duration::from_millis(100);

struct State {
    lost: Option<LostLines>,
    is_stuck: bool,
}

static STATE: Mutex<State> = Mutex::new(State { lost: None, is_stuck: false });

/// What was lost so far.
pub(crate) fn lost() -> Option<LostLines> {
    state().lost.clone()
}

/// Writes whole lines to standard error, and never fails.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LogWriter {
    /// Whether a reader that does not read is waited for, however long that takes: so commands do that a person waits
    /// for. A process that follows databases has better things to do.
    pub(crate) is_patient: bool,
}

impl LogWriter {
    /// Writes a line, or counts it as lost.
    pub(crate) fn line(self, line: &[u8]) {
        let mut state = state();
        let patience = match (self.is_patient, state.is_stuck) {
            (true, _) => None,
            (false, true) => Some(Duration::ZERO),
            (false, false) => Some(PATIENCE),
        };
        let written = deliver(&redacted(line), patience);
        state.is_stuck = written.as_ref().is_err_and(|error| error.kind() == ErrorKind::TimedOut);
        if let Err(error) = written {
            let lines = state.lost.as_ref().map_or(0, |lost| lost.lines) + 1;
            state.lost = Some(LostLines { lines, error: error.to_string() });
        }
    }
}

impl Write for LogWriter {
    /// Takes each line as a whole: so they come from the subscriber, which would panic on an error.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes all of it within `patience`; nothing limits that without one.
fn deliver(mut text: &[u8], patience: Option<Duration>) -> io::Result<()> {
    let deadline = patience.map(|patience| Instant::now() + patience);
    let mut stderr = io::stderr().lock();
    while !text.is_empty() {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        wait_until_ready(&stderr, left)?;
        match stderr.write(&text[..text.len().min(CHUNK_BYTES)]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => text = &text[count..],
            // Somebody else has set it non-blocking, and the pipe filled up in between.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_until_ready(stderr: &io::StderrLock<'_>, left: Option<Duration>) -> io::Result<()> {
    let timeout = match left {
        None => PollTimeout::NONE,
        Some(left) => PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX),
    };
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut descriptors, timeout) {
        Ok(0) => Err(io::Error::new(ErrorKind::TimedOut, "nobody reads the log")),
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
