//! What a running process answered to a command.

use std::io;

use ebbtide_sidecar::control::{Answer, Peer};

/// The answer, if it is of the kind that `wanted` takes; nothing if the process is gone.
///
/// # Errors
/// With the process, and why it gave no such answer.
pub(super) fn answered<T>(
    peer: &Peer,
    answer: io::Result<Option<Answer>>,
    wanted: impl FnOnce(Answer) -> Option<T>,
) -> Result<Option<T>, String> {
    let process = peer.process;
    match answer {
        Ok(None) => Ok(None),
        Ok(Some(Answer::Refused(why))) => Err(format!("process {process}: {why}")),
        Ok(Some(answer)) => match wanted(answer) {
            Some(answer) => Ok(Some(answer)),
            None => Err(format!("process {process} answers another question")),
        },
        Err(error) => Err(format!("process {process}: {error}")),
    }
}
