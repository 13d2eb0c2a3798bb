//! Whether everything is durable, as a heartbeat promises it: a function of what is known.

use std::time::Duration;

use ebbtide_replica::Timestamp;
use ebbtide_sidecar::follow::{DatabaseStatus, Phase};

/// Whether every commit that is older than `within` is durable, and it is known to be so: a database is followed, and none
/// of its commits waits for longer, or it was let go with a last sync.
pub(super) fn is_durable(status: &DatabaseStatus, now: Timestamp, within: Duration) -> bool {
    match status.phase {
        Phase::Following => status.lag(now) <= within && !status.lacks_base,
        Phase::Ended => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ebbtide_sidecar::follow::Status;
    use ebbtide_store::Pace;

    use super::*;

    #[test]
    fn what_is_not_followed_or_waits_for_longer_is_not_durable() {
        let ago = |seconds: i64| Timestamp::from_micros((1_795_824_000 - seconds) * 1_000_000);
        let now = ago(0).unwrap();
        let pace = Arc::new(Pace::new(None));
        let known =
            Status::new("/app.db".into(), "replica".to_owned(), &Default::default(), &pace).get();
        let with = |phase, waits: Option<i64>, lacks_base| {
            let oldest_undurable = waits.map(|seconds| ago(seconds).unwrap());
            let status = DatabaseStatus { phase, oldest_undurable, lacks_base, ..known.clone() };
            is_durable(&status, now, Duration::from_secs(60))
        };
        assert!(with(Phase::Following, None, false));
        assert!(with(Phase::Following, Some(60), false));
        assert!(!with(Phase::Following, Some(61), false));
        assert!(with(Phase::Ended, None, false), "it was let go with a last sync");
        assert!(!with(Phase::Following, None, true), "nothing can be restored without a snapshot");
        for phase in [
            Phase::Starting,
            Phase::CatchingUp,
            Phase::Failing,
            Phase::LogReleased,
            Phase::Released,
            Phase::Stopped,
        ] {
            assert!(!with(phase, None, false), "{phase:?}");
        }
    }
}
