//! Carries out what a start has decided: opens the replica as the plan says, and brings it up to date with its database.

use std::sync::Arc;

use ebbtide_replica::Timestamp;
use ebbtide_shipper::{
    Creator, Error, Found, Local, Shipper, Unconfirmed, UnverifiedReplica, look,
};
use ebbtide_watcher::{LogEvidence, Transaction};
use tokio::task::block_in_place;

use super::compare::{claim, compare, verify_ownership};
use super::create::create;
use super::error::FollowError;
use super::held::Held;
use super::job::Job;
use super::local::local;
use super::parts;
use super::plan::{Hashes, Past, StartPlan, start_plan};
use crate::clock::now;

/// A replica that was opened as planned, with what is left to do.
pub(super) enum Opened {
    /// Make the first snapshot.
    Create(Creator),
    /// Claim it, and read the log on.
    Continue(Shipper),
    /// Replay these commits from the log.
    Replay(Shipper, Unconfirmed),
    /// Compare the database with it.
    Compare(Shipper, Past),
    /// Find out whether it is the database's own.
    Verify(UnverifiedReplica),
}

/// Opens the replica that was found.
pub(super) async fn open(found: Found, plan: StartPlan) -> Result<Opened, Error> {
    Ok(match plan {
        StartPlan::Create => Opened::Create(found.create()?),
        StartPlan::Continue | StartPlan::SendSpool => Opened::Continue(found.resume().await?),
        StartPlan::Replay => {
            let (shipper, unconfirmed) = found.replay().await?;
            Opened::Replay(shipper, unconfirmed)
        }
        StartPlan::Compare { hashes: Hashes::Local, past } => {
            Opened::Compare(found.resume().await?, past)
        }
        StartPlan::Compare { hashes: Hashes::Replica, past } => {
            Opened::Compare(found.rebuild().await?, past)
        }
        StartPlan::Verify => Opened::Verify(found.verify().await?),
        StartPlan::Refuse(refusal) => return Err(found.refuse(refusal)),
    })
}

/// Brings the replica up to date.
pub(super) async fn catch_up(
    job: &Job,
    held: &mut Held,
    opened: Opened,
) -> Result<Shipper, FollowError> {
    match opened {
        Opened::Create(creator) => create(job, held, creator).await,
        Opened::Continue(shipper) => carry_on(job, held, shipper).await,
        Opened::Replay(shipper, unconfirmed) => replay(job, held, shipper, unconfirmed).await,
        Opened::Compare(shipper, past) => compare(job, held, shipper, past).await,
        Opened::Verify(replica) => verify_ownership(job, held, replica).await,
    }
}

/// Claims the replica: the log has all commits since its last entry.
async fn carry_on(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
) -> Result<Shipper, FollowError> {
    // Times ascend within a replica, so the claim must not be later than the first uncaptured commit.
    let oldest = held.follower.oldest_uncaptured().unwrap_or(Timestamp::MAX);
    claim(job, held, &mut shipper, now().min(oldest)).await?;
    tracing::info!(database = %job.database.path.display(), txid = %shipper.last().txid, "carrying on where the log was left");
    Ok(shipper)
}

/// Replays the unconfirmed commits from the log, to update the page hashes. Later commits are then captured as usual.
async fn replay(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    mut unconfirmed: Unconfirmed,
) -> Result<Shipper, FollowError> {
    if unconfirmed.left() > 0 {
        let replay = |transaction: &mut Transaction<'_>| {
            unconfirmed.replay(&mut shipper, transaction.database_pages, |each| {
                transaction.for_each_page::<FollowError>(each)
            })?;
            Ok::<_, FollowError>(unconfirmed.left() > 0)
        };
        job.shared.with_scratch(|scratch| {
            block_in_place(|| held.follower.capture(now(), scratch, replay))
        })?;
    }
    let wal = held.follower.position();
    if unconfirmed.left() == 0 && unconfirmed.confirm(&mut shipper, wal)? {
        return carry_on(job, held, shipper).await;
    }
    compare_with_replica(job, held, shipper).await
}

/// Starts again without the local state, because the log has other commits than the replica.
async fn compare_with_replica(
    job: &Job,
    held: &mut Held,
    shipper: Shipper,
) -> Result<Shipper, FollowError> {
    let presence = Arc::clone(shipper.presence());
    let (store, health) = (Arc::clone(presence.store()), Arc::clone(presence.store_health()));
    let remembered = shipper.durable().clone();
    drop(shipper);
    let local = Local { remembered: Some(remembered), ..local(job, (None, None), &held.follower) };
    let found = look(store, health, local, &parts::shipping(job), job.consent).await?;
    let plan = start_plan(&found.evidence(), LogEvidence::Restarted, job.consent);
    match open(found, plan).await? {
        Opened::Compare(shipper, past) => compare(job, held, shipper, past).await,
        _ => Err(Error::UNEXPECTED.into()),
    }
}
