//! What goes over the socket: one request, one answer.

use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::set::{Reloaded, SetList};

/// A longer request is none of ours.
pub(super) const REQUEST_BYTES_MAX: u64 = 16 << 10;

pub(super) const NOT_FOLLOWED: &str = "that database is not followed here";

/// More than the reports of ten thousand databases.
pub(super) const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// The same for another user's process, which root asks: a few thousand databases.
pub(super) const FOREIGN_ANSWER_BYTES_MAX: u64 = 4 << 20;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// How each database is doing.
    Status,
    /// Ship what is committed.
    Sync {
        /// One database, as the status names it; all of them if there is none.
        database: Option<String>,
        /// Answer only when that is durable, or this much later. Without it, answer at once.
        wait_millis: Option<u64>,
    },
    /// Follow another database, and answer once it is followed, or this much later.
    Add {
        /// Its absolute path.
        database: String,
        /// The address of its replica, with an absolute path if it is a directory.
        replica: String,
        /// How long to wait.
        wait_millis: u64,
    },
    /// Follow a database no more, and answer once everything committed is durable, or this much later.
    Remove {
        /// The database, as the status names it.
        database: String,
        /// How long to wait.
        wait_millis: u64,
    },
    /// What is followed, and why.
    List,
    /// Read the configuration again.
    Reload,
    /// Let this database go, as the status names it, until the connection is closed.
    Release {
        /// The database.
        database: String,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To `status`.
    Status(Vec<Report>),
    /// To `sync`, `add` and `remove`.
    Sync(Vec<Synced>),
    /// To `list`.
    List(SetList),
    /// To `reload`.
    Reloaded(Reloaded),
    /// To `release`: nothing of it is open.
    Released,
    /// To what was no request of ours.
    Refused(String),
}

/// What became of a request to ship a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Synced {
    /// The database.
    pub database: String,
    /// Up to which transaction everything is durable, if that was waited for.
    pub txid: Option<String>,
    /// Why it is not.
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_as_they_are_documented_and_nothing_else_is_one() {
        let parse = |text: &str| serde_json::from_str::<Request>(text).ok();
        assert_eq!(parse(r#"{"verb":"status"}"#), Some(Request::Status));
        let all = Request::Sync { database: None, wait_millis: Some(5) };
        assert_eq!(parse(r#"{"verb":"sync","wait_millis":5}"#), Some(all));
        for text in ["", "{}", r#"{"verb":"stop"}"#, r#"{"verb":"sync","path":"/etc/passwd"}"#] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
