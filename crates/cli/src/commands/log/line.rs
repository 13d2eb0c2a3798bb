//! An entry of a history as a line.

use ebbtide_catalog::ResyncDetail;
use ebbtide_replica::{Claim, Entry, EntryFlags, EntryKind, Txid};
use serde_json::{Value, json};

use super::changed;
use crate::commands::remark::remark;
use crate::{output, terminal};

/// An entry that will be shown.
pub(super) struct LoggedEntry {
    pub(super) entry: Entry,
    /// The entry before it that was no claim.
    pub(super) before: Option<Txid>,
    /// Which tables it changed.
    pub(super) rows: Option<Value>,
    /// The size of a page.
    pub(super) page_bytes: u64,
}

impl LoggedEntry {
    /// As a line of text, or as JSON.
    pub(super) fn print(&self, is_json: bool) {
        let LoggedEntry { entry, before, rows, page_bytes } = self;
        if is_json {
            let mut line = as_json(entry, *page_bytes);
            if let Some(rows) = rows {
                line["changed"] = rows.clone();
            }
            output::json(line);
            return;
        }
        output::line(as_text(entry, *before, *page_bytes));
        if let Some(rows) = rows {
            output::line(format_args!("                  {}", changed::as_text(rows)));
        }
    }
}

fn as_text(entry: &Entry, before: Option<Txid>, page_bytes: u64) -> String {
    let size = terminal::bytes(u64::from(entry.database_pages) * page_bytes);
    let (txid, time, what) = (entry.txid, entry.time, entry.kind.name());
    let line = format!("{txid}  {time}  {what:<8}  {:<8}  {size:<10}", entry.page_count);
    let remark = remark(entry, before);
    if remark.is_empty() { line.trim_end().to_owned() } else { format!("{line}  {remark}") }
}

fn as_json(entry: &Entry, page_bytes: u64) -> Value {
    let claim = (entry.kind == EntryKind::Claim).then(|| Claim::from_detail(&entry.detail).ok());
    let detail = ResyncDetail::of(entry).unwrap_or_default();
    json!({
        "what": entry.kind.name(),
        "txid": entry.txid.to_string(),
        "time": entry.time.to_string(),
        "pages": entry.page_count,
        "database_bytes": u64::from(entry.database_pages) * page_bytes,
        "digest": entry.digest.to_string(),
        "fork": entry.flags.contains(EntryFlags::FORK),
        "gap_since": detail.since.map(|since| since.to_string()),
        "set_back_to": detail.set_back_to.map(|txid| txid.to_string()),
        "set_back_by": detail.by,
        "claim": claim.flatten(),
    })
}
