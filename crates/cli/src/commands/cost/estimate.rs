//! What a month of one database costs.

use std::path::Path;

use ebbtide_catalog::Listing;
use ebbtide_config::{Database, MONTH_SECONDS, Prices};
use ebbtide_sidecar::clock::now;
use ebbtide_sidecar::control::Report;
use ebbtide_store::{Location, StoreError};

use super::float::{as_bytes, as_float};
use super::forecast::Forecast;

/// A drill proves the newest state and an older one.
const STATES_PROVED: f64 = 2.0;

/// What a replica and its mirrors have now.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stored {
    pub(super) objects: u64,
    pub(super) bytes: u64,
    pub(super) dollars: f64,
}

/// What a process has counted, and what that comes to in a month.
#[derive(Debug, PartialEq)]
pub(super) struct Measured {
    pub(super) seconds: f64,
    pub(super) writes: u64,
    pub(super) reads: u64,
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
    pub(super) dollars: f64,
}

/// What a month costs.
#[derive(Debug, PartialEq)]
pub(super) struct Estimate {
    pub(super) stored: Stored,
    /// What will be stored at the replica's own place, if there is enough to tell it by.
    pub(super) forecast: Option<Forecast>,
    /// What that comes to in all buckets; that of a day if it has no end.
    pub(super) forecast_dollars: f64,
    /// As many as the configuration lets, with those to mirrors.
    pub(super) puts_most: f64,
    pub(super) puts_dollars: f64,
    /// What drills fetch in a month.
    pub(super) drill_bytes: u64,
    pub(super) drill_dollars: f64,
    pub(super) measured: Option<Measured>,
}

impl Estimate {
    /// That of a database, of which a process reports if one follows it.
    pub(super) async fn of(
        database: &Database,
        report: Option<&Report>,
        prices: &Prices,
    ) -> Result<Estimate, StoreError> {
        let mut stored = Stored::default();
        let places: Vec<&Location> =
            [&database.location].into_iter().chain(&database.mirrors).collect();
        let own = stored.add(&database.location, prices).await?;
        for mirror in &database.mirrors {
            stored.add(mirror, prices).await?;
        }
        let forecast = own.and_then(|own| Forecast::of(&own, database.keep.as_ref(), now()));
        let buckets = places.iter().filter(|place| is_bucket(place)).count();
        let puts = database.puts.per_second * MONTH_SECONDS;
        let file = size(&database.path);
        let drills = database.drills.as_ref();
        let drills = drills.map_or(0.0, |drills| MONTH_SECONDS / drills.interval.as_secs_f64());
        let fetched = as_float(file) * STATES_PROVED * drills;
        let is_fetched = is_bucket(&database.location);
        let paid = |dollars: f64, is: bool| if is { dollars } else { 0.0 };
        let stored_later =
            forecast.map_or(0, |forecast| forecast.bytes.unwrap_or(forecast.bytes_a_day));
        let stored_later = as_float(stored_later) * as_float(buckets as u64);
        Ok(Estimate {
            stored,
            forecast,
            forecast_dollars: prices.stored(stored_later),
            puts_most: puts * as_float(places.len() as u64),
            puts_dollars: prices.requests(puts * as_float(buckets as u64), 0.0),
            drill_bytes: as_bytes(fetched),
            drill_dollars: paid(prices.fetched(fetched), is_fetched),
            measured: report.and_then(|report| Measured::of(report, prices, buckets > 0)),
        })
    }

    /// What it comes to: what was measured, if anything was, and otherwise the most that there can be of puts.
    pub(super) fn dollars(&self) -> f64 {
        let traffic = self.measured.as_ref().map_or(self.puts_dollars, |measured| measured.dollars);
        self.stored.dollars + self.drill_dollars + traffic
    }
}

impl Stored {
    /// Adds what there is at a place, by the listing that is given back. A directory that is not there yet has nothing.
    async fn add(
        &mut self,
        place: &Location,
        prices: &Prices,
    ) -> Result<Option<Listing>, StoreError> {
        if matches!(place, Location::Directory(path) if !path.exists()) {
            return Ok(None);
        }
        let listing = ebbtide_catalog::list(&*place.open().await?).await?;
        let bytes: u64 = listing.objects().map(|object| object.size).sum();
        self.objects += listing.objects().count() as u64;
        self.bytes += bytes;
        if is_bucket(place) {
            self.dollars += prices.stored(as_float(bytes));
        }
        Ok(Some(listing))
    }
}

impl Measured {
    fn of(report: &Report, prices: &Prices, is_paid: bool) -> Option<Measured> {
        let seconds = report.counted_seconds;
        if seconds <= 0.0 {
            return None;
        }
        let count =
            |kinds: &[&str]| kinds.iter().filter_map(|kind| report.requests.get(*kind)).sum();
        let writes: u64 = count(&["put", "upload", "list"]);
        let reads: u64 = count(&["get", "head", "other"]);
        let spent = prices.requests(as_float(writes), as_float(reads))
            + prices.stored(as_float(report.sent_bytes));
        Some(Measured {
            seconds,
            writes,
            reads,
            sent_bytes: report.sent_bytes,
            received_bytes: report.received_bytes,
            dollars: if is_paid { spent / seconds * MONTH_SECONDS } else { 0.0 },
        })
    }
}

fn is_bucket(place: &Location) -> bool {
    matches!(place, Location::S3(_))
}

fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn what_was_measured_is_a_month_at_that_rate() {
        let requests = [("put", 60), ("list", 40), ("get", 1000), ("delete", 9)];
        let requests: BTreeMap<String, u64> =
            requests.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
        let report = Report { requests, counted_seconds: 3600.0, ..Report::default() };
        let measured = Measured::of(&report, &Prices::default(), true).unwrap();
        assert_eq!((measured.writes, measured.reads), (100, 1000));
        let hours = 30.0 * 24.0;
        let expected = (100.0 * 5.0 + 1000.0 * 0.4) / 1e6 * hours;
        assert!((measured.dollars - expected).abs() < 1e-9, "{}", measured.dollars);
        assert_eq!(Measured::of(&Report::default(), &Prices::default(), true), None);
    }

    #[tokio::test]
    async fn a_directory_costs_nothing_and_a_bucket_what_may_be_put() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("none").to_str().unwrap().parse().unwrap();
        let database = Database::new(directory.path().join("app.db"), place);
        let estimate = Estimate::of(&database, None, &Prices::default()).await.unwrap();
        assert!(estimate.dollars() == 0.0 && estimate.stored == Stored::default());
        assert!((estimate.puts_most - 2_592_000.0).abs() < 1.0, "{}", estimate.puts_most);
    }
}
