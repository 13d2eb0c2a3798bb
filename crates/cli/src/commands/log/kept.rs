//! What entries changed, on the local disk: names of tables and numbers of rows, so that the next list need not count again.
//!
//! An entry never changes, so what was counted holds as long as its txid, time and digest do. It is an aid: whatever is wrong
//! with the file, it is counted again.

use std::collections::BTreeMap;

use ebbtide_replica::{Entry, ReplicaId};
use serde_json::{Value, json};

use crate::user_directory::CachedFile;

/// How much is kept of a replica: the oldest entries go.
const KEPT_BYTES_MAX: u64 = 8 << 20;

/// What was counted is written once it is this share of what is known…
const NEW_SHARE: usize = 8;

/// …and so many entries: who breaks a long count off loses no more.
const NEW_MIN: usize = 256;

/// What is known of one replica's entries.
pub(super) struct Kept {
    file: Option<CachedFile>,
    /// By txid, as it is written.
    known: BTreeMap<String, Value>,
    /// How many of them are not in the file.
    new: usize,
}

impl Kept {
    /// What was kept; nothing if there is no place for it.
    pub(super) fn open(replica: ReplicaId) -> Kept {
        let file = CachedFile::of("tables", format!("{replica}.jsonl"));
        let read = file.as_ref().and_then(|file| file.read(KEPT_BYTES_MAX));
        let entries = read.and_then(|read| String::from_utf8(read).ok()).unwrap_or_default();
        let entry = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            Some((entry["txid"].as_str()?.to_owned(), entry))
        };
        Kept { file, known: entries.lines().filter_map(entry).collect(), new: 0 }
    }

    /// What an entry changed, if that is known.
    pub(super) fn get(&self, entry: &Entry) -> Option<Value> {
        let known = self.known.get(&entry.txid.to_string())?;
        let is_it = known["id"] == id(entry);
        is_it.then(|| known["changed"].clone())
    }

    /// Notes it.
    pub(super) fn put(&mut self, entry: &Entry, changed: &Value) {
        let txid = entry.txid.to_string();
        let line = json!({ "txid": txid, "id": id(entry), "changed": changed });
        self.known.insert(txid, line);
        self.new += 1;
    }

    /// Writes what is known once so much came to it that writing all of it again pays.
    pub(super) fn save_some(&mut self) {
        if self.new >= (self.known.len() / NEW_SHARE).max(NEW_MIN) {
            self.save();
        }
    }

    /// Writes what is known if something came to it, the newest entries if it is too much.
    pub(super) fn save(&mut self) {
        if std::mem::take(&mut self.new) == 0 {
            return;
        }
        let Some(file) = &self.file else { return };
        let (mut lines, mut bytes) = (Vec::new(), 0);
        for line in self.known.values().rev() {
            let line = line.to_string();
            bytes += line.len() as u64 + 1;
            if bytes > KEPT_BYTES_MAX {
                break;
            }
            lines.push(line);
        }
        lines.push(String::new());
        file.replace(lines.join("\n").as_bytes());
    }
}

/// What tells an entry from every other one with its txid.
fn id(entry: &Entry) -> String {
    format!("{} {} {}", entry.time, entry.digest, entry.page_count)
}
