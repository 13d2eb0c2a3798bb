//! Claims: entries by which a process takes the replica over, or confirms a snapshot.

use ebbtide_fault::point;
use ebbtide_replica::{EntryFlags, EntryKind, Timestamp, Vouch};
use ebbtide_store::Store;

use crate::commit::Blocking;
use crate::entry::NewEntry;
use crate::error::Error;
use crate::owner::Owner;
use crate::pages::EachPage;
use crate::shipper::Shipper;

/// Claims the replica: a process that wrote into it before is fenced at its next put. Returns once the claim is
/// durable.
///
/// # Errors
/// [`Error::Fenced`] when another process claimed the replica first.
pub async fn claim(shipper: &mut Shipper, owner: &Owner, time: Timestamp) -> Result<(), Error> {
    let last = shipper.position().state.time();
    let time = time.max(last);
    append(shipper, time, owner.claim(time, shipper.file().cloned()).to_detail()?)?;
    shipper.flush()?;
    point("shipper.claim.sent");
    // Segments in the spool are put before the claim, so a conflict with another writer shows before the claim.
    shipper.settle().await?;
    point("shipper.claim.landed");
    shipper.sync()?;
    sweep(&**shipper.presence().store()).await;
    Ok(())
}

/// Vouches for durable snapshots and deltas: appends a claim with the hashes of their contents, so that the chain covers
/// their pages. The claim is sent with the next segment.
///
/// # Errors
/// As [`Shipper::append`].
pub fn vouch(shipper: &mut Shipper, owner: &Owner, vouches: &[Vouch]) -> Result<(), Error> {
    let time = shipper.position().state.time();
    let claim = owner.claim(time, shipper.file().cloned());
    append(shipper, time, Vouch::to_detail(vouches, Some(&claim))?)
}

fn append(shipper: &mut Shipper, time: Timestamp, detail: Vec<u8>) -> Result<(), Error> {
    let claim = NewEntry {
        kind: EntryKind::Claim,
        flags: EntryFlags::NONE,
        time,
        database_pages: shipper.position().state.database_pages,
        detail,
        expected: 0,
        wal: None,
    };
    shipper.append_entry(&claim, Blocking::Allowed, |_: &mut EachPage<'_, Error>| Ok(()))
}

/// Aborts unfinished multipart uploads. None belongs to a running process: the claim has fenced other writers.
pub(crate) async fn sweep(store: &dyn Store) {
    match store.sweep().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "removed what unfinished uploads left behind"),
        Err(error) => tracing::warn!(%error, "cannot remove what unfinished uploads left behind"),
    }
}
