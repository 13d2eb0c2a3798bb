//! An entry as people name it.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, Txid};

/// An entry as people and status name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// The txid of the entry.
    pub txid: Txid,
    /// The time of the entry.
    pub time: Timestamp,
}
