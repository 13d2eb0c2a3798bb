//! One database, followed from its log into its replica: where the watcher and the shipper meet.
//!
//! A *session* begins with taking hold of the log, before the store is asked for anything, so that nothing is missed
//! while that takes its time. It ends when it is told to, or by an error. What passes is followed by another session,
//! which begins where the store's last confirmation stands; what does not pass ends the database's task.

mod awaited;
mod catch_up;
mod compare;
mod create;
mod end;
mod error;
mod held;
mod lag;
mod local;
mod log_event;
mod pace;
mod parts;
mod plan;
mod release;
mod replica_check;
mod rest;
mod rest_timer;
mod session;
mod shared;
mod snapshots;
mod start;
mod starts;
mod status;
mod sync_requests;
mod verdict;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use ebbtide_config::Database;
use ebbtide_replica::Key;
use ebbtide_store::error_chain;
use futures::FutureExt as _;
use tokio::sync::watch;

pub use ebbtide_shipper::Consent;
pub use error::{FollowError, Gravity};
pub(crate) use release::Wanted;
pub use release::follow;
pub use shared::Shared;
pub use status::{Phase, Progress, Status, StoreAndLog};
use verdict::{Awaits, Ending, HoldAfter, Verdict, verdict};

/// What a task is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Follow until further notice.
    Run,
    /// Bring the replica up to what is committed now, then end.
    Finish,
}

/// One database's task.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to follow, and how.
    pub database: Database,
    /// What the tasks of a process share.
    pub shared: Shared,
    /// What else than its own replica the database may be followed into, at the first start.
    pub consent: Consent,
    /// Whether it is asked to end from the beginning.
    pub is_once: bool,
    /// What is asked.
    pub order: watch::Receiver<Order>,
    /// Where progress is told.
    pub status: Status,
    /// While another process follows the database, wait for it to end: an application of ours has it open by then, and
    /// nobody else would follow that.
    pub is_successor: bool,
    /// Whether a database that is not there yet is waited for.
    pub may_come: bool,
}

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
async fn follow_on(mut job: Job) -> Result<(), FollowError> {
    let mut pause = PAUSE;
    let mut held = None;
    loop {
        let began = tokio::time::Instant::now();
        let before = awaited::Looks::of(&job.database.path);
        // A panic ends this database's session and nobody else's.
        let session = AssertUnwindSafe(session::run(&mut job, &mut held));
        let ended = session.catch_unwind().await;
        // Also if that was before it was released for a restore.
        let ran = job.status.was_followed();
        let error = match ended.unwrap_or_else(|panic| Err(FollowError::panicked(&*panic))) {
            Ok(()) => {
                job.status.set(Phase::Ended);
                return Ok(());
            }
            Err(error) if ran || job.may_come => error,
            Err(error) => error.of_absent(),
        };
        let ending = Ending {
            was_followed: ran,
            has_begun: job.status.has_begun(),
            may_come: job.may_come,
            is_successor: job.is_successor,
            is_finishing: *job.order.borrow() == Order::Finish,
            session: &job.shared.owner.session,
        };
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
        let is_news = job.status.get().error.as_ref() != Some(&error_chain(&error));
        job.status.fail(&error);
        match awaits {
            Awaits::Database => {
                if is_news {
                    tracing::warn!(%database, error = %error_chain(&error), "following once it has changed");
                }
                awaited::wait_for_change(&mut job.order, &job.database.path, &before).await;
            }
            Awaits::Nothing if began.elapsed() >= PAUSE => {
                tracing::warn!(%database, error = %error_chain(&error), "following again: the file that has the name now");
            }
            Awaits::Nothing | Awaits::Pause | Awaits::Store | Awaits::OtherProcess => {
                tracing::warn!(%database, error = %error_chain(&error), "following again in {pause:?}");
                wait(&mut job.order, pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
}

/// Waits until the store answers.
async fn wait_for_store(job: &mut Job) -> Result<(), FollowError> {
    loop {
        wait(&mut job.order, ASK_AGAIN).await;
        if *job.order.borrow() == Order::Finish {
            return Err(FollowError::LogReleased);
        }
        let asked = async {
            let store = job.database.location.open().await?;
            store.size(&Key::Manifest).await
        };
        match asked.await {
            Ok(_) => return Ok(()),
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
    }
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
