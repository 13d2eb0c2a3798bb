//! A mark as it is shown.

use ebbtide_catalog::StoredMark;
use ebbtide_replica::Timestamp;
use ebbtide_retention::Period;
use serde_json::{Value, json};

use super::mark_id::MarkId;

/// When the mark does not keep its state any more; nothing if it does until it is removed, or its period cannot be read.
fn until(stored: &StoredMark) -> Option<Timestamp> {
    let lasts = stored.mark.contents.lasts.as_ref()?;
    lasts.parse::<Period>().ok()?.end(stored.stored)
}

/// For people: until when it keeps its state.
pub(super) fn lasts(stored: &StoredMark, now: Timestamp) -> String {
    match until(stored) {
        None => "until it is removed".to_owned(),
        Some(until) if until > now => format!("until {until}"),
        Some(until) => format!("until {until}, which is over"),
    }
}

/// What both `log` and `marks` tell of it.
pub(super) fn as_json(stored: &StoredMark) -> Value {
    let (mark, marked) = (&stored.mark, stored.stored);
    json!({
        "what": "mark",
        "id": MarkId::of(mark).to_string(),
        "name": mark.contents.name,
        "txid": mark.txid.to_string(),
        "time": mark.contents.time.to_string(),
        "marked": (marked != Timestamp::MAX).then(|| marked.to_string()),
        "for": mark.contents.lasts,
        "until": until(stored).map(|until| until.to_string()),
        "chain": mark.chain.to_string(),
    })
}
