//! The task of one database: one session after the other, until the order is to finish or an error is final.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ebbtide_replica::Key;
use ebbtide_store::error_chain;
use futures::FutureExt as _;
use tokio::sync::watch;

use super::awaited::{Looks, wait_for_change};
use super::error::FollowError;
use super::held::Held;
use super::job::{Job, Order};
use super::last_commits::is_missing;
use super::nature::{Awaits, HoldAfter};
use super::phase::Phase;
use super::removed::mark_removed;
use super::session;
use super::verdict::{Ending, Verdict, verdict};

/// How long to wait before the first, and at most before a later, attempt to follow again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A session that lasted this long had nothing to do with the trouble before it.
const STEADY: Duration = Duration::from_secs(60);

/// How often to ask for a store that was away for too long.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Follows a database until it is ordered to finish and everything committed by then is durable.
///
/// # Errors
/// What no further attempt would mend: the replica is another writer's, or the database cannot be followed.
pub(super) async fn follow_on(mut job: Job) -> Result<(), FollowError> {
    let mut pause = PAUSE;
    let mut held = None;
    loop {
        let began = tokio::time::Instant::now();
        let before = Looks::of(&job.database.path);
        // A panic ends this database's session and nobody else's.
        let session = AssertUnwindSafe(session::run(&mut job, &mut held));
        let ended = session.catch_unwind().await;
        // Also if that was before it was released for a restore.
        let ran = job.status.was_followed();
        let error = match ended.unwrap_or_else(|panic| Err(FollowError::panicked(&*panic))) {
            Ok(()) => return end(&job).await,
            Err(error) if ran || job.may_come => error,
            Err(error) => error.of_absent(),
        };
        let ending = Ending {
            was_followed: ran,
            has_begun: job.status.has_begun(),
            may_come: job.may_come,
            is_successor: job.is_successor,
            is_finishing: job.order.borrow().ends(),
            session: &job.shared.owner.session,
        };
        let seen =
            LastSession { is_gone: error.is_gone(), was_followed: ran, was_held: held.is_some() };
        if let Some(ended) = ended_with_its_file(&job, seen).await {
            return ended;
        }
        let verdict = verdict(&error, &ending);
        let Verdict::Retry { hold, awaits } = verdict else {
            job.status.stop(&error);
            return Err(error);
        };
        match (hold, &mut held) {
            (HoldAfter::Released, held) => *held = None,
            (HoldAfter::GivenUp, Some(held)) => held.is_given_up = true,
            (HoldAfter::GivenUp, None) | (HoldAfter::Kept, _) => {}
        }
        if verdict.is_fresh(began.elapsed(), STEADY) {
            pause = PAUSE;
        }
        let database = job.database.path.display();
        if awaits == Awaits::Store {
            job.status.log_released(&error);
            tracing::error!(%database, "{error}; waiting for the store");
            wait_for_store(&mut job).await?;
            continue;
        }
        let is_news = job.status.noted(|noted| noted.error != Some(error_chain(&error)));
        job.status.fail(&error);
        match awaits {
            Awaits::Database => {
                if is_news {
                    tracing::warn!(%database, error = %error_chain(&error), "following once it has changed");
                }
                wait_for_change(&mut job.order, &job.database.path, &before).await;
            }
            Awaits::Nothing if began.elapsed() >= PAUSE => {
                tracing::warn!(%database, error = %error_chain(&error), "following again: the file that has the name now");
            }
            _ => {
                tracing::warn!(%database, error = %error_chain(&error), "following again in {pause:?}");
                wait_holding(&mut job, &mut held, pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// What was seen of a database when its session ended.
#[derive(Debug, Clone, Copy)]
struct LastSession {
    /// Its file is gone.
    is_gone: bool,
    /// It was followed.
    was_followed: bool,
    /// Its log was held.
    was_held: bool,
}

/// The end of a database whose file is gone, once it is to end: whether everything that was seen of it is durable.
async fn ended_with_its_file(job: &Job, seen: LastSession) -> Option<Result<(), FollowError>> {
    let order = *job.order.borrow();
    let is_gone = seen.is_gone || is_missing(&job.database.path);
    if !is_gone || !(order == Order::LetGo || order.ends() && seen.was_followed) {
        return None;
    }
    let txid = |point: Option<ebbtide_replica::Point>| point.map(|point| point.txid);
    let (captured, durable) = job.status.noted(|noted| (txid(noted.captured), txid(noted.durable)));
    // One that was there for a moment only is let go with a word.
    let is_failing = job.status.noted(|noted| noted.phase == Phase::Failing);
    let why = match durable {
        _ if captured > durable => {
            Some("the database is gone, and the store has not got its last commits")
        }
        None if is_failing && seen.was_held => Some(
            "the database is gone, and was not followed before: its last commits may be in no replica",
        ),
        _ => None,
    };
    if let Some(why) = why {
        let error = FollowError::Undurable(why.to_owned());
        job.status.stop(&error);
        return Some(Err(error));
    }
    Some(end(job).await)
}

/// The end of a database of which everything is durable.
async fn end(job: &Job) -> Result<(), FollowError> {
    mark_removed(job).await;
    job.status.set(Phase::Ended);
    Ok(())
}

/// Waits until the store answers.
async fn wait_for_store(job: &mut Job) -> Result<(), FollowError> {
    loop {
        wait(&mut job.order, ASK_AGAIN).await;
        if job.order.borrow().ends() {
            return Err(FollowError::LogReleased);
        }
        let asked = async {
            let store = job.status.metered(job.database.location.open().await?);
            store.size(&Key::Manifest).await
        };
        match asked.await {
            Ok(_) => return Ok(()),
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
    }
}

/// Waits, as [`wait`] does. A log that stays held is let go once it is longer than what may wait in the log and in the spool:
/// what keeps its database from being followed is not to fill the disk.
async fn wait_holding(job: &mut Job, held: &mut Option<Held>, pause: Duration) {
    let until = tokio::time::Instant::now() + pause;
    if let Some(holding) = held.as_mut().filter(|held| !held.follower.is_resting()) {
        let bytes_max = job.database.waiting_bytes_max();
        let waiting = async {
            wait(&mut job.order, pause).await;
            Ok::<(), FollowError>(())
        };
        let Err(error) = holding.during(|| bytes_max, waiting, |_| {}).await else { return };
        *held = None;
        let database = job.database.path.display();
        match error {
            FollowError::LogReleased => tracing::error!(
                %database,
                bytes_max,
                "the log is longer than log-max and spool-max allow, and the database cannot be followed: the log is let go, and what is in it is found by a comparison later"
            ),
            error => tracing::warn!(%database, error = %error_chain(&error), "the log is let go"),
        }
    }
    wait(&mut job.order, until.saturating_duration_since(tokio::time::Instant::now())).await;
}

/// Waits, but not longer than until something else is ordered.
async fn wait(order: &mut watch::Receiver<Order>, pause: Duration) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        changed = order.changed() => if changed.is_err() {
            tokio::time::sleep(pause).await;
        },
    }
}
