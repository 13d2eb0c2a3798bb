//! What drills came to: told to people, as JSON, and remembered for each replica.

use std::path::PathBuf;

use ebbtide_fleet::LastDrill;
use ebbtide_replica::ReplicaId;
use ebbtide_restore::{DrillRecord, Drilled, Proved};
use ebbtide_store::Location;
use serde_json::{Value, json};

use crate::{terminal, user_directory};

/// Where this user's drills of a replica at an address are remembered, wherever its database is. A copy of it is another one:
/// that one of them can be restored says nothing of the other.
pub(super) fn memory_of(replica: &ReplicaId, address: &str) -> Option<PathBuf> {
    let location: Location = address.parse().ok()?;
    let place = blake3::hash(location.place().as_os_str().as_encoded_bytes()).to_hex();
    Some(user_directory::state()?.join("drills").join(format!("{replica}-{}", &place[..16])))
}

/// What this user's last drills of a replica at an address came to, if there were any.
pub(super) fn record_of(replica: &ReplicaId, address: &str) -> Option<DrillRecord> {
    DrillRecord::read(&memory_of(replica, address)?)
}

/// The same as a fleet has it.
pub(super) fn last_of(replica: &ReplicaId, address: &str) -> LastDrill {
    let DrillRecord { proved, failed, .. } = record_of(replica, address).unwrap_or_default();
    LastDrill {
        proved: proved.map(|proved| proved.at),
        failed: failed.map(|failed| (failed.at, failed.error)),
    }
}

/// Has it remembered, where there is a place for that.
pub(super) fn remember(replica: &ReplicaId, address: &str, record: &DrillRecord) {
    let Some(private) = user_directory::private(memory_of(replica, address)) else { return };
    if let Err(error) = record.write(private.path()) {
        tracing::debug!(%error, "the drill is not remembered");
    }
}

/// As an object.
pub(super) fn as_json(drilled: &Drilled, record: &DrillRecord) -> Value {
    json!({
        "replica": drilled.replica.to_string(),
        "place": drilled.place,
        "proved": record.proved,
        "failed": record.failed,
    })
}

/// What was proved, in a line.
pub(super) fn said(proved: &Proved) -> String {
    let older = proved.older.map(|older| format!(", and txid {} of {}", older.txid, older.time));
    let compared = if proved.compared { "; as the live database has it" } else { "" };
    format!(
        "proved txid {} of {}{}: {}{compared} ({:.1} s, {} fetched, at {})",
        proved.txid,
        proved.time,
        older.unwrap_or_default(),
        proved.what,
        proved.seconds,
        terminal::bytes(proved.bytes_fetched),
        proved.at
    )
}
