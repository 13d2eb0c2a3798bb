//! What a month costs if it goes on as in the last hour.
//!
//! The sum says which of the databases costs more, and whether it is cents or a hundred dollars; it is no bill.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_config::{MONTH_SECONDS, Prices};
use ebbtide_store::{RequestKind, Traffic};

/// The rate is that of the last hour…
const WINDOW: Duration = Duration::from_secs(3600);
/// …which is remembered to the minute.
const STEP: Duration = Duration::from_secs(60);

/// What has been spent by a moment, in dollars: for requests, and a month for the bytes that were sent.
#[derive(Debug, Clone, Copy)]
struct Spent {
    at: Instant,
    dollars: f64,
}

/// What each database has spent within the last hour.
#[derive(Debug)]
pub(crate) struct Costs {
    prices: Prices,
    spent: Mutex<HashMap<PathBuf, VecDeque<Spent>>>,
}

impl Costs {
    /// Nothing is known yet.
    pub(crate) fn new(prices: Prices) -> Costs {
        Costs { prices, spent: Mutex::default() }
    }

    /// The dollars a month of a database at its present rate; nothing while the rate is not known. Only a bucket costs
    /// anything.
    pub(crate) fn month(&self, database: &Path, replica: &str, traffic: &Traffic) -> Option<f64> {
        if !replica.starts_with("s3:") {
            return Some(0.0);
        }
        let now = Spent { at: Instant::now(), dollars: dollars(&self.prices, traffic) };
        let mut all = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(database.to_path_buf()).or_default();
        rate(known, now)
    }

    /// Forgets all databases but these.
    pub(crate) fn keep(&self, is_followed: impl Fn(&Path) -> bool) {
        let mut all = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|database, _| is_followed(database));
    }
}

fn dollars(prices: &Prices, traffic: &Traffic) -> f64 {
    let requests = traffic.requests().map(|requests| {
        let (writes, reads) = match requests.kind {
            RequestKind::Put | RequestKind::Upload | RequestKind::List => (1.0, 0.0),
            RequestKind::Get | RequestKind::Head | RequestKind::Other => (0.0, 1.0),
            RequestKind::Delete => (0.0, 0.0),
        };
        prices.requests(writes, reads) * as_float(requests.count)
    });
    requests.sum::<f64>() + prices.stored(as_float(traffic.sent.get()))
}

/// Dollars a month by what was spent between the oldest known moment within the window, or the last before it, and now.
fn rate(known: &mut VecDeque<Spent>, now: Spent) -> Option<f64> {
    while known.get(1).is_some_and(|second| now.at - second.at >= WINDOW) {
        known.pop_front();
    }
    let oldest = known.front().copied();
    if known.back().is_none_or(|newest| now.at - newest.at >= STEP) {
        known.push_back(now);
    }
    let oldest = oldest?;
    let passed = (now.at - oldest.at).as_secs_f64();
    (passed >= 1.0).then(|| (now.dollars - oldest.dollars) / passed * MONTH_SECONDS)
}

#[expect(clippy::cast_precision_loss, reason = "it is a rough sum")]
fn as_float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_hour() {
        let began = Instant::now();
        let mut known = VecDeque::new();
        let mut at = |seconds: u64, dollars: f64| {
            let now = Spent { at: began + Duration::from_secs(seconds), dollars };
            (rate(&mut known, now), known.len())
        };
        assert_eq!(at(0, 7.0).0, None, "nothing is known of the time before");
        assert_eq!(at(10, 7.5).0, Some(0.5 / 10.0 * MONTH_SECONDS));
        for minute in 1..600 {
            let (dollars, remembered) = at(minute * 60, 7.5);
            assert!(remembered <= 62, "{remembered}");
            assert!(minute < 62 || dollars == Some(0.0), "{dollars:?} after {minute} minutes");
        }
    }
}
