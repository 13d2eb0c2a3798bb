//! One database, followed from its log into its replica: where the watcher and the shipper meet.
//!
//! A *session* begins with taking hold of the log, before the store is asked for anything, so that nothing is missed
//! while that takes its time. It ends when it is told to, or by an error. What passes is followed by another session,
//! which begins where the store's last confirmation stands; what does not pass ends the database's task.

mod error;
mod lag;
mod owed;
mod pace;
mod session;
mod shared;
mod snapshots;
mod start;
mod status;

use std::time::Duration;

use tokio::sync::watch;

use crate::config::Database;

pub use error::FollowError;
pub(crate) use error::chain;
pub use shared::Shared;
pub use status::{Phase, Progress, Sight, Status, Statuses};

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
    /// What is asked.
    pub order: watch::Receiver<Order>,
    /// Where progress is told.
    pub status: Status,
}

/// How long to wait before the first, and at most before a later, attempt to follow again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A session that lasted this long had nothing to do with the trouble before it.
const STEADY: Duration = Duration::from_secs(60);

/// Follows a database until it is ordered to finish and everything committed by then is durable.
///
/// # Errors
/// What no further attempt would mend: the replica is another writer's, or the database cannot be followed.
pub async fn follow(mut job: Job) -> Result<(), FollowError> {
    let mut pause = PAUSE;
    let mut ran = false;
    loop {
        let began = tokio::time::Instant::now();
        let error = match session::run(&mut job, &mut ran).await {
            Ok(()) => {
                job.status.set(Phase::Ended);
                return Ok(());
            }
            Err(error) => error,
        };
        let finishing = *job.order.borrow() == Order::Finish;
        if error.is_final(ran) || (finishing && !error.is_worth_one_more()) {
            job.status.stop(&error);
            return Err(error);
        }
        if began.elapsed() >= STEADY {
            pause = PAUSE;
        }
        job.status.fail(&error);
        tracing::warn!(database = %job.database.path.display(), error = %chain(&error), "following again in {pause:?}");
        wait(&mut job.order, pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
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
