//! Whether somebody should look after a database, and why: a function of what is known. The keys are documented in
//! docs/operations.md.

use std::time::Duration;

use ebbtide_catalog::CLOCKS_APART_MICROS_MAX;
use ebbtide_replica::Timestamp;
use serde::{Deserialize, Serialize};

use crate::follow::{DatabaseStatus, MirrorProgress, Outage, Phase};

/// A store that fails for longer than this is away; what fails for less is tried again, and most of it succeeds.
const TROUBLE_MAX: Duration = Duration::from_secs(15);

/// A start that takes longer than this waits for something.
const START_MAX: Duration = Duration::from_secs(30);

/// Beyond twice the time between two puts, a commit is durable within this.
const LAG_MAX: Duration = Duration::from_secs(60);

/// The clocks of two hosts that are both right are less far apart, and one that is put right by less is no fault.
const CLOCKS_APART_MAX: Duration = Duration::from_micros(CLOCKS_APART_MICROS_MAX.unsigned_abs());

/// For so long a session that failed is remembered, so that whoever looks once a minute sees it.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(90);

/// For so long a manifest that was put back is remembered, so that somebody finds out why it was gone.
const MANIFEST_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// A mirror that cannot be brought up to date for longer than this needs somebody.
const MIRROR_TROUBLE_MAX: Duration = Duration::from_secs(10 * 60);

/// With less room than this no database is written for long.
const DISK_FREE_BYTES_MIN: u64 = 1024 * 1024;

/// Why somebody should look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HealthIssue {
    /// Nobody follows it.
    NotFollowed,
    /// It is not followed just now, or not any more.
    Failing,
    /// A session has failed lately, and another one was begun.
    Failed,
    /// It does not get to follow.
    Starting,
    /// The store fails for long, or will until a person has mended it.
    Store,
    /// Commits are not durable for longer than the rate of puts explains.
    Lag,
    /// The disk of the database or of its local state is full.
    Disk,
    /// The wal-index is damaged: the database will lack pages.
    WalIndex,
    /// The file has another name, by which somebody may write another log.
    OtherName,
    /// Commits are dated later than now, because a clock was ahead.
    Clock,
    /// A snapshot could not be made: most likely the database's file is not what SQLite has written. Or the newest one is
    /// missing in the replica.
    Snapshot,
    /// The manifest was missing in the replica, or is damaged: something deletes or changes objects there.
    Manifest,
    /// The replica cannot be pruned: something that is to be kept is missing or damaged there, or a policy that gives up
    /// most of it has to be confirmed.
    Prune,
    /// A mirror has not been up to date for a while.
    Mirror,
    /// The last drill failed: the replica cannot be restored as it should be.
    Drill,
}

impl HealthIssue {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            HealthIssue::NotFollowed => "not-followed",
            HealthIssue::Failing => "failing",
            HealthIssue::Failed => "failed",
            HealthIssue::Starting => "starting",
            HealthIssue::Store => "store",
            HealthIssue::Lag => "lag",
            HealthIssue::Disk => "disk",
            HealthIssue::WalIndex => "wal-index",
            HealthIssue::OtherName => "other-name",
            HealthIssue::Clock => "clock",
            HealthIssue::Snapshot => "snapshot",
            HealthIssue::Manifest => "manifest",
            HealthIssue::Prune => "prune",
            HealthIssue::Mirror => "mirror",
            HealthIssue::Drill => "drill",
        }
    }
}

/// Why somebody should look at `now`; nothing when all is well.
#[must_use]
pub fn health_issues(status: &DatabaseStatus, now: Timestamp) -> Vec<HealthIssue> {
    let failing = matches!(status.phase, Phase::Failing | Phase::LogReleased | Phase::Stopped);
    let is_within = |trouble: &Option<(Timestamp, String)>, most| {
        trouble.as_ref().is_some_and(|(since, _)| since.until(now) <= most)
    };
    // A database that is gone was looked for before it was let go.
    let failed = status.phase != Phase::Ended && is_within(&status.failure, FAILURE_REMEMBERED);
    let starting = status.phase == Phase::Starting && status.since.until(now) > START_MAX;
    let is_away = |outage: &Outage| outage.lasts > TROUBLE_MAX || outage.is_permanent;
    // A first snapshot takes as long as it takes.
    let lag_max = LAG_MAX.saturating_add(status.put_interval.saturating_mul(2));
    let lags = status.phase == Phase::Following && status.lag(now) > lag_max;
    let log = status.log.as_ref();
    let ahead = status.newest().map_or(Duration::ZERO, |newest| now.until(newest));
    let is_old = |mirror: &MirrorProgress| {
        mirror.trouble.as_ref().is_some_and(|(since, _)| since.until(now) > MIRROR_TROUBLE_MAX)
    };
    let all = [
        (failing, HealthIssue::Failing),
        (failed && !failing, HealthIssue::Failed),
        (starting, HealthIssue::Starting),
        (status.outage.as_ref().is_some_and(is_away), HealthIssue::Store),
        (lags, HealthIssue::Lag),
        (status.disk_free_bytes.is_some_and(|free| free < DISK_FREE_BYTES_MIN), HealthIssue::Disk),
        (log.is_some_and(|log| log.is_damaged), HealthIssue::WalIndex),
        (log.is_some_and(|log| log.other_names.is_some()), HealthIssue::OtherName),
        (ahead > CLOCKS_APART_MAX, HealthIssue::Clock),
        (status.snapshot_trouble.is_some() || status.lacks_base, HealthIssue::Snapshot),
        (is_within(&status.manifest_trouble, MANIFEST_REMEMBERED), HealthIssue::Manifest),
        (status.prune_trouble.is_some(), HealthIssue::Prune),
        (status.mirrors.iter().any(is_old), HealthIssue::Mirror),
        (status.drills.failed.is_some(), HealthIssue::Drill),
    ];
    all.into_iter().filter_map(|(has, issue)| has.then_some(issue)).collect()
}

#[cfg(test)]
mod tests {
    use ebbtide_replica::{Point, Txid};
    use ebbtide_restore::FailedDrill;
    use ebbtide_watcher::LogStatus;

    use super::*;

    const NOW: i64 = 1_795_824_000;

    /// So many seconds before now.
    fn ago(seconds: i64) -> Timestamp {
        Timestamp::from_micros((NOW - seconds) * 1_000_000).unwrap()
    }

    /// What is wrong with a database that is well but for what `change` does.
    fn with(change: impl FnOnce(&mut DatabaseStatus)) -> Vec<HealthIssue> {
        let mut status = DatabaseStatus::new("/app.db".into(), "replica".to_owned(), ago(1000));
        status.phase = Phase::Following;
        status.put_interval = Duration::from_secs(1);
        change(&mut status);
        health_issues(&status, ago(0))
    }

    fn trouble(seconds: i64) -> Option<(Timestamp, String)> {
        Some((ago(seconds), "why".to_owned()))
    }

    #[test]
    fn a_put_that_is_tried_again_is_no_ailment_until_it_has_failed_for_long() {
        let outage = |lasts, is_permanent| {
            let lasts = Duration::from_secs(lasts);
            let outage = Outage { since: ago(0), lasts, error: String::new(), is_permanent };
            with(|status| status.outage = Some(outage))
        };
        assert_eq!(with(|_| {}), []);
        assert_eq!(outage(15, false), []);
        assert_eq!(outage(16, false), [HealthIssue::Store]);
        assert_eq!(outage(0, true), [HealthIssue::Store], "nobody waits for what will not pass");
    }

    #[test]
    fn a_lag_is_an_ailment_when_the_rate_of_puts_does_not_explain_it() {
        let lag = |seconds, put_interval| {
            with(|status| {
                status.oldest_undurable = Some(ago(seconds));
                status.put_interval = put_interval;
            })
        };
        let seconds = Duration::from_secs;
        assert_eq!(lag(62, seconds(1)), []);
        assert_eq!(lag(63, seconds(1)), [HealthIssue::Lag]);
        assert_eq!(lag(2000, seconds(1000)), []);
        assert_eq!(lag(2061, seconds(1000)), [HealthIssue::Lag]);
        assert_eq!(lag(1, Duration::MAX), []);
        let catching_up = with(|status| {
            status.phase = Phase::CatchingUp;
            status.oldest_undurable = Some(ago(4000));
        });
        assert_eq!(catching_up, []);
    }

    #[test]
    fn what_went_wrong_is_remembered_for_a_while() {
        let failing = with(|status| {
            status.phase = Phase::Failing;
            status.failure = trouble(1);
        });
        assert_eq!(failing, [HealthIssue::Failing]);
        let failed = |seconds| with(|status| status.failure = trouble(seconds));
        assert_eq!((failed(90), failed(91)), (vec![HealthIssue::Failed], vec![]));
        let starting =
            |seconds| with(|status| (status.phase, status.since) = (Phase::Starting, ago(seconds)));
        assert_eq!((starting(30), starting(31)), (vec![], vec![HealthIssue::Starting]));
        let put_back = |seconds| with(|status| status.manifest_trouble = trouble(seconds));
        assert_eq!((put_back(86_400), put_back(86_401)), (vec![HealthIssue::Manifest], vec![]));
    }

    #[test]
    fn a_full_disk_is_an_ailment() {
        let free = |free| with(|status| status.disk_free_bytes = free);
        assert_eq!(free(Some(0)), [HealthIssue::Disk]);
        assert_eq!(free(Some(DISK_FREE_BYTES_MIN - 1)), [HealthIssue::Disk]);
        assert_eq!((free(Some(DISK_FREE_BYTES_MIN)), free(None)), (vec![], vec![]));
    }

    #[test]
    fn what_the_log_says_is_an_ailment() {
        let log = |is_damaged, other_names: Option<&str>| {
            let log = LogStatus {
                frames: Some(1),
                file_bytes: 4152,
                readers: Vec::new(),
                oldest_uncaptured: None,
                is_damaged,
                other_names: other_names.map(str::to_owned),
            };
            with(|status| status.log = Some(log))
        };
        assert_eq!(log(false, None), []);
        assert_eq!(log(true, None), [HealthIssue::WalIndex]);
        assert_eq!(log(false, Some("it has a second name")), [HealthIssue::OtherName]);
    }

    #[test]
    fn commits_that_are_dated_later_than_now_are_an_ailment() {
        let ahead = |seconds: i64| {
            let newest = Point { txid: Txid::new(1).unwrap(), time: ago(-seconds) };
            with(|status| status.captured = Some(newest))
        };
        assert_eq!((ahead(5), ahead(6)), (vec![], vec![HealthIssue::Clock]));
    }

    #[test]
    fn what_the_replica_lacks_is_an_ailment() {
        assert_eq!(with(|status| status.lacks_base = true), [HealthIssue::Snapshot]);
        assert_eq!(with(|status| status.snapshot_trouble = trouble(0)), [HealthIssue::Snapshot]);
        assert_eq!(with(|status| status.prune_trouble = trouble(0)), [HealthIssue::Prune]);
        let mirror = |seconds| {
            let mut mirror = MirrorProgress::new("mirror".to_owned());
            mirror.trouble = trouble(seconds);
            with(|status| status.mirrors = vec![mirror])
        };
        assert_eq!((mirror(600), mirror(601)), (vec![], vec![HealthIssue::Mirror]));
        let failed = FailedDrill { at: ago(5), error: "damaged".to_owned() };
        assert_eq!(with(|status| status.drills.failed = Some(failed)), [HealthIssue::Drill]);
    }
}
