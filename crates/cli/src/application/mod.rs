//! The application as our child: `--exec`.
//!
//! It is started by the shell, as its user would have, in a process group of its own. What matters is not the shell but
//! all that comes of it: lists, pipelines, workers, and servers that detach themselves. This process is where orphans go
//! (`PR_SET_CHILD_SUBREAPER`, or because it is process 1), so the last of them is known to be gone when there is no
//! child left, and until then the databases are followed.
//!
//! Each signal reaches each of them once. What comes from a terminal goes to the group that has it: ours, which passes
//! it on, or the application's, to which the terminal is lent.

mod family;
mod foreground;
mod reaper;
mod running;
mod spawn;

pub(crate) use family::was_begun_ignoring;
pub(crate) use foreground::Terminal;
pub(crate) use reaper::reap_orphans;
pub(crate) use running::Application;
pub(crate) use spawn::{Environment, prepare};
