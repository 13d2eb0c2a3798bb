//! What a command wants changed in the set of databases: carried from the control socket to whoever has the set.

use std::path::PathBuf;

use ebbtide_config::Database;
use tokio::sync::{mpsc, oneshot};

use super::message::NOT_FOLLOWED;
use crate::follow::Status;
use crate::set::{DatabaseSet, Reloaded, SetList};

/// So many wait at most; whoever comes besides is refused.
const WAITING_MAX: usize = 16;

/// What is wanted.
#[derive(Debug)]
pub enum SetOrder {
    /// Follow another database.
    Add(Box<Database>, oneshot::Sender<Result<Status, String>>),
    /// Follow one no more.
    Remove(PathBuf, oneshot::Sender<Result<Status, String>>),
    /// Say what is followed.
    List(oneshot::Sender<SetList>),
    /// Read the configuration again.
    Reload(oneshot::Sender<Result<Reloaded, String>>),
}

/// The end that has the set.
pub type SetOrders = mpsc::Receiver<SetOrder>;

/// The end that asks.
pub(super) type SetOrderSender = mpsc::Sender<SetOrder>;

pub(super) fn channel() -> (SetOrderSender, SetOrders) {
    mpsc::channel(WAITING_MAX)
}

impl DatabaseSet {
    /// Does what an order says; what it does not do itself is that of [`SetOrder::Reload`], whose sender is given back.
    pub async fn obey(
        &mut self,
        order: SetOrder,
    ) -> Option<oneshot::Sender<Result<Reloaded, String>>> {
        // Whoever asked may be gone by now.
        let is_heard = match order {
            SetOrder::Add(database, reply) => {
                let added = self.add(*database).await;
                let added = added.map(|followed| followed.status().clone());
                reply.send(added.map_err(|error| error.to_string())).is_ok()
            }
            SetOrder::Remove(path, reply) => {
                let removed = self.remove(&path);
                reply.send(removed.ok_or_else(|| NOT_FOLLOWED.to_owned())).is_ok()
            }
            SetOrder::List(reply) => reply.send(self.list()).is_ok(),
            SetOrder::Reload(reply) => return Some(reply),
        };
        if !is_heard {
            tracing::debug!("whoever gave an order does not wait for what became of it");
        }
        None
    }
}
