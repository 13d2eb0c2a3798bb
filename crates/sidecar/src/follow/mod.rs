//! One database, followed from its log into its replica: where the watcher and the shipper meet.
//!
//! A *session* begins with a hold on the log, before anything is asked of the store, so that no commit is missed while
//! the store answers. It ends when it is ordered to, or by an error. After a passing error another session begins where
//! the last one was confirmed; a lasting error ends the database's task.

mod awaited;
mod begun_mirrors;
mod catch_up;
mod compare;
mod counts;
mod create;
mod database_status;
mod disk;
mod end;
mod error;
mod held;
mod job;
mod kept_history;
mod keyed;
mod lag;
mod last_commits;
mod local;
mod log_event;
mod mirror_progress;
mod mirroring;
mod nature;
mod pace;
mod parts;
mod phase;
mod plan;
mod prune_summary;
mod pruning;
mod release;
mod releases;
mod removed;
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
mod task;
mod verdict;

pub use counts::Counts;
pub use database_status::{DatabaseStatus, Outage};
pub use disk::free_bytes;
pub use ebbtide_shipper::Consent;
pub use error::{FollowError, Gravity};
pub use job::{Job, Order};
pub use kept_history::KeptHistory;
pub use keyed::with_index_keys;
pub use mirror_progress::MirrorProgress;
pub(crate) use mirroring::Mirroring;
pub use phase::Phase;
pub use prune_summary::PruneSummary;
pub(crate) use pruning::Pruning;
pub(crate) use release::Wanted;
pub use release::follow;
pub use shared::Shared;
pub use status::Status;
