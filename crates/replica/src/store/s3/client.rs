//! Connections, shared by all databases that use the same server in the same way.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, LazyLock, Weak};
use std::time::Duration;

use tokio::runtime::{Handle, Id};
use tokio::sync::{Mutex, Semaphore};

use super::config;
use super::credentials::Credentials;
use super::limits::REQUESTS_MAX;
use crate::store::error::{ErrorKind, StoreError};
use crate::store::location::S3Location;

/// One pool of connections, with the credentials that go with it.
pub(super) struct Client {
    pub(super) sdk: aws_sdk_s3::Client,
    /// Who it talks to, for messages.
    pub(super) server: String,
    turns: Semaphore,
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

/// The clients in use. A client lives as long as a store holds it; a thousand databases that are opened at once wait
/// for the first to have found its credentials.
static CLIENTS: LazyLock<Mutex<HashMap<Identity, Weak<Client>>>> = LazyLock::new(Mutex::default);

impl Client {
    /// The client for this place, a new one if there is none yet.
    pub(super) async fn shared(location: &S3Location) -> Result<Arc<Client>, StoreError> {
        let identity = Identity {
            runtime: Handle::current().id(),
            endpoint: location.endpoint.clone(),
            region: location.region.clone(),
            path_style: location.path_style,
            profile: location.profile.clone(),
            insecure_http: location.insecure_http,
        };
        let mut clients = CLIENTS.lock().await;
        if let Some(client) = clients.get(&identity).and_then(Weak::upgrade) {
            return Ok(client);
        }
        let client = Arc::new(Client::new(location, None).await?);
        clients.retain(|_, client| client.strong_count() > 0);
        clients.insert(identity, Arc::downgrade(&client));
        Ok(client)
    }

    pub(super) async fn new(
        location: &S3Location,
        given: Option<&Credentials>,
    ) -> Result<Client, StoreError> {
        let (config, server) = config::load(location, given).await?;
        Ok(Client {
            sdk: aws_sdk_s3::Client::from_conf(config),
            server,
            turns: Semaphore::new(REQUESTS_MAX),
        })
    }

    /// Makes a request when it is its turn.
    pub(super) async fn turn<T>(
        &self,
        request: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed; a closed one would only mean that nobody waits.
        let _turn = self.turns.acquire().await.ok();
        request.await
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
