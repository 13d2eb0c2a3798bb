//! What an earlier run left on the local disk: the local state and the end of the spool.

use std::path::{Path, PathBuf};

use ebbtide_replica::ClaimedFile;
use ebbtide_shipper::{Local, spooled_end};
use ebbtide_state::{FileIdentity, Position as Remembered, State};
use ebbtide_wal::Position;
use ebbtide_watcher::Follower;

use super::error::FollowError;
use super::job::Job;

/// The directory of the local state.
pub(crate) fn directory(job: &Job) -> PathBuf {
    job.database.state_directory()
}

/// The database and its local state, as the shipper takes them.
pub(crate) fn local(job: &Job, known: LocalState, follower: &Follower) -> Local {
    let path = &job.database.path;
    let real = path.canonicalize().or_else(|_| std::path::absolute(path));
    let database @ FileIdentity { device, inode } = file_of(follower);
    let file = real.ok().map(|path| ClaimedFile {
        path: path.to_string_lossy().into_owned(),
        device,
        inode,
    });
    let (state, remembered) = known;
    Local {
        state,
        remembered,
        directory: directory(job),
        database: Some(database),
        file,
        host: job.shared.owner.host.clone(),
        page_size: follower.page_size(),
    }
}

/// The local state, if its page hashes add up, and its position in any case.
pub(super) type LocalState = (Option<State>, Option<Remembered>);

/// Opens and verifies the local state of an earlier run.
pub(super) fn open_state(directory: &Path) -> Result<LocalState, FollowError> {
    let Some(state) = State::open(directory)? else { return Ok((None, None)) };
    let remembered = state.position().clone();
    if state.verify()? {
        return Ok((Some(state), Some(remembered)));
    }
    tracing::warn!(directory = %directory.display(), "the local state is not whole; taking it from the replica");
    Ok((None, Some(remembered)))
}

/// The log position to resume at: after the last durable or spooled entry.
pub(super) fn resume_at(known: &Remembered, directory: &Path) -> Option<Position> {
    let spooled = spooled_end(directory).filter(|&(txid, _)| txid > known.state.txid());
    spooled.map(|(_, wal)| wal).or(known.wal)
}

/// The file that has this name now.
pub(super) fn file_at(path: &Path) -> Option<FileIdentity> {
    std::fs::metadata(path).ok().map(|metadata| FileIdentity::of(&metadata))
}

/// The file that a follower has open.
pub(super) fn file_of(follower: &Follower) -> FileIdentity {
    let (device, inode) = follower.file();
    FileIdentity { device, inode }
}
