//! A look at the replica before somebody is told that it has everything.

use std::sync::Arc;
use std::time::Duration;

use ebbtide_catalog::{PlanError, Target, outline};
use ebbtide_shipper::{Error, Presence, Shipper};
use tokio::task::JoinHandle;

use super::error::FollowError;
use crate::clock;

/// A store that has not answered by then is not waited for where nothing depends on it.
const GLANCE: Duration = Duration::from_secs(3);

/// What a look found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The replica is there.
    There,
    /// It is there, and its newest state cannot be restored.
    Unrestorable(String),
}

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Only if the store answers: nothing has to become durable any more.
    Glance,
    /// For as long as it takes the store to answer.
    Look,
    /// The same, and the way to the newest state is planned besides, which reads the index of each object since the
    /// newest snapshot.
    Prove,
}

/// The look that is under way, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Look(Option<JoinHandle<Result<Seen, FollowError>>>);

impl Look {
    /// Begins one, unless one is under way; whether it did.
    pub(crate) fn begin(&mut self, shipper: &Shipper, care: Care) -> bool {
        if self.0.is_some() {
            return false;
        }
        let (presence, store) =
            (Arc::clone(shipper.presence()), Arc::clone(shipper.presence().store()));
        self.0 = Some(tokio::spawn(async move {
            if care == Care::Glance {
                return glance(&presence).await;
            }
            presence.check().await?;
            if care == Care::Look {
                return Ok(Seen::There);
            }
            match outline(store, Target::Latest, None, clock::now()).await {
                Ok(_) => Ok(Seen::There),
                Err(PlanError::Store(error)) => Err(Error::Store(error).into()),
                Err(error) => Ok(Seen::Unrestorable(ebbtide_store::error_chain(&error))),
            }
        }));
        true
    }

    /// Waits for its end; for ever if none is under way. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Result<Seen, FollowError> {
        let Some(task) = &mut self.0 else { return std::future::pending().await };
        let ended = task.await;
        self.0 = None;
        ended.map_err(Error::from)?
    }
}

/// Looks if the store answers soon.
async fn glance(presence: &Presence) -> Result<Seen, FollowError> {
    match tokio::time::timeout(GLANCE, presence.check()).await {
        Ok(looked) => looked?,
        Err(_) => {
            tracing::warn!("the store does not answer, so the replica was not looked at once more")
        }
    }
    Ok(Seen::There)
}

impl Drop for Look {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
