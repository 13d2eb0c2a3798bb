//! A check of the replica before a client is told that everything is durable.

use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{PlanError, Target, outline};
use ebbtide_shipper::{Error, Presence, Shipper};
use tokio::task::JoinHandle;

use super::error::FollowError;
use crate::clock;

/// How long a check waits for the store if nothing depends on it.
const ANSWER_SOON: Duration = Duration::from_secs(3);

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckResult {
    /// The replica is there.
    Present,
    /// It is there, and its newest state cannot be restored.
    Unrestorable(String),
}

/// How much to check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckDepth {
    /// That the replica is there, if the store answers soon: nothing has to become durable any more.
    IfAnswering,
    /// That the replica is there, however long the store takes to answer.
    Presence,
    /// The same, and that the newest state can be restored: the restore is planned, which reads the index of each object
    /// since the newest snapshot.
    Restorable,
}

/// The running check, if there is one.
#[derive(Debug, Default)]
pub(crate) struct ReplicaCheck(Option<JoinHandle<Result<CheckResult, FollowError>>>);

impl ReplicaCheck {
    /// Begins a check, unless one is running. Returns whether it did.
    pub(crate) fn begin(&mut self, shipper: &Shipper, depth: CheckDepth) -> bool {
        if self.0.is_some() {
            return false;
        }
        let (presence, store) =
            (Arc::clone(shipper.presence()), Arc::clone(shipper.presence().store()));
        self.0 = Some(tokio::spawn(async move {
            if depth == CheckDepth::IfAnswering {
                return check_if_answering(&presence).await;
            }
            presence.check().await?;
            if depth == CheckDepth::Presence {
                return Ok(CheckResult::Present);
            }
            match outline(store, Target::Latest, None, clock::now()).await {
                Ok(_) => Ok(CheckResult::Present),
                Err(PlanError::Store(error)) => Err(Error::Store(error).into()),
                Err(error) => Ok(CheckResult::Unrestorable(ebbtide_store::error_chain(&error))),
            }
        }));
        true
    }

    /// Waits for the end of the check. Never returns if none is running. Cancel-safe.
    pub(crate) async fn ended(&mut self) -> Result<CheckResult, FollowError> {
        let Some(task) = &mut self.0 else { return std::future::pending().await };
        let ended = task.await;
        self.0 = None;
        ended.map_err(Error::from)?
    }
}

/// Checks that the replica is there, if the store answers soon.
async fn check_if_answering(presence: &Presence) -> Result<CheckResult, FollowError> {
    match tokio::time::timeout(ANSWER_SOON, presence.check()).await {
        Ok(checked) => checked?,
        Err(_) => {
            tracing::warn!("the store does not answer, so the replica was not checked once more")
        }
    }
    Ok(CheckResult::Present)
}

impl Drop for ReplicaCheck {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
