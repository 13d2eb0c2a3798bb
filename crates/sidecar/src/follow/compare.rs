//! Compares the pages of a database with its replica, and sends those that differ as one entry.

use ebbtide_catalog::ResyncDetail;
use ebbtide_replica::{Timestamp, Txid};
use ebbtide_shipper::{
    Comparison, Consent, Difference, Error, KnownPages, Resync, Shipper, UnverifiedReplica,
    find_stale,
};
use ebbtide_watcher::{Follower, Image};
use tokio::task::{block_in_place, yield_now};

use super::error::FollowError;
use super::held::Held;
use super::job::Job;
use super::plan::Past;
use crate::clock::now;

/// How many of the newest objects are searched for the database's state, which distinguishes a stale database from one
/// that was changed. If the replica is known to be its own, the result only goes into the resync entry.
const OBJECTS_SEARCHED: usize = 4096;
const OBJECTS_SEARCHED_FOR_RECORD: usize = 64;

/// The number of pages that are compared before the task yields.
const COMPARED_AT_ONCE: u32 = 16_384;

/// Claims the replica, after the segments in the spool.
pub(super) async fn claim(
    job: &Job,
    held: &mut Held,
    shipper: &mut Shipper,
    time: Timestamp,
) -> Result<(), FollowError> {
    let waiting_bytes_max = job.database.waiting_bytes_max();
    held.during(
        || waiting_bytes_max,
        ebbtide_shipper::claim(shipper, &job.shared.owner, time),
        |_| {},
    )
    .await
}

/// Pins the current state of the database. Commits before it are not captured one by one.
pub(crate) fn pin_end(follower: &mut Follower) -> Result<(Image, Timestamp), FollowError> {
    let mut pin = follower.pin_image()?;
    let time = now();
    follower.skip_to(&mut pin)?;
    match follower.image(pin)? {
        Ok(image) => Ok((image, time)),
        Err(_) => Err(Error::Changed("the log went on while its end was looked for").into()),
    }
}

/// Compares the database with its replica, and sends the pages that differ as one entry.
pub(super) async fn compare(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    past: Past,
) -> Result<Shipper, FollowError> {
    // The spooled segments must be durable first: the table has the hashes of the durable position.
    let waiting_bytes_max = job.database.waiting_bytes_max();
    held.during(|| waiting_bytes_max, shipper.settle(), |_| {}).await?;
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let (image, difference) = difference(&shipper, image).await?;
    reconcile(job, held, shipper, past, Compared { image, time, difference }).await
}

/// Checks whether the replica is the database's own, and claims it only then.
pub(crate) async fn verify_ownership(
    job: &Job,
    held: &mut Held,
    replica: UnverifiedReplica,
) -> Result<Shipper, FollowError> {
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let (image, difference) = difference(&replica, image).await?;
    let past = recognize(job, &replica, &difference).await?;
    let shipper = replica.accept().await?;
    reconcile(job, held, shipper, past, Compared { image, time, difference }).await
}

/// Whether a database without local state may continue the replica, and with which history.
async fn recognize(
    job: &Job,
    replica: &UnverifiedReplica,
    found: &Difference,
) -> Result<Past, FollowError> {
    let Consent { adopt, take_back, .. } = job.consent;
    if replica.is_state(found) {
        return Ok(Past::Missed);
    }
    if let Some(stale) =
        find_stale(&**replica.store(), replica.manifest(), found, OBJECTS_SEARCHED).await?
    {
        if !take_back {
            return Err(Error::Stale { head: replica.head(), found: stale }.into());
        }
    } else if !(adopt || take_back || replica.is_own(&job.shared.owner.host, found)) {
        return Err(replica.refuse(found).into());
    }
    // With --take-back the later entries of the replica become a fork.
    Ok(if take_back { Past::TakenBack } else { Past::Missed })
}

/// A pinned state of the database, and its difference from the replica.
struct Compared {
    image: Image,
    time: Timestamp,
    difference: Difference,
}

/// Claims the replica, and sends the pages that differ.
async fn reconcile(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    past: Past,
    found: Compared,
) -> Result<Shipper, FollowError> {
    let Compared { image, time, difference } = found;
    let database = job.database.path.display();
    let pages = image.database_pages();
    let is_state = shipper.is_state(&difference);
    // Before the claim: its time says nothing about the commits before it.
    let since = shipper.last().time;
    let before = match is_state {
        true => Before::default(),
        false => before(&shipper, &difference, past).await?,
    };
    claim(job, held, &mut shipper, time).await?;
    let wal = image.position();
    if is_state {
        tracing::info!(%database, "the database is as the replica has it");
        shipper.set_wal_position(wal)?;
        return Ok(shipper);
    }
    let pages_differ = difference.count;
    let is_fork = before.is_fork;
    if is_fork {
        tracing::warn!(%database, pages = pages_differ, set_back_to = before.set_back_to.map(|txid| txid.to_string()), "the replica has more than the database, which was set back; a fork is recorded");
    } else {
        tracing::info!(%database, pages = pages_differ, "the database changed while nobody looked; sending the pages that differ");
    }
    let detail = before.detail(since);
    let counts = job.status.counts();
    counts.forks.add(u64::from(is_fork));
    counts.gaps.add(u64::from(detail.since.is_some()));
    let resync = Resync { time, detail, database_pages: pages, is_fork, wal };
    block_in_place(|| {
        resync.append(&mut shipper, &difference, |each| {
            image.for_pages_in::<FollowError>(&difference.pages, each)
        })
    })?;
    Ok(shipper)
}

/// Compares all pages. Yields in between, so that the task can be stopped.
async fn difference(
    there: &impl KnownPages,
    image: Image,
) -> Result<(Image, Difference), FollowError> {
    let mut comparison = Comparison::default();
    let end = image.database_pages().saturating_add(1);
    let mut first = 1;
    while first < end {
        let pages = first..end.min(first.saturating_add(COMPARED_AT_ONCE));
        first = pages.end;
        block_in_place(|| {
            comparison.look(there, |each| {
                image.for_pages_in::<FollowError>(std::slice::from_ref(&pages), each)
            })
        })?;
        yield_now().await;
    }
    Ok((image, comparison.finish(there)?))
}

/// Why the database differs from its replica.
#[derive(Debug, Default)]
struct Before {
    /// The replica has commits that the database has lost.
    is_fork: bool,
    /// It was set back to the state after this entry…
    set_back_to: Option<Txid>,
    /// …by a restore…
    by_restore: bool,
    /// …and was not changed since, so that no commits are missing.
    is_untouched: bool,
}

impl Before {
    /// The detail of the resync entry. `since` is the time of the replica's last entry.
    fn detail(&self, since: Timestamp) -> ResyncDetail {
        ResyncDetail {
            since: (!self.is_untouched).then_some(since),
            set_back_to: self.set_back_to,
            by: self.by_restore.then(|| ResyncDetail::RESTORE.to_owned()),
        }
    }
}

/// Finds out why the database differs from its replica.
async fn before(shipper: &Shipper, found: &Difference, past: Past) -> Result<Before, FollowError> {
    match past {
        Past::Truncated | Past::TakenBack => {
            return Ok(Before { is_fork: true, ..Before::default() });
        }
        Past::Restored(to) => {
            let is_untouched =
                (to.digest, to.database_pages) == (found.digest, found.database_pages);
            let set_back_to = Some(to.txid());
            return Ok(Before { is_fork: true, set_back_to, by_restore: true, is_untouched });
        }
        Past::Missed => {}
    }
    let presence = shipper.presence();
    let (store, manifest) = (presence.store(), presence.manifest());
    match find_stale(&**store, manifest, found, OBJECTS_SEARCHED_FOR_RECORD).await? {
        None => Ok(Before::default()),
        set_back_to => Ok(Before { is_fork: true, set_back_to, ..Before::default() }),
    }
}
