//! What a history amounts to: how much of it there is, and what is missing.

use ebbtide_replica::{Entry, EntryFlags, EntryKind, Timestamp};
use serde_json::{Value, json};

/// Counts entries as they come.
#[derive(Debug, Default)]
pub(super) struct Tally {
    entries: u64,
    claims: u64,
    resyncs: u64,
    forks: u64,
    gaps: u64,
    /// The longest gap: from when on history was missed, until when.
    longest: Option<(Timestamp, Timestamp)>,
}

impl Tally {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.entries += 1;
        self.claims += u64::from(entry.kind == EntryKind::Claim);
        self.resyncs += u64::from(entry.kind == EntryKind::Resync);
        self.forks += u64::from(entry.flags.contains(EntryFlags::FORK));
        let Some(since) = ebbtide_catalog::missed_since(entry) else { return };
        self.gaps += 1;
        let gap = (since, entry.time);
        if self.longest.is_none_or(|longest| micros(longest) < micros(gap)) {
            self.longest = Some(gap);
        }
    }

    /// How many entries there were.
    pub(super) fn entries(&self) -> u64 {
        self.entries
    }

    /// In words.
    pub(super) fn text(&self) -> String {
        let count = |number: u64, one: &str| match number {
            0 => format!("no {one}s"),
            1 => format!("1 {one}"),
            _ => format!("{number} {one}s"),
        };
        let longest = self.longest.map_or(String::new(), |gap @ (since, until)| {
            format!(", the longest of {} from {since} to {until}", span(micros(gap)))
        });
        format!("{}{longest}; {}", count(self.gaps, "gap"), count(self.forks, "fork"))
    }

    /// As an object, to which the caller adds what else it knows.
    pub(super) fn json(&self) -> Value {
        let seconds = self.longest.map(|gap| micros(gap) as f64 / 1e6);
        json!({
            "what": "summary",
            "entries": self.entries,
            "claims": self.claims,
            "resyncs": self.resyncs,
            "forks": self.forks,
            "gaps": self.gaps,
            "longest_gap_seconds": seconds,
            "longest_gap_since": self.longest.map(|(since, _)| since.to_string()),
        })
    }
}

fn micros((since, until): (Timestamp, Timestamp)) -> i64 {
    until.as_micros().saturating_sub(since.as_micros())
}

/// A span of time as people write it, to the second, or finer if it is shorter.
fn span(micros: i64) -> String {
    let duration = jiff::SignedDuration::from_micros(micros);
    let coarse = if duration.as_secs() > 0 {
        jiff::SignedDuration::from_secs(duration.as_secs())
    } else {
        jiff::SignedDuration::from_millis(i64::try_from(duration.as_millis()).unwrap_or(0))
    };
    format!("{coarse:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_at_a_glance() {
        let spans = [1_500, 61_500_000, 7_200_000_000].map(span);
        assert_eq!(spans, ["1ms", "1m 1s", "2h"]);
    }

    #[test]
    fn a_history_without_faults_says_so() {
        assert_eq!(Tally::default().text(), "no gaps; no forks");
    }
}
