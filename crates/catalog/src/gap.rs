//! Gaps and steps back: what a resync says of the time before it, during which nobody was following the database.

use serde::{Deserialize, Serialize};

use ebbtide_replica::{Entry, EntryKind, Timestamp, Txid};

/// The detail of a resync, as JSON. Other keys are skipped, so that later versions may add some.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncDetail {
    /// From when on history was missed. Between that time and the entry's own the database may have had states that the
    /// replica never saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The database was set back to the state after this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_back_to: Option<Txid>,
    /// By what it was set back, if that is known: [`ResyncDetail::RESTORE`], or what a later version knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

impl ResyncDetail {
    /// By `ebbtide restore`, which is on purpose.
    pub const RESTORE: &str = "restore";

    /// That of `entry`, if it is a resync that has one.
    #[must_use]
    pub fn of(entry: &Entry) -> Option<ResyncDetail> {
        if entry.kind != EntryKind::Resync || entry.detail.is_empty() {
            return None;
        }
        serde_json::from_slice(&entry.detail).ok()
    }

    /// As the detail of an entry.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers become JSON")
    }
}

/// From when on history was missed before `entry`, if it is a resync that says so.
#[must_use]
pub fn missed_since(entry: &Entry) -> Option<Timestamp> {
    ResyncDetail::of(entry)?.since
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_reads_back_what_it_writes_and_skips_unknown_keys() {
        let since = Timestamp::from_micros(1_795_253_400_000_000).unwrap();
        let detail = ResyncDetail { since: Some(since), ..ResyncDetail::default() };
        let json = r#"{"since":"2026-11-21T09:30:00.000000Z"}"#;
        assert_eq!(String::from_utf8(detail.to_json()).unwrap(), json);
        let read = |json: &str| serde_json::from_str::<ResyncDetail>(json).unwrap();
        assert_eq!(read(json), detail);
        let back = r#"{"set_back_to":"0000000000000068","by":"restore","colour":7}"#;
        let by = Some(ResyncDetail::RESTORE.to_owned());
        let expected = ResyncDetail { since: None, set_back_to: Txid::new(0x68), by };
        assert_eq!(read(back), expected);
        assert_eq!(read(std::str::from_utf8(&expected.to_json()).unwrap()), expected);
    }
}
