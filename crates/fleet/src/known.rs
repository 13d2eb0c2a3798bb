//! What was known of a fleet before, on the local disk: of a replica to which nothing came, it still holds. It is an aid:
//! whatever is wrong with the file, the replicas are looked at again.

use std::collections::BTreeMap;

use ebbtide_replica::Timestamp;
use serde::{Deserialize, Serialize};

use crate::summary::Summary;

/// So long is believed what names at the end of the log do not tell, such as what a prune has deleted, in µs.
const BELIEVED_MICROS: i64 = 3_600_000_000;

/// Summaries by address.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Known {
    members: BTreeMap<String, Noted>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Noted {
    at: Timestamp,
    summary: Summary,
}

impl Known {
    /// What was written; nothing, if it is anything else.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Known {
        let read = serde_json::from_slice(json);
        read.inspect_err(|error| tracing::debug!(%error, "what was known is not"))
            .unwrap_or_default()
    }

    /// To be written.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers become JSON")
    }

    /// The last summary, and whether it is young enough to be believed where nothing came.
    pub(crate) fn get(&self, address: &str, now: Timestamp) -> Option<(&Summary, bool)> {
        let noted = self.members.get(address)?;
        let age = now.as_micros().saturating_sub(noted.at.as_micros());
        Some((&noted.summary, (0..BELIEVED_MICROS).contains(&age)))
    }

    pub(crate) fn note(&mut self, address: String, summary: Summary, now: Timestamp) {
        self.members.insert(address, Noted { at: now, summary });
    }
}
