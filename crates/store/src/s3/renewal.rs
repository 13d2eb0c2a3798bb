//! Keys that are replaced while we run.
//!
//! What read credentials from a file once keeps them, and so does the SDK. So when the store refuses a key, the search
//! is repeated; if it finds another, everything from there on is signed with that. Connections stay.

use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use aws_sdk_s3::{Client, Config};
use tokio::sync::Mutex;

use super::credentials::Origin;
use super::limits::RENEWAL_INTERVAL;

/// The client that signs, and where its credentials came from.
pub(super) struct Renewal {
    /// How many keys there were before, and the client with the present one.
    current: RwLock<(u64, Client)>,
    /// Nothing if the credentials were given explicitly. Requests that are rejected concurrently wait for one search.
    search: Option<Mutex<Search>>,
}

struct Search {
    origin: Origin,
    last: Option<Instant>,
}

impl Renewal {
    pub(super) fn new(config: Config, origin: Option<Origin>) -> Renewal {
        let search = origin.map(|origin| Mutex::new(Search { origin, last: None }));
        Renewal { current: RwLock::new((0, Client::from_conf(config))), search }
    }

    /// How many keys there were before, and the client with the present one.
    pub(super) fn current(&self) -> (u64, Client) {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The key of this age was refused: looks for another one; whether there is one.
    pub(super) async fn renew(&self, age: u64) -> bool {
        let Some(search) = &self.search else { return false };
        let mut search = search.lock().await;
        let (now, client) = self.current();
        if now != age {
            return true;
        }
        if search.last.is_some_and(|last| last.elapsed() < RENEWAL_INTERVAL) {
            return false;
        }
        search.last = Some(Instant::now());
        let provider = match search.origin.look_again().await {
            Ok(Some(provider)) => provider,
            Ok(None) => return false,
            Err(error) => {
                tracing::debug!(?error, "the credentials were refused, and there are none now");
                return false;
            }
        };
        tracing::info!("the store refused the credentials; using those that replaced them");
        let config = client.config().to_builder().credentials_provider(provider).build();
        let renewed = (age + 1, Client::from_conf(config));
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = renewed;
        true
    }
}
