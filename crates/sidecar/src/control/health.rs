//! Whether somebody should look after a database, and why: a function of what is known. The keys are documented in
//! docs/operations.md.

use std::time::Duration;

use ebbtide_catalog::CLOCKS_APART_MICROS_MAX;
use serde::{Deserialize, Serialize};

use crate::follow::Phase;

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

/// What is known of a database.
#[derive(Debug, Clone, Copy)]
pub(super) struct HealthInput {
    pub phase: Phase,
    /// How long it has been in that.
    pub phase_for: Duration,
    /// How long ago a session failed.
    pub failed: Option<Duration>,
    /// For how long the store fails, and whether only a person can mend it.
    pub trouble: Option<(Duration, bool)>,
    /// The age of the oldest commit that is not durable.
    pub lag: Duration,
    /// How long a put may have to wait for the one before.
    pub put_interval: Duration,
    pub is_wal_index_damaged: bool,
    pub has_other_name: bool,
    /// How far ahead of now the newest commit is dated.
    pub ahead: Duration,
    /// Whether the last snapshot failed, or is missing.
    pub lacks_snapshot: bool,
    /// How long ago the manifest was found to be missing or damaged.
    pub manifest_trouble: Option<Duration>,
    /// Whether the last prune failed.
    pub cannot_prune: bool,
    /// For how long a mirror could not be brought up to date.
    pub mirror_trouble: Option<Duration>,
    /// Whether the last drill failed.
    pub drill_failed: bool,
}

/// Why somebody should look; nothing when all is well.
pub(super) fn health_issues(input: &HealthInput) -> Vec<HealthIssue> {
    let failing = matches!(input.phase, Phase::Failing | Phase::LogReleased | Phase::Stopped);
    let failed = input.failed.is_some_and(|ago| ago <= FAILURE_REMEMBERED);
    let starting = input.phase == Phase::Starting && input.phase_for > START_MAX;
    let is_away = |(lasts, is_permanent)| lasts > TROUBLE_MAX || is_permanent;
    // A first snapshot takes as long as it takes.
    let lag_max = LAG_MAX.saturating_add(input.put_interval.saturating_mul(2));
    let lags = input.phase == Phase::Following && input.lag > lag_max;
    let manifest = input.manifest_trouble.is_some_and(|ago| ago <= MANIFEST_REMEMBERED);
    let all = [
        (failing, HealthIssue::Failing),
        (failed && !failing, HealthIssue::Failed),
        (starting, HealthIssue::Starting),
        (input.trouble.is_some_and(is_away), HealthIssue::Store),
        (lags, HealthIssue::Lag),
        (input.is_wal_index_damaged, HealthIssue::WalIndex),
        (input.has_other_name, HealthIssue::OtherName),
        (input.ahead > CLOCKS_APART_MAX, HealthIssue::Clock),
        (input.lacks_snapshot, HealthIssue::Snapshot),
        (manifest, HealthIssue::Manifest),
        (input.cannot_prune, HealthIssue::Prune),
        (input.mirror_trouble.is_some_and(|lasts| lasts > MIRROR_TROUBLE_MAX), HealthIssue::Mirror),
        (input.drill_failed, HealthIssue::Drill),
    ];
    all.into_iter().filter_map(|(has, issue)| has.then_some(issue)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: HealthInput = HealthInput {
        phase: Phase::Following,
        phase_for: Duration::from_secs(1000),
        failed: None,
        trouble: None,
        lag: Duration::ZERO,
        put_interval: Duration::from_secs(1),
        is_wal_index_damaged: false,
        has_other_name: false,
        ahead: Duration::ZERO,
        lacks_snapshot: false,
        manifest_trouble: None,
        cannot_prune: false,
        mirror_trouble: None,
        drill_failed: false,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_put_that_is_tried_again_is_no_ailment_until_it_has_failed_for_long() {
        let with = |trouble| health_issues(&HealthInput { trouble: Some(trouble), ..WELL });
        assert_eq!(health_issues(&WELL), []);
        assert_eq!(with((seconds(15), false)), []);
        assert_eq!(with((seconds(16), false)), [HealthIssue::Store]);
        assert_eq!(
            with((seconds(0), true)),
            [HealthIssue::Store],
            "nobody waits for what will not pass"
        );
    }

    #[test]
    fn a_lag_is_an_ailment_when_the_rate_of_puts_does_not_explain_it() {
        let with = |lag, put_interval| health_issues(&HealthInput { lag, put_interval, ..WELL });
        assert_eq!(with(seconds(62), seconds(1)), []);
        assert_eq!(with(seconds(63), seconds(1)), [HealthIssue::Lag]);
        assert_eq!(with(seconds(2000), seconds(1000)), []);
        assert_eq!(with(seconds(2061), seconds(1000)), [HealthIssue::Lag]);
        assert_eq!(with(seconds(1), Duration::MAX), []);
        let catching_up = HealthInput { phase: Phase::CatchingUp, lag: seconds(4000), ..WELL };
        assert_eq!(health_issues(&catching_up), []);
    }

    #[test]
    fn a_session_that_failed_is_remembered_for_a_while() {
        let failing = HealthInput { phase: Phase::Failing, failed: Some(seconds(1)), ..WELL };
        assert_eq!(health_issues(&failing), [HealthIssue::Failing]);
        let again = |ago| health_issues(&HealthInput { failed: Some(seconds(ago)), ..WELL });
        assert_eq!((again(90), again(91)), (vec![HealthIssue::Failed], vec![]));
        let starting = |phase_for| HealthInput { phase: Phase::Starting, phase_for, ..WELL };
        assert_eq!(health_issues(&starting(seconds(30))), []);
        assert_eq!(health_issues(&starting(seconds(31))), [HealthIssue::Starting]);
        let damaged = HealthInput { is_wal_index_damaged: true, ..WELL };
        assert_eq!(health_issues(&damaged), [HealthIssue::WalIndex]);
        let ahead = |ahead| health_issues(&HealthInput { ahead, ..WELL });
        assert_eq!((ahead(seconds(5)), ahead(seconds(6))), (vec![], vec![HealthIssue::Clock]));
        let lacking = HealthInput { lacks_snapshot: true, ..WELL };
        assert_eq!(health_issues(&lacking), [HealthIssue::Snapshot]);
        let put_back = |ago| health_issues(&HealthInput { manifest_trouble: Some(ago), ..WELL });
        assert_eq!(put_back(seconds(86_400)), [HealthIssue::Manifest]);
        assert_eq!(put_back(seconds(86_401)), []);
    }
}
