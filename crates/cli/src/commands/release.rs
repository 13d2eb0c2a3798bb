//! Restoring over a database that a running `replicate` follows: that process releases the database until the restore
//! ends.

use std::path::Path;
use std::time::Duration;

use super::status::gather;
use super::sync::find;
use crate::exit::{Code, Failure};
use ebbtide_sidecar::control::{Peer, ReleasedDatabase, Report, peers, release};
use ebbtide_sidecar::follow::Phase;

/// How long a process may take to make all commits durable and close the database.
const PATIENCE: Duration = Duration::from_secs(60);

/// Asks the process that follows `database`, if there is one, to release it.
pub(super) fn of_its_process(database: &Path) -> Result<Option<ReleasedDatabase>, Failure> {
    let (reports, _) = gather();
    // One that was let go or given up has no file open any more.
    let is_open = |report: &&Report| !matches!(report.phase, Some(Phase::Ended | Phase::Stopped));
    let Some(report) = find(database, &reports).filter(is_open) else { return Ok(None) };
    let is_its = |peer: &Peer| {
        Some(peer.process) == report.process && peer.may_tell_of(Path::new(&report.database))
    };
    let peer = peers().into_iter().find(is_its);
    let Some(peer) = peer else { return Ok(None) };
    let fail = |why: String| {
        let why = format!(
            "process {} follows {} and does not let it go ({why}): stop that first",
            peer.process,
            database.display()
        );
        Failure::new(Code::Failed, why)
    };
    match release(&peer, &report.database, PATIENCE) {
        Ok(Ok(released)) => Ok(Some(released)),
        Ok(Err(why)) => Err(fail(why)),
        Err(error) => Err(fail(error.to_string())),
    }
}
