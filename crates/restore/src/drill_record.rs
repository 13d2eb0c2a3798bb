//! What the last drills of a database came to, in its local state, for whoever asks.

use std::io::{self, Read as _};
use std::path::Path;
use std::time::Duration;

use ebbtide_replica::{Point, Timestamp, Txid};
use ebbtide_state::open_state_directory;
use serde::{Deserialize, Serialize};

use crate::drill::{Drilled, DrilledState};
use crate::error::{Error, Result};

/// The file in the directory of the local state…
const NAME: &str = "drill.json";
/// …and its name while it is written.
const NEW_NAME: &str = "drill.json.new";

/// A longer file is none of ours.
const BYTES_MAX: u64 = 64 * 1024;

/// The last drills of a database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DrillRecord {
    /// The last one that succeeded.
    #[serde(default)]
    pub proved: Option<Proved>,
    /// The last of all, if it failed.
    #[serde(default)]
    pub failed: Option<FailedDrill>,
}

/// What a drill has proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proved {
    /// The newest state.
    pub txid: Txid,
    /// The time of its entry.
    pub time: Timestamp,
    /// When the drill ended.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What was done, in words.
    pub what: String,
    /// Whether the live database was found to be what was restored, or to come before it in one history.
    pub compared: bool,
    /// The older state that was restored, too.
    #[serde(default)]
    pub older: Option<Point>,
    /// How many bytes were fetched.
    pub bytes_fetched: u64,
}

/// A drill that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedDrill {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub error: String,
}

impl DrillRecord {
    /// The record after a drill that ended at `at` and took so long. `remark` is what else is to be said of it.
    #[must_use]
    pub fn after(
        drilled: &Drilled,
        at: Timestamp,
        took: Duration,
        remark: Option<&str>,
    ) -> DrillRecord {
        let Drilled { newest, kept, .. } = drilled;
        let Point { txid, time } = newest.point;
        let proved = Proved {
            txid,
            time,
            at,
            seconds: took.as_secs_f64(),
            what: what(newest, remark),
            compared: drilled.is_compared,
            older: kept.as_ref().map(|kept| kept.point),
            bytes_fetched: drilled.bytes_fetched,
        };
        let mut notices = kept.iter().chain([newest]).flat_map(|state| &state.notices);
        let error = notices.next().map(|notice| format!("restored around damage: {notice}"));
        DrillRecord { proved: Some(proved), failed: error.map(|error| FailedDrill { at, error }) }
    }

    /// The record after a drill that failed.
    #[must_use]
    pub fn failed(self, at: Timestamp, error: String) -> DrillRecord {
        DrillRecord { failed: Some(FailedDrill { at, error }), ..self }
    }

    /// When the last drill ended.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        let proved = self.proved.as_ref().map(|proved| proved.at);
        proved.max(self.failed.as_ref().map(|failed| failed.at))
    }

    /// The record in the local state in `directory`; nothing where there is none that can be read.
    #[must_use]
    pub fn read(directory: &Path) -> Option<DrillRecord> {
        let private = open_state_directory(directory).ok()??;
        let file = private.directory().ok()?.read_ours(NAME, private.owner()).ok()?;
        let mut text = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes the record into the local state in `directory`, if there is one; whether there was.
    ///
    /// # Errors
    /// Of the file system.
    pub fn write(&self, directory: &Path) -> Result<bool> {
        let Some(private) = open_state_directory(directory)? else { return Ok(false) };
        let json = serde_json::to_vec(self).map_err(io::Error::from);
        let written = json.and_then(|json| private.replace_durably(NAME, NEW_NAME, &json));
        written.map_err(Error::io("note a drill in", directory))?;
        Ok(true)
    }
}

/// What was done, in words.
fn what(newest: &DrilledState, remark: Option<&str>) -> String {
    let done = match (newest.is_checked, &newest.unchecked) {
        _ if !newest.is_opened => "every page hash proved; the pages need an identity".to_owned(),
        (true, _) => "restored to a file; integrity_check ok".to_owned(),
        (false, Some(why)) => format!("restored to a file; {why}"),
        (false, None) => "every page fetched and hashed".to_owned(),
    };
    remark.map_or(done.clone(), |remark| format!("{done}; {remark}"))
}
