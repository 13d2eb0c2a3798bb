//! Which tables each entry changed, and by how many rows.

use ebbtide_moment::{Error as MomentError, Moment, PlanError, Proof, Replica, Target};
use ebbtide_replica::{Entry, EntryKind, Timestamp, Txid};
use ebbtide_rows::{Options, Summary, diff};
use ebbtide_sidecar::clock;
use ebbtide_trace::Comparison;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use super::kept::Kept;
use crate::commands::diff::Quiet;
use crate::commands::{changes, past};
use crate::exit::Failure;
use crate::progress_bar::{self, Counted};
use crate::source::Source;

/// Counts what entries changed, those that were counted before from the local disk.
pub(super) struct Changed {
    replica: Replica,
    kept: Kept,
    now: Timestamp,
    /// The state that was looked at last: mostly the one before the next entry.
    last: Option<Moment>,
    bar: ProgressBar,
}

impl Changed {
    /// Looks at the replica.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) async fn open(source: &Source, quiet: bool) -> Result<Changed, Failure> {
        let replica = past::open(source).await?;
        let kept = Kept::open(replica.manifest().replica);
        let bar = progress_bar::bar("count", quiet);
        Ok(Changed { replica, kept, now: clock::now(), last: None, bar })
    }

    /// Shows that `done` of `total` entries are behind it.
    pub(super) fn show(&self, done: u64, total: u64) {
        progress_bar::show(&self.bar, Counted::Number, done, total);
    }

    /// What an entry changed; nothing for one that cannot have changed a row.
    ///
    /// # Errors
    /// When one of the two states cannot be read.
    pub(super) async fn by(&mut self, entry: &Entry) -> Result<Option<Value>, Failure> {
        let Some(before) = entry.txid.previous().filter(|_| entry.kind != EntryKind::Claim) else {
            return Ok(None);
        };
        if let Some(known) = self.kept.get(entry) {
            return Ok(Some(known));
        }
        let old = match self.last.take().filter(|last| last.txid() == before) {
            Some(last) => last,
            None => match self.moment(before).await {
                Ok(moment) => moment,
                // Before the first resync there was no database.
                Err(MomentError::Plan(why)) if matches!(*why, PlanError::Nothing(_)) => {
                    return Ok(None);
                }
                Err(error) => return Err(past::failure(error)),
            },
        };
        let new = self.moment(entry.txid).await.map_err(past::failure)?;
        let changed = block_in_place(|| count(&old, &new, entry))?;
        self.last = Some(new);
        self.kept.put(entry, &changed);
        Ok(Some(changed))
    }

    async fn moment(&self, txid: Txid) -> Result<Moment, MomentError> {
        self.replica.at(Target::Txid(txid), self.now, Proof::Block).await
    }

    /// Keeps what was counted, once it is much.
    pub(super) fn keep_some(&mut self) {
        self.kept.save_some();
    }
}

/// However it ends, what was counted is kept.
impl Drop for Changed {
    fn drop(&mut self) {
        self.kept.save();
        self.bar.finish_and_clear();
    }
}

fn count(old: &Moment, new: &Moment, entry: &Entry) -> Result<Value, Failure> {
    let comparison = Comparison::of_entry(old, new, entry).map_err(changes::failure)?;
    let summary = comparison.run(|old, new, extents| {
        let options = Options { extents: extents.clone(), ..Options::default() };
        diff(old, new, &options, &mut Quiet)
    });
    Ok(as_json(&summary.map_err(changes::failure)?))
}

fn as_json(summary: &Summary) -> Value {
    let tables = summary.tables.iter().filter(|table| !table.counts.is_empty()).map(|table| {
        let counts = table.counts;
        json!({
            "table": table.table, "inserted": counts.inserted, "deleted": counts.deleted,
            "updated": counts.updated,
        })
    });
    let schema = summary.schema.iter().map(|change| {
        let object = change.object();
        json!({
            "change": change.name(), "type": object.kind.name(), "name": object.name,
            "table": object.table,
        })
    });
    let pragmas = summary
        .numbers
        .iter()
        .map(|number| json!({ "name": number.pragma, "old": number.old, "new": number.new }));
    let not_compared = summary.not_compared.iter().map(|left| json!(left.table));
    json!({
        "tables": tables.collect::<Vec<_>>(), "schema": schema.collect::<Vec<_>>(),
        "pragmas": pragmas.collect::<Vec<_>>(), "not_compared": not_compared.collect::<Vec<_>>(),
    })
}

/// Whether a table is among what was changed.
pub(super) fn has_table(changed: &Value, table: &str) -> bool {
    let is_it = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(table));
    let list = |name: &str| changed[name].as_array().into_iter().flatten();
    list("tables").chain(list("schema")).any(|of| is_it(&of["table"]))
        || list("not_compared").any(is_it)
}

/// What was changed, in one line: `orders -3 ~1, order_lines -9, index idx_x created`.
pub(super) fn as_text(changed: &Value) -> String {
    let list = |name: &str| changed[name].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let table = |of: &Value| {
        let mut line = text(&of["table"]);
        for (sign, name) in [("+", "inserted"), ("-", "deleted"), ("~", "updated")] {
            if let Some(count) = of[name].as_u64().filter(|count| *count > 0) {
                line += &format!(" {sign}{count}");
            }
        }
        line
    };
    let schema =
        |of: &Value| format!("{} {} {}", text(&of["type"]), text(&of["name"]), text(&of["change"]));
    let pragma = |of: &Value| format!("{} {}", text(&of["name"]), of["new"]);
    let not_compared = |of: &Value| format!("{} not compared", text(of));
    let mut parts: Vec<String> = list("tables").map(table).collect();
    parts.extend(list("schema").map(schema));
    parts.extend(list("pragmas").map(pragma));
    parts.extend(list("not_compared").map(not_compared));
    if parts.is_empty() { "no row".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_is_one_line() {
        let changed = json!({
            "tables": [{"table": "orders", "inserted": 0, "deleted": 3, "updated": 1}],
            "schema": [{"change": "created", "type": "index", "name": "i", "table": "lines"}],
            "pragmas": [{"name": "user_version", "old": 6, "new": 7}],
            "not_compared": ["words"],
        });
        let line = "orders -3 ~1, index i created, user_version 7, words not compared";
        assert_eq!(as_text(&changed), line);
        assert!(["ORDERS", "lines", "words"].iter().all(|table| has_table(&changed, table)));
        assert!(!has_table(&changed, "i"));
        assert_eq!(as_text(&json!({})), "no row");
    }
}
