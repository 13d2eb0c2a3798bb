//! What holds for a database, key by key, as it would be written.

use std::time::Duration;

use ebbtide_retention::Keep;

use crate::Database;
use crate::origin::{Origin, Origins};

/// What holds under one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// The key.
    pub key: &'static str,
    /// The value as it would be written; nothing where that means "never", "none" or "all of it".
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

/// All keys of a database but its path, in the order of the documentation.
pub(crate) fn shown(database: &Database, origins: &Origins) -> Vec<Shown> {
    let Database { puts, budget, drills, .. } = database;
    let drill_directory = drills.as_ref().and_then(|drills| drills.directory.as_ref());
    let mirrors: Vec<String> = database.mirrors.iter().map(ToString::to_string).collect();
    let recipients = Some(database.encrypt_to.join(" ")).filter(|all| !all.is_empty());
    let recipients_file = database.encrypt_to_file.as_ref().map(|path| path.display().to_string());
    let values = [
        ("replica", Some(database.location.to_string())),
        ("puts-per-second", Some(puts.per_second.to_string()).filter(|_| budget.is_none())),
        ("puts-burst", Some(puts.burst.to_string())),
        ("budget", budget.map(|dollars| format!("{dollars} USD/month"))),
        ("snapshot-interval", database.snapshot_interval.map(span)),
        ("log-max", Some(size(database.log_bytes_max))),
        ("spool-max", Some(size(database.spool_bytes_max))),
        ("checkpoint-frames", Some(database.checkpoint_frames.to_string())),
        ("enable-wal", Some(database.enable_wal.to_string())),
        ("restore-if-missing", Some(database.restore_if_missing.to_string())),
        ("keep", database.keep.as_ref().map(Keep::to_string)),
        ("prune", Some(if database.prunes { "here" } else { "elsewhere" }.to_owned())),
        ("mirror", Some(mirrors.join(" ")).filter(|mirrors| !mirrors.is_empty())),
        ("drill", drills.as_ref().map(|drills| span(drills.interval))),
        ("drill-file", drills.as_ref().map(|drills| drills.directory.is_some().to_string())),
        ("drill-directory", drill_directory.map(|path| path.display().to_string())),
        ("encrypt-to", recipients),
        ("encrypt-to-file", recipients_file),
        ("state", Some(database.state_directory().display().to_string())),
    ];
    let origin = |key: &str| origins.get(key).copied().unwrap_or(Origin::BuiltIn);
    values.map(|(key, value)| Shown { key, value, origin: origin(key) }).into()
}

/// A span of time as it is written: of the largest unit that gives a whole number.
pub(crate) fn span(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let whole = units.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    match whole {
        // Only drills know of days.
        Some(("d", unit)) => format!("{}h", millis / unit * 24),
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// A size as it is written, in the same way.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// A text of TOML, in Markdown.
pub(crate) fn quoted(text: String) -> String {
    format!("`\"{text}\"`")
}

/// A number of TOML with a point, in Markdown.
pub(crate) fn number(value: f64) -> String {
    format!("`{value:?}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{duration, value};

    #[test]
    fn what_is_shown_can_be_written() {
        for text in ["24h", "90m", "1s", "250ms", "36h"] {
            assert_eq!(span(duration(text).unwrap()), text);
        }
        for text in ["256 MiB", "1 GiB", "17", "1999999999"] {
            assert_eq!(size(value::bytes("k", text, 0).unwrap()), text);
        }
    }
}
