//! The control socket: how `ebbtide status` and `ebbtide sync` talk to a running `ebbtide replicate`.
//!
//! Each `replicate` listens on one Unix socket, named by its process id, in a directory that only its user can enter. Who
//! connects must be that user, or root. A connection carries one request and one answer, an object of JSON on a line
//! each. A database that is followed is named by the text that the answer to `status` has for it; what `add` names is opened
//! as whoever runs the process could open it, and `reload` reads the file that the process was begun with.

mod ask;
mod directory;
mod explain;
mod health;
mod message;
mod order_answers;
mod orders;
mod report;
mod serve;
mod silent;

pub use ask::{Peer, ReleasedDatabase, ask_all, peers, release};
pub use directory::places_to_ask;
pub use health::{HealthIssue, health_issues};
pub use message::{Answer, Request, Synced};
pub use orders::{SetOrder, SetOrders};
pub use report::{MirrorReport, Report};
pub use serve::Control;
