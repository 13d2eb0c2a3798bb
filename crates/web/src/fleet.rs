//! The replicas below one address, as they were looked at last. Whoever asks has them looked at again once that is a minute
//! ago, and waits for it a moment.
//!
//! They are looked at on threads that may compute for long, one look at a time, and only while somebody asks.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ebbtide_fleet::Member;
use ebbtide_replica::Timestamp;
use ebbtide_sidecar::clock;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

/// For so long a look is good.
const FRESH: Duration = Duration::from_secs(60);

/// For so long a client waits for another one. What was seen before is shown after that.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at a fleet, what needs attention first; it may take long. The error says why it cannot be looked at.
pub type LookAtFleet = dyn Fn() -> Result<Vec<Member>, String> + Send + Sync;

/// All replicas below one address.
pub struct ShownFleet {
    /// The address.
    pub(crate) address: String,
    look: Arc<LookAtFleet>,
    state: Arc<FleetState>,
}

struct FleetState {
    last: Mutex<LastLook>,
    looked: Notify,
}

struct LastLook {
    members: Arc<Vec<Member>>,
    at: Timestamp,
    error: Option<String>,
    is_looking: bool,
    /// When it was looked at, with or without success.
    when: Instant,
}

/// What there is to be shown.
#[derive(Debug, Clone)]
pub(crate) struct SeenFleet {
    pub(crate) members: Arc<Vec<Member>>,
    /// When they were like this.
    pub(crate) at: Timestamp,
    /// Why it is not known how they are now.
    pub(crate) error: Option<String>,
}

impl ShownFleet {
    /// The fleet at an address, which was found to be `members` now. It is looked at again by `look`.
    #[must_use]
    pub fn new(address: String, members: Vec<Member>, look: Arc<LookAtFleet>) -> ShownFleet {
        let last = LastLook {
            members: Arc::new(members),
            at: clock::now(),
            error: None,
            is_looking: false,
            when: Instant::now(),
        };
        let state = FleetState { last: Mutex::new(last), looked: Notify::new() };
        ShownFleet { address, look, state: Arc::new(state) }
    }

    /// How it is; looked at again, if that is due.
    pub(crate) async fn see(&self) -> SeenFleet {
        let looked = self.state.looked.notified();
        tokio::pin!(looked);
        // An end from here on wakes us.
        looked.as_mut().enable();
        if self.state.begin_to_look(Instant::now()) {
            let (state, look) = (Arc::clone(&self.state), Arc::clone(&self.look));
            tokio::spawn(async move {
                let found = spawn_blocking(move || look()).await;
                state.end(found.unwrap_or_else(|error| Err(error.to_string())));
            });
        }
        if self.state.is_looking() && tokio::time::timeout(PATIENCE, looked).await.is_err() {
            tracing::debug!(place = self.address, "a fleet takes long to be looked at");
        }
        self.state.seen()
    }

    /// The address of the replica of this name.
    pub(crate) fn address_of(&self, name: &str) -> Option<String> {
        let members = Arc::clone(&self.state.last().members);
        let found = members.iter().find(|it| it.name == name)?;
        Some(found.address.clone())
    }
}

impl FleetState {
    fn last(&self) -> MutexGuard<'_, LastLook> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> SeenFleet {
        let last = self.last();
        SeenFleet { members: Arc::clone(&last.members), at: last.at, error: last.error.clone() }
    }

    fn is_looking(&self) -> bool {
        self.last().is_looking
    }

    /// Whether a look is due; then it counts as under way.
    fn begin_to_look(&self, now: Instant) -> bool {
        let mut last = self.last();
        let begins = !last.is_looking && now.duration_since(last.when) >= FRESH;
        last.is_looking |= begins;
        begins
    }

    fn end(&self, found: Result<Vec<Member>, String>) {
        let mut last = self.last();
        (last.is_looking, last.when) = (false, Instant::now());
        match found {
            Ok(members) => {
                (last.members, last.at, last.error) = (Arc::new(members), clock::now(), None);
            }
            // What was known before is still shown.
            Err(error) => last.error = Some(error),
        }
        drop(last);
        self.looked.notify_waiters();
    }
}

impl fmt::Debug for ShownFleet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ShownFleet({})", self.address)
    }
}

#[cfg(test)]
mod tests {
    use ebbtide_fleet::LastDrill;

    use super::*;

    fn member(name: &str) -> Member {
        let summary = Err("it is only a name".to_owned());
        let (address, name) = (format!("s3://backups/{name}"), name.to_owned());
        Member { address, name, summary, drill: LastDrill::default() }
    }

    #[test]
    fn a_fleet_is_looked_at_once_a_minute_and_what_was_seen_outlasts_an_outage() {
        let look: Arc<LookAtFleet> = Arc::new(|| Ok(Vec::new()));
        let fleet = ShownFleet::new("s3://backups".to_owned(), vec![member("a")], look);
        let (state, begun) = (&fleet.state, fleet.state.last().when);
        assert!(!state.begin_to_look(begun + FRESH / 2));
        assert!(state.begin_to_look(begun + FRESH));
        assert!(!state.begin_to_look(begun + FRESH), "one at a time");
        state.end(Err("the store is away".to_owned()));
        assert_eq!(*state.seen().members, [member("a")]);
        assert_eq!(state.seen().error.as_deref(), Some("the store is away"));
        let when = state.last().when;
        assert!(!state.begin_to_look(when) && state.begin_to_look(when + FRESH));
        state.end(Ok(vec![member("a"), member("eu/b")]));
        assert_eq!((state.seen().members.len(), state.seen().error), (2, None));
        assert_eq!(fleet.address_of("eu/b").as_deref(), Some("s3://backups/eu/b"));
        assert_eq!(fleet.address_of("b"), None);
    }
}
