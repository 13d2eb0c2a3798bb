//! Who we are to the store.

use std::fmt;
use std::time::Duration;

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::imds;
use aws_config::imds::client::error::ImdsError;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::future;
use aws_sdk_s3::config::{ProvideCredentials, Region, SharedCredentialsProvider, SharedHttpClient};

use super::causes::{root_cause, source};
use super::limits::CREDENTIALS_TIMEOUT;
use crate::error::{ErrorKind, StoreError};

/// A key and its secret, given instead of being looked for. Displays without the secret.
#[derive(Clone)]
pub struct Credentials {
    key: String,
    secret: String,
}

impl Credentials {
    /// These two.
    pub fn new(key: impl Into<String>, secret: impl Into<String>) -> Credentials {
        Credentials { key: key.into(), secret: secret.into() }
    }

    pub(super) fn provider(&self) -> SharedCredentialsProvider {
        SharedCredentialsProvider::new(aws_sdk_s3::config::Credentials::new(
            &self.key,
            &self.secret,
            None,
            None,
            "given",
        ))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key).finish_non_exhaustive()
    }
}

/// An instance's metadata answer within milliseconds or not at all.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);
const METADATA_ATTEMPTS: u32 = 2;

const LOOKING: &str = "look for credentials";
const NONE: &str = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE for a profile in \
                    ~/.aws/credentials, or give this machine a role";

/// The usual places, in the usual order: variables, files, web identity, container, instance.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    profile: Option<String>,
    region: Region,
    http: SharedHttpClient,
    /// What was found there last.
    found: aws_sdk_s3::config::Credentials,
}

impl Origin {
    /// Tries all providers once, so that a machine without credentials gets an error with a reason immediately.
    pub(super) async fn find(
        profile: Option<String>,
        region: Region,
        http: SharedHttpClient,
    ) -> Result<(SharedCredentialsProvider, Origin), StoreError> {
        let (provider, found) = look(profile.as_deref(), &region, &http).await?;
        Ok((provider, Origin { profile, region, http, found }))
    }

    /// Looks again, from the beginning: what read a file keeps what it read. Nothing if what was found is the same as before.
    pub(super) async fn look_again(
        &mut self,
    ) -> Result<Option<SharedCredentialsProvider>, StoreError> {
        let (provider, found) = look(self.profile.as_deref(), &self.region, &self.http).await?;
        let is_new = found != self.found;
        self.found = found;
        Ok(is_new.then_some(provider))
    }
}

async fn look(
    profile: Option<&str>,
    region: &Region,
    http: &SharedHttpClient,
) -> Result<(SharedCredentialsProvider, aws_sdk_s3::config::Credentials), StoreError> {
    let region = Some(region.clone());
    let config =
        ProviderConfig::default().with_http_client(http.clone()).with_region(region.clone());
    let metadata = imds::Client::builder()
        .configure(&config)
        .connect_timeout(METADATA_TIMEOUT)
        .read_timeout(METADATA_TIMEOUT)
        .max_attempts(METADATA_ATTEMPTS)
        .build();
    let mut chain = DefaultCredentialsChain::builder().configure(config).imds_client(metadata);
    chain.set_region(region);
    if let Some(profile) = profile {
        chain = chain.profile_name(profile);
    }
    let provider = SharedCredentialsProvider::new(Trimmed(chain.build().await));
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, provider.provide_credentials()).await {
        Ok(Ok(found)) => Ok((provider, found)),
        Ok(Err(error)) => Err(explain(error)),
        Err(_) => {
            let seconds = CREDENTIALS_TIMEOUT.as_secs();
            let cause = format!("nothing that could give them answered within {seconds} s");
            Err(StoreError::new(ErrorKind::Denied, LOOKING, NONE).caused_by(cause))
        }
    }
}

/// Keys without the white space around them. No key has any, and one that comes from a file or a secret often ends with
/// a line break, with which it signs nothing that a store would accept.
#[derive(Debug)]
struct Trimmed(DefaultCredentialsChain);

impl ProvideCredentials for Trimmed {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { Ok(trim(self.0.provide_credentials().await?)) })
    }
}

fn trim(given: aws_sdk_s3::config::Credentials) -> aws_sdk_s3::config::Credentials {
    let (key, secret) = (given.access_key_id().trim(), given.secret_access_key().trim());
    let token = given.session_token().map(str::trim);
    let is_clean = key == given.access_key_id() && secret == given.secret_access_key();
    if is_clean && token == given.session_token() {
        return given;
    }
    let (token, expiry) = (token.map(str::to_owned), given.expiry());
    aws_sdk_s3::config::Credentials::new(key, secret, token, expiry, "trimmed")
}

/// The last place that is asked is the instance's metadata. Where there is none, anything may come from its address.
fn explain(error: CredentialsError) -> StoreError {
    let (kind, why) = match source::<ImdsError>(&error) {
        Some(_) => (ErrorKind::Denied, NONE),
        None => classify(&error),
    };
    StoreError::new(kind, LOOKING, why).caused_by(root_cause(&error))
}

/// What can be done about it.
pub(super) fn classify(error: &CredentialsError) -> (ErrorKind, &'static str) {
    match error {
        CredentialsError::CredentialsNotLoaded(_) => (ErrorKind::Denied, NONE),
        CredentialsError::InvalidConfiguration(_) => {
            (ErrorKind::Invalid, "the configuration of credentials is wrong")
        }
        _ => (ErrorKind::Unavailable, "where the credentials come from does not give them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_displayed() {
        let shown = format!("{:?}", Credentials::new("AKIAKEY", "hunter2"));
        assert!(shown.contains("AKIAKEY") && !shown.contains("hunter2"), "{shown}");
    }
}
