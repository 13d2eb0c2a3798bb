//! A database that is let go for a while: a restore replaces its file, and it is followed again afterwards.
//!
//! Whoever wants it let go holds a [`Wanted`]. The task ends its session as at an end of the process, with everything
//! durable and no file open; once nobody wants it any more, it begins another one. A restore that dies drops its
//! connection, and with it what it wanted.

use std::pin::pin;

use tokio::sync::watch;

use ebbtide_store::error_chain;

use super::error::FollowError;
use super::job::{Job, Order};
use super::phase::Phase;
use super::releases::State;
use super::status::Status;
use super::task::follow_on;

/// Somebody wants the database let go, as long as this exists.
#[derive(Debug)]
pub(crate) struct Wanted(Status);

impl Wanted {
    /// Asks for the database to be let go.
    pub(crate) fn new(status: &Status) -> Wanted {
        status.releases().0.send_modify(|state| state.wanted += 1);
        Wanted(status.clone())
    }

    /// Waits until nothing of it is open.
    pub(crate) async fn released(&self) {
        let mut states = self.0.releases().0.subscribe();
        // The sender lives as long as the status that we have.
        if states.wait_for(|state| state.is_released).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.releases().0.send_modify(|state| state.wanted = state.wanted.saturating_sub(1));
    }
}

/// Follows a database until it is ordered to finish and everything committed by then is durable. Whenever somebody wants
/// it let go, it is, and followed again afterwards.
///
/// # Errors
/// What no further attempt would mend: the replica is another writer's, or the database cannot be followed.
pub async fn follow(job: Job) -> Result<(), FollowError> {
    let mut order = job.order.clone();
    let status = job.status.clone();
    let mut states = status.releases().0.subscribe();
    loop {
        let ended = until_released(&job, &mut order, &mut states).await;
        if order.borrow().ends() || (ended.is_err() && !status.releases().is_wanted()) {
            return ended;
        }
        let database = job.database.path.display();
        if let Err(error) = &ended {
            let (captured, durable) = status.noted(|noted| (noted.captured, noted.durable));
            let is_durable = captured.map(|last| last.txid) == durable.map(|last| last.txid);
            if is_durable {
                tracing::info!(%database, error = error_chain(error), "what was captured is durable, and the session had ended before");
            } else {
                tracing::warn!(%database, error = error_chain(error), "let go, and not all of it is durable");
            }
        }
        status.set(Phase::Released);
        status.releases().set_released(true);
        tracing::info!(%database, "let go, until a restore is done with it");
        tokio::select! {
            _ = states.wait_for(|state| state.wanted == 0) => {}
            _ = order.wait_for(|order| order.ends()) => {}
        }
        status.releases().set_released(false);
        if order.borrow().ends() {
            status.set(Phase::Ended);
            return Ok(());
        }
        // What had failed before is what the restore was for, or fails again.
        status.forget_failure();
        status.set(Phase::Starting);
    }
}

/// Follows until the process ends, or somebody wants the database let go.
async fn until_released(
    job: &Job,
    order: &mut watch::Receiver<Order>,
    states: &mut watch::Receiver<State>,
) -> Result<(), FollowError> {
    let now = *order.borrow_and_update();
    let (own, own_order) = watch::channel(now);
    let mut following = pin!(follow_on(Job { order: own_order, ..job.clone() }));
    loop {
        let ordered = *order.borrow_and_update();
        let is_wanted = states.borrow_and_update().wanted > 0;
        let wanted = if ordered == Order::Run && is_wanted { Order::Finish } else { ordered };
        own.send_if_modified(|order| std::mem::replace(order, wanted) != wanted);
        tokio::select! {
            ended = &mut following => return ended,
            changed = order.changed() => if changed.is_err() { return following.await },
            changed = states.changed() => if changed.is_err() { return following.await },
        }
    }
}
