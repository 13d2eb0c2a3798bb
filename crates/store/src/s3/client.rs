//! Connections, shared by all databases that use the same server in the same way.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use tokio::runtime::{Handle, Id};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};

use super::config::{self, Settings};
use super::credentials::Credentials;
use super::error::{explain, refuses_us};
use super::limits::{FAILURE_STANDS, REQUESTS_MAX};
use super::renewal::Renewal;
use crate::error::{ErrorKind, StoreError};
use crate::retry::LastServed;
use crate::s3_location::S3Location;

/// One pool of connections, with the credentials that go with it.
pub(super) struct Client {
    renewal: Renewal,
    /// Who it talks to, for messages.
    pub(super) server: String,
    /// Whether what is sent has to be signed, which costs a SHA-256 of all of it: somebody on the way could change it.
    /// Nobody can within TLS, or on the loopback interface.
    pub(super) is_exposed: bool,
    /// When it last served any request.
    pub(super) served: LastServed,
    turns: Arc<Semaphore>,
}

/// Everything in an address that makes a client another one, and the runtime whose tasks drive its connections.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    runtime: Id,
    endpoint: Option<String>,
    region: Option<String>,
    path_style: Option<bool>,
    profile: Option<String>,
    insecure_http: bool,
}

impl Identity {
    fn of(location: &S3Location) -> Identity {
        Identity {
            runtime: Handle::current().id(),
            endpoint: location.endpoint.clone(),
            region: location.region.clone(),
            path_style: location.path_style,
            profile: location.profile.clone(),
            insecure_http: location.insecure_http,
        }
    }
}

/// What is known of one identity. A client lives as long as a store holds it.
#[derive(Default)]
struct Slot {
    client: Weak<Client>,
    failed: Option<(Instant, StoreError)>,
}

impl Slot {
    fn standing_failure(&self) -> Option<&StoreError> {
        let (when, error) = self.failed.as_ref()?;
        (when.elapsed() < FAILURE_STANDS).then_some(error)
    }
}

/// Whether a slot that nobody waits for has anything in it.
fn is_of_use(slot: &Mutex<Slot>) -> bool {
    let Ok(slot) = slot.try_lock() else { return true };
    slot.client.strong_count() > 0 || slot.standing_failure().is_some()
}

/// Databases with the same identity that are opened concurrently wait until the first has found its credentials. If it
/// finds none, the others do not repeat the search.
static CLIENTS: LazyLock<Mutex<HashMap<Identity, Arc<Mutex<Slot>>>>> =
    LazyLock::new(Mutex::default);

impl Client {
    /// The client for this place, a new one if there is none yet.
    pub(super) async fn shared(location: &S3Location) -> Result<Arc<Client>, StoreError> {
        let slot = {
            let mut clients = CLIENTS.lock().await;
            clients.retain(|_, slot| Arc::strong_count(slot) > 1 || is_of_use(slot));
            Arc::clone(clients.entry(Identity::of(location)).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(client) = slot.client.upgrade() {
            return Ok(client);
        }
        if let Some(error) = slot.standing_failure() {
            return Err(error.clone());
        }
        match Client::new(location, None).await {
            Ok(client) => {
                let client = Arc::new(client);
                slot.client = Arc::downgrade(&client);
                Ok(client)
            }
            Err(error) => {
                slot.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    pub(super) async fn new(
        location: &S3Location,
        given: Option<&Credentials>,
    ) -> Result<Client, StoreError> {
        let Settings { config, server, is_exposed, origin } = config::load(location, given).await?;
        Ok(Client {
            renewal: Renewal::new(config, origin),
            server,
            is_exposed,
            served: LastServed::default(),
            turns: Arc::new(Semaphore::new(REQUESTS_MAX)),
        })
    }

    /// Makes a request and waits no longer than `limit` for its answer. If the store refuses our key and there is
    /// another one by now, it is made once more: what was refused was not done.
    pub(super) async fn ask<T, E, F>(
        &self,
        what: &str,
        bucket: &str,
        limit: Duration,
        request: impl Fn(&aws_sdk_s3::Client) -> F,
    ) -> Result<T, StoreError>
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let attempt = async |sdk: &aws_sdk_s3::Client| {
            let request = request(sdk);
            self.within(what, limit, async { Ok(request.await) }).await
        };
        let (age, sdk) = self.renewal.current();
        let mut answer = attempt(&sdk).await?;
        if answer.as_ref().err().is_some_and(refuses_us) && self.renewal.renew(age).await {
            answer = attempt(&self.renewal.current().1).await?;
        }
        answer.map_err(|error| explain(what, &self.server, bucket, error))
    }

    /// Makes a request when it is its turn.
    pub(super) async fn turn<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let _turn = self.begin_turn().await;
        let result = request.await;
        self.served.note(&result);
        result
    }

    /// Waits until a request may be made, which goes on until what this returns is dropped.
    pub(super) async fn begin_turn(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed; a closed one would only mean that nobody waits.
        Arc::clone(&self.turns).acquire_owned().await.ok()
    }

    /// Waits no longer than this.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        timeout: Duration,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        tokio::time::timeout(timeout, request).await.unwrap_or_else(|_| {
            let why = format!("no answer from {} within {} s", self.server, timeout.as_secs());
            Err(StoreError::new(ErrorKind::Unavailable, what, why))
        })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("server", &self.server).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl Client {
    /// The same over something else than connections.
    pub(super) fn speaking_through(mut self, http: aws_sdk_s3::config::SharedHttpClient) -> Client {
        let config = self.renewal.current().1.config().to_builder().http_client(http).build();
        self.renewal = Renewal::new(config, None);
        self
    }
}
