//! Bringing a replica in step with its database: by reading on, by reading again, or by comparing pages.

use ebbtide_catalog::ResyncDetail;
use ebbtide_replica::{Timestamp, Txid};
use ebbtide_shipper::{
    Attached, Comparison, Consent, Difference, Error, KnownPages, Local, Restored, Resync, Shipper,
    Stranger, Unconfirmed, attach,
};
use ebbtide_watcher::{Follower, Image, Transaction};
use tokio::task::{block_in_place, yield_now};

use super::error::FollowError;
use super::held::Held;
use super::start::{local, wal_position};
use super::{Job, parts};
use crate::clock::now_micros;

/// So many of the newest objects are searched for the state that a database is in, which tells an older one from one that
/// was changed. Where it is known which database it is, it matters only for the record.
const OBJECTS_SEARCHED: usize = 4096;
const OBJECTS_SEARCHED_FOR_RECORD: usize = 64;

/// So many pages are compared before whoever wants something else has a turn.
const COMPARED_AT_ONCE: u32 = 16_384;

/// What is known of the time since the replica's last entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// The log has everything since.
    Resumed,
    /// Nothing; it was this database.
    Missed,
    /// The log has lost something that the replica has.
    Cut,
    /// The database was restored to this earlier state on purpose.
    TakenBack(Restored),
}

/// The page hashes are those of the replica's last entry. If the log proves that nothing is missing, that is all; else
/// the database is compared with them.
pub(crate) async fn in_step(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    past: Past,
) -> Result<Shipper, FollowError> {
    if past != Past::Resumed {
        return compare(job, held, shipper, past).await;
    }
    // The store may have been waited for, and no commit is dated before the claim that it comes after.
    let oldest = held.follower.oldest_uncaptured().unwrap_or(i64::MAX);
    claim(job, held, &mut shipper, now_micros().min(oldest)).await?;
    tracing::info!(database = %job.database.path.display(), txid = %shipper.last().txid, "carrying on where the log was left");
    Ok(shipper)
}

/// Puts the claim behind whatever lies in the spool.
async fn claim(
    job: &Job,
    held: &mut Held,
    shipper: &mut Shipper,
    time: i64,
) -> Result<(), FollowError> {
    let waiting_bytes_max = job.database.waiting_bytes_max();
    held.during(|| waiting_bytes_max, shipper.claim(&job.shared.owner, time), |_| {}).await
}

/// The database as of now, with everything before given up as history.
pub(crate) fn pin_end(follower: &mut Follower) -> Result<(Image, i64), FollowError> {
    let mut pin = follower.pin_image()?;
    let time = now_micros();
    follower.skip_to(&mut pin)?;
    match follower.image(pin)? {
        Ok(image) => Ok((image, time)),
        Err(_) => Err(Error::Changed("the log went on while its end was looked for").into()),
    }
}

/// Sends what differs between the database and its replica, as one entry.
async fn compare(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    past: Past,
) -> Result<Shipper, FollowError> {
    // What lies in the spool comes before: only then the table of hashes is that of the last entry.
    let waiting_bytes_max = job.database.waiting_bytes_max();
    held.during(|| waiting_bytes_max, shipper.settle(), |_| {}).await?;
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let (image, difference) = difference(&shipper, image).await?;
    reconcile(job, held, shipper, past, Compared { image, time, difference }).await
}

/// A database and a replica that is not known to be its own: whether it is, is found out before anything is claimed.
pub(crate) async fn strange(
    job: &Job,
    held: &mut Held,
    stranger: Stranger,
) -> Result<Shipper, FollowError> {
    let turn = job.shared.turn();
    let _turn = held.during(|| u64::MAX, turn, |_| {}).await?;
    let (image, time) = pin_end(&mut held.follower)?;
    let (image, difference) = difference(&stranger, image).await?;
    let past = recognize(job, &stranger, &difference).await?;
    let shipper = stranger.accept().await?;
    reconcile(job, held, shipper, past, Compared { image, time, difference }).await
}

/// Whether a database that nothing is known of may go on in the replica, and as what.
async fn recognize(
    job: &Job,
    stranger: &Stranger,
    found: &Difference,
) -> Result<Past, FollowError> {
    let Consent { adopt, take_back, .. } = job.consent;
    if stranger.is_state(found) {
        return Ok(Past::Missed);
    }
    if let Some(older) = stranger.find_older(found, OBJECTS_SEARCHED).await? {
        if !take_back {
            return Err(Error::Older { head: stranger.head(), found: older }.into());
        }
    } else if !(adopt || take_back || stranger.is_own(&job.shared.owner.host, found)) {
        return Err(stranger.refuse(found).into());
    }
    // What came in between is recorded as a fork.
    Ok(if take_back { Past::Cut } else { Past::Missed })
}

/// A database as it was found, and in what it differs from its replica.
struct Compared {
    image: Image,
    time: i64,
    difference: Difference,
}

/// Claims the replica, and sends what differs.
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
    let is_state = shipper.is_state(&difference, pages);
    // Our own claim says nothing about the time before it.
    let since = shipper.last().time;
    let before = match is_state {
        true => Before::default(),
        false => before(&shipper, &difference, past).await?,
    };
    claim(job, held, &mut shipper, time).await?;
    let wal = wal_position(image.position());
    if is_state {
        tracing::info!(%database, "the database is as the replica has it");
        shipper.stand_at(wal)?;
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
    let resync = Resync { time, detail, database_pages: pages, is_fork, wal };
    block_in_place(|| {
        shipper.resync(resync, &difference, |each| {
            image.for_pages_in::<FollowError>(&difference.pages, each)
        })
    })?;
    Ok(shipper)
}

/// Looks at all pages, some at a time: in between, a process that was told to end can.
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

/// How a database that is not in the state of its replica came to be in its own.
#[derive(Debug, Default)]
struct Before {
    /// The replica has what the database has lost.
    is_fork: bool,
    /// It was set back to the state after this entry…
    set_back_to: Option<Txid>,
    /// …by a restore…
    by_restore: bool,
    /// …and is as that left it, so that nothing was missed.
    is_untouched: bool,
}

impl Before {
    /// As the entry has it, if the replica was up to date at `since`.
    fn detail(&self, since: Timestamp) -> ResyncDetail {
        ResyncDetail {
            since: (!self.is_untouched).then_some(since),
            set_back_to: self.set_back_to,
            by: self.by_restore.then(|| ResyncDetail::RESTORE.to_owned()),
        }
    }
}

/// What became of the database since the replica's last entry.
async fn before(shipper: &Shipper, found: &Difference, past: Past) -> Result<Before, FollowError> {
    if past == Past::Cut {
        return Ok(Before { is_fork: true, ..Before::default() });
    }
    if let Past::TakenBack(to) = past {
        let is_untouched = (to.digest, to.database_pages) == (found.digest, found.database_pages);
        let set_back_to = Some(to.txid);
        return Ok(Before { is_fork: true, set_back_to, by_restore: true, is_untouched });
    }
    match shipper.find_older(found, OBJECTS_SEARCHED_FOR_RECORD).await? {
        None => Ok(Before::default()),
        set_back_to => Ok(Before { is_fork: true, set_back_to, ..Before::default() }),
    }
}

/// The replica has commits of ours that come next in the log: they are read again, and only what comes after is new.
pub(crate) async fn ahead(
    job: &Job,
    held: &mut Held,
    mut shipper: Shipper,
    past: Past,
    unconfirmed: &Unconfirmed,
) -> Result<Shipper, FollowError> {
    let resumed = past == Past::Resumed;
    let mut left = unconfirmed.commits;
    if resumed && left > 0 {
        let replay = |transaction: &mut Transaction<'_>| {
            shipper.replay(transaction.database_pages, |each| {
                transaction.for_each_page::<FollowError>(each)
            })?;
            left -= 1;
            Ok::<_, FollowError>(left > 0)
        };
        job.shared.with_scratch(|scratch| {
            block_in_place(|| held.follower.capture(now_micros(), scratch, replay))
        })?;
    }
    let wal = wal_position(held.follower.position());
    if resumed && left == 0 && shipper.confirm_replay(unconfirmed, wal)? {
        return in_step(job, held, shipper, Past::Resumed).await;
    }
    // The log does not have them any more, so the replica tells the hashes, and the pages are compared.
    let (store, outage, remembered) = (shipper.store(), shipper.outage(), shipper.durable_at());
    shipper.abandon();
    let local = Local {
        remembered: Some(remembered),
        ..local(job, (None, None), held.follower.page_size())
    };
    let options = parts::shipping(&job.database);
    match attach(store, outage, local, &options, job.consent).await? {
        Attached::Rebuilt(shipper) => {
            let past = if past == Past::Cut { Past::Cut } else { Past::Missed };
            in_step(job, held, shipper, past).await
        }
        _ => Err(Error::Changed("the replica changed while it was read").into()),
    }
}
