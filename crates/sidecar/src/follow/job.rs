//! What the task of one database is to do.

use std::sync::Arc;

use ebbtide_config::Database;
use ebbtide_seal::Wrap;
use ebbtide_shipper::Consent;
use tokio::sync::watch;

use super::shared::Shared;
use super::status::Status;

/// What a task is ordered to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Follow until further notice.
    Run,
    /// Bring the replica up to what is committed now, then end.
    Finish,
    /// The same for a database whose file is gone, which is no error then.
    LetGo,
}

impl Order {
    /// Whether it is an order to end.
    pub(crate) fn ends(self) -> bool {
        self != Order::Run
    }
}

/// One database's task.
#[derive(Debug, Clone)]
pub struct Job {
    /// What to follow, and how.
    pub database: Database,
    /// What the tasks of a process share.
    pub shared: Shared,
    /// What wraps the keys of its replica, if that is encrypted.
    pub wrap: Option<Arc<dyn Wrap>>,
    /// What else than its own replica the database may be followed into, at the first start.
    pub consent: Consent,
    /// Whether the process was started to end once everything is durable.
    pub is_once: bool,
    /// The present order.
    pub order: watch::Receiver<Order>,
    /// Where progress is reported.
    pub status: Status,
    /// While another process follows the database, wait for it to end: an application of ours has it open by then, and
    /// nobody else would follow that.
    pub is_successor: bool,
    /// Whether a database that is not there yet is waited for.
    pub may_come: bool,
}
