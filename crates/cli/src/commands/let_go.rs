//! A restore over a database that a running `replicate` follows: that lets it go for as long as the restore takes.

use std::path::Path;
use std::time::Duration;

use super::status::gather;
use super::sync::find;
use crate::exit::{Code, Failure};
use ebbtide_sidecar::control::{LetGo, let_go, peers};

/// How long a process may take to make everything durable and close the database.
const PATIENCE: Duration = Duration::from_secs(60);

/// Has the process that follows `database` let it go, if there is one.
pub(super) fn of_its_process(database: &Path) -> Result<Option<LetGo>, Failure> {
    let (reports, _) = gather();
    let Some(report) = find(database, &reports) else { return Ok(None) };
    let peer = peers().into_iter().find(|peer| Some(peer.process) == report.process);
    let Some(peer) = peer else { return Ok(None) };
    let fail = |why: String| {
        let why = format!(
            "process {} follows {} and does not let it go ({why}): stop that first",
            peer.process,
            database.display()
        );
        Failure::new(Code::Failed, why)
    };
    match let_go(&peer, &report.database, PATIENCE) {
        Ok(Ok(let_go)) => Ok(Some(let_go)),
        Ok(Err(why)) => Err(fail(why)),
        Err(error) => Err(fail(error.to_string())),
    }
}
