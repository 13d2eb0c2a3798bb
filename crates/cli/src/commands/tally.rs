//! What a history amounts to, told to people and as JSON.

use ebbtide_catalog::Tally;
use serde_json::{Value, json};

use crate::terminal;

/// In words.
pub(super) fn text(tally: &Tally) -> String {
    let count = |number: u64, one: &str| match number {
        0 => format!("no {one}s"),
        _ => terminal::number_of(number, one),
    };
    let longest = tally.longest.zip(tally.longest_micros());
    let longest = longest.map_or(String::new(), |((since, until), micros)| {
        format!(", the longest of {} from {since} to {until}", span(micros))
    });
    format!("{}{longest}; {}", count(tally.gaps, "gap"), count(tally.forks, "fork"))
}

/// As an object, to which the caller adds what else it knows.
pub(super) fn json(tally: &Tally) -> Value {
    json!({
        "what": "summary",
        "entries": tally.entries,
        "claims": tally.claims,
        "resyncs": tally.resyncs,
        "forks": tally.forks,
        "gaps": tally.gaps,
        "longest_gap_seconds": tally.longest_micros().map(|micros| micros as f64 / 1e6),
        "longest_gap_since": tally.longest.map(|(since, _)| since.to_string()),
    })
}

/// A span of time as people write it, to the second, or finer if it is shorter.
pub(super) fn span(micros: i64) -> String {
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
        assert_eq!(text(&Tally::default()), "no gaps; no forks");
    }
}
