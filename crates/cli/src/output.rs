//! Results, on standard output, which may be closed or full at any moment.
//!
//! A reader that has seen enough closes it (`ebbtide log | head -1`): nothing more is written then, and the command goes
//! on to its end and its exit code without a word. Any other error means that a result was lost, which is said once, at
//! the end, and is never exit code 0.

use std::fmt::Display;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::escape::{self, Escaped, Form, OneLine};

struct Results {
    out: Option<BufWriter<Stdout>>,
    error: Option<io::Error>,
}

static RESULTS: Mutex<Results> = Mutex::new(Results { out: None, error: None });

/// Writes a line of text.
pub(crate) fn line(line: impl Display) {
    results().write(|out| writeln!(out, "{}", OneLine(line)));
}

/// Writes a document, which is a line.
pub(crate) fn json(document: impl Display) {
    results().write(|out| writeln!(out, "{}", escape::json(&document.to_string())));
}

/// Writes lines that have their ends, and nothing that a terminal would act on.
pub(crate) fn lines(lines: &str) {
    results().write(|out| out.write_all(lines.as_bytes()));
}

/// Standard output as a stream, for what is long. A write fails once nobody reads it any more.
pub(crate) struct Stream {
    /// What a terminal would act on is spelled out there.
    escaped: Option<Escaped<Raw>>,
    raw: Raw,
}

/// Writes bytes as they are.
struct Raw;

impl Stream {
    /// For text, which stays as it is unless it is shown on a terminal.
    pub(crate) fn text() -> Stream {
        let escaped = io::stdout().is_terminal().then(|| Escaped::new(Raw, Form::Text));
        Stream { escaped, raw: Raw }
    }

    /// For bytes that are no text.
    pub(crate) fn bytes() -> Stream {
        Stream { escaped: None, raw: Raw }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.escaped {
            Some(escaped) => escaped.write(bytes),
            None => self.raw.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for Raw {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut results = results();
        results.write(|out| out.write_all(bytes));
        match results.error {
            None => Ok(bytes.len()),
            Some(_) => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows what was written so far: somebody waits for it.
pub(crate) fn flush() {
    let mut results = results();
    if results.out.is_some() {
        results.write(BufWriter::flush);
    }
}

/// Whether nobody can read what is still to come.
pub(crate) fn is_gone() -> bool {
    results().error.is_some()
}

/// Writes what is still buffered; the error by which a result was lost, if one was.
pub(crate) fn finish() -> Option<io::Error> {
    let mut results = results();
    if results.out.is_some() {
        results.write(BufWriter::flush);
    }
    results.error.take_if(|error| error.kind() != ErrorKind::BrokenPipe)
}

fn results() -> MutexGuard<'static, Results> {
    RESULTS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Results {
    fn write(&mut self, write: impl FnOnce(&mut BufWriter<Stdout>) -> io::Result<()>) {
        if self.error.is_none() {
            let out = self.out.get_or_insert_with(|| BufWriter::new(io::stdout()));
            self.error = write(out).err();
        }
    }
}
