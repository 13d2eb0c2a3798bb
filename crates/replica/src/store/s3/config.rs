//! From an address and the usual AWS variables and files to the settings of a client.
//!
//! What the address says comes first, then the variables, then the profile. Nothing here asks the network, except the
//! search for credentials, which has its own time-out.

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    Config, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::{Builder, tls};
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;

use super::credentials::{self, Credentials};
use super::limits::{CONNECT_TIMEOUT, IDLE_CONNECTIONS_MAX, IDLE_TIMEOUT, STALL_TIMEOUT};
use crate::store::error::{ErrorKind, StoreError};
use crate::store::location::{S3Location, parse_endpoint, refuse_insecure};

/// The region of servers that have none.
const REGION_OF_ENDPOINTS: &str = "us-east-1";
const OPENING: &str = "open the store";

/// What is needed to talk to a server.
pub(super) struct Settings {
    pub(super) config: Config,
    /// Its address, for messages.
    pub(super) server: String,
    /// Whether somebody on the way could change what is sent, so that it has to be signed.
    pub(super) is_exposed: bool,
}

/// The settings of a client.
pub(super) async fn load(
    location: &S3Location,
    given: Option<&Credentials>,
) -> Result<Settings, StoreError> {
    let https = https();
    let region = region(location).await;
    let sdk = from_surroundings(location, region.clone(), https.clone()).await;
    let endpoint = endpoint(location, &sdk)?;
    let region = match (region, &endpoint) {
        (Some(region), _) => region,
        (None, Some(_)) => Region::from_static(REGION_OF_ENDPOINTS),
        (None, None) => return Err(no_region()),
    };
    let credentials = match given {
        Some(given) => given.provider(),
        None => {
            let profile = location.profile.as_deref();
            credentials::find(profile, Some(region.clone()), https.clone()).await?
        }
    };
    let plain = endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut config = aws_sdk_s3::config::Builder::from(&sdk)
        .region(region.clone())
        .credentials_provider(credentials)
        .http_client(if plain { http() } else { https })
        .force_path_style(location.path_style.unwrap_or(endpoint.is_some()))
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .stalled_stream_protection(
            StalledStreamProtectionConfig::enabled().grace_period(STALL_TIMEOUT).build(),
        );
    config.set_endpoint_url(endpoint.clone());
    Ok(Settings {
        config: config.build(),
        is_exposed: endpoint.as_deref().is_some_and(|endpoint| refuse_insecure(endpoint).is_err()),
        server: endpoint.unwrap_or_else(|| format!("S3 in {region}")),
    })
}

async fn region(location: &S3Location) -> Option<Region> {
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &location.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(location.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .region()
        .await
}

/// Without a region the SDK would ask the instance's metadata for one, hence any.
async fn from_surroundings(
    location: &S3Location,
    region: Option<Region>,
    http: SharedHttpClient,
) -> SdkConfig {
    let region = region.unwrap_or(Region::from_static(REGION_OF_ENDPOINTS));
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(profile) = &location.profile {
        loader = loader.profile_name(profile);
    }
    loader.region(region).no_credentials().load().await
}

/// The server that is to be used instead of Amazon's. Wherever it was configured, the same rules hold for it.
fn endpoint(location: &S3Location, sdk: &SdkConfig) -> Result<Option<String>, StoreError> {
    let key = ServiceConfigKey::builder()
        .service_id("S3")
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok();
    let configured = || {
        let of_service = sdk.service_config().zip(key).and_then(|(all, key)| all.load_config(key));
        of_service.or_else(|| sdk.endpoint_url().map(str::to_owned))
    };
    let Some(endpoint) = location.endpoint.clone().or_else(configured) else { return Ok(None) };
    let checked = parse_endpoint(&endpoint).and_then(|endpoint| {
        if !location.insecure_http {
            refuse_insecure(&endpoint)?;
        }
        Ok(endpoint)
    });
    let wrong = |error: crate::store::LocationError| {
        StoreError::new(ErrorKind::Invalid, OPENING, error.to_string())
    };
    checked.map(Some).map_err(wrong)
}

fn no_region() -> StoreError {
    let why = "no region: add region=… to the address, or set AWS_REGION";
    StoreError::new(ErrorKind::Invalid, OPENING, why)
}

fn https() -> SharedHttpClient {
    pool().tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring)).build_https()
}

/// Without TLS there are no certificates to load and to keep.
fn http() -> SharedHttpClient {
    pool().build_http()
}

fn pool() -> Builder {
    Builder::new().pool_idle_timeout(IDLE_TIMEOUT).pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
}
