//! What the commands that take a database elsewhere have in common: what is said, and where it goes.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use ebbtide_export::{ExportError, Finding, FindingKind};

use crate::exit::{Code, Failure};
use crate::new_file::NewFile;
use crate::reading::OneState;
use crate::{logging, output};

/// Whether what was read by now was one state, as the end of a script asks.
pub(crate) fn still_one_state(reading: &OneState) -> impl Fn() -> Result<(), ExportError> {
    || {
        let checked = reading.check();
        checked.map_err(|failure| ExportError::Write(io::Error::other(failure.to_string())))
    }
}

/// Says what there is to say, a line each.
pub(crate) fn tell<'a>(findings: impl Iterator<Item = &'a Finding>) {
    for finding in findings {
        let count = finding.count.map_or(String::new(), |count| format!(" ({count})"));
        let word = finding.word.as_ref().map_or(String::new(), |word| format!("; {word}"));
        logging::note(format_args!("{}{count}{word}", finding.what));
    }
}

/// Refuses what needs a word.
pub(crate) fn refuse(refusals: usize) -> Result<(), Failure> {
    if refusals == 0 {
        return Ok(());
    }
    let things = if refusals == 1 { "one thing needs" } else { "several things need" };
    let why = format!("{things} a word (see above): nothing was written");
    Err(Failure::new(Code::NotAllowed, why))
}

/// How many of them need a word.
pub(crate) fn refusals<'a>(findings: impl Iterator<Item = &'a Finding>) -> usize {
    findings.filter(|finding| finding.kind == FindingKind::Refused).count()
}

/// Has `write` write into a file that appears when it is whole, or to standard output. A reader that has seen enough ends
/// it, and that is no error.
pub(crate) fn write_to<T>(
    reading: &OneState,
    target: Option<&Path>,
    force: bool,
    write: impl FnOnce(&mut dyn Write) -> Result<T, ExportError>,
) -> Result<Option<T>, Failure> {
    let Some(target) = target else {
        return match write(&mut output::Stream::text()) {
            Ok(done) => Ok(Some(done)),
            Err(ExportError::Write(_)) if output::is_gone() => Ok(None),
            Err(error) => Err(reading.failure(error)),
        };
    };
    let new = NewFile::create(target, force)?;
    let mut out = BufWriter::with_capacity(1 << 18, new.file());
    let done = write(&mut out).map_err(|error| reading.failure(error))?;
    let flushed = out.flush().map_err(|error| reading.failure(error.into()));
    drop(out);
    flushed?;
    new.publish()?;
    Ok(Some(done))
}
