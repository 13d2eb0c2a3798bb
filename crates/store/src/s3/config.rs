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
use aws_smithy_types::retry::RetryConfig;
use aws_types::service_config::ServiceConfigKey;
use url::Url;

use super::credentials::{Credentials, Origin};
use super::limits::{CONNECT_TIMEOUT, STALL_TIMEOUT};
use super::proxy::Scheme;
use super::{http, proxy, trust};
use crate::error::{ErrorKind, StoreError};
use crate::s3_location::{S3Location, parse_endpoint, refuse_insecure};

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
    /// Where the credentials came from, unless they were given.
    pub(super) origin: Option<Origin>,
}

/// The settings of a client.
pub(super) async fn load(
    location: &S3Location,
    given: Option<&Credentials>,
) -> Result<Settings, StoreError> {
    let region = region(location).await;
    let sdk = from_surroundings(location, region.clone()).await?;
    let endpoint = endpoint(location, &sdk)?;
    let region = match (region, &endpoint) {
        (Some(region), _) => region,
        (None, Some(_)) => Region::from_static(REGION_OF_ENDPOINTS),
        (None, None) => return Err(no_region()),
    };
    let clients = clients(&sdk, endpoint.as_deref())?;
    let (credentials, origin) = match given {
        Some(given) => (given.provider(), None),
        None => {
            let profile = location.profile.clone();
            let (provider, origin) = Origin::find(profile, region.clone(), clients.https).await?;
            (provider, Some(origin))
        }
    };
    let mut config = aws_sdk_s3::config::Builder::from(&sdk)
        .region(region.clone())
        .credentials_provider(credentials)
        .http_client(clients.store)
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
        origin,
    })
}

/// What connects to the store, and to where credentials come from.
struct Clients {
    store: SharedHttpClient,
    https: SharedHttpClient,
}

/// An instance's metadata are asked over plain http, and never by way of a proxy.
fn clients(sdk: &SdkConfig, endpoint: Option<&str>) -> Result<Clients, StoreError> {
    let url = endpoint.and_then(|endpoint| Url::parse(endpoint).ok());
    let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or(443);
    let variable = |name: &str| std::env::var(name).ok();
    let roots = trust::roots(configured(sdk, "AWS_CA_BUNDLE", "ca_bundle"), OPENING)?;
    let proxy = proxy::find(Scheme::Https, port, OPENING, variable)?;
    let https = http::client(roots.clone(), proxy, OPENING)?;
    if url.is_none_or(|url| url.scheme() == "https") {
        return Ok(Clients { store: https.clone(), https });
    }
    // Without TLS there are no certificates to load and to keep, unless the proxy has one.
    let proxy = proxy::find(Scheme::Http, port, OPENING, variable)?;
    let roots = if proxy.is_some() { roots } else { trust::nobody() };
    Ok(Clients { store: http::client(roots, proxy, OPENING)?, https })
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

/// Without a region the SDK would ask the instance's metadata for one, hence any. Nothing is asked for, hence nobody is
/// trusted.
async fn from_surroundings(
    location: &S3Location,
    region: Option<Region>,
) -> Result<SdkConfig, StoreError> {
    let region = region.unwrap_or(Region::from_static(REGION_OF_ENDPOINTS));
    let http = http::client(trust::nobody(), None, OPENING)?;
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
    if let Some(profile) = &location.profile {
        loader = loader.profile_name(profile);
    }
    Ok(loader.region(region).no_credentials().load().await)
}

/// What a variable says, or a key of the profile; for S3 alone, or for all services.
fn configured(sdk: &SdkConfig, variable: &str, key: &str) -> Option<String> {
    let key = ServiceConfigKey::builder().service_id("S3").env(variable).profile(key).build();
    sdk.service_config().and_then(|all| all.load_config(key.ok()?))
}

/// The server that is to be used instead of Amazon's. Wherever it was configured, the same rules hold for it.
fn endpoint(location: &S3Location, sdk: &SdkConfig) -> Result<Option<String>, StoreError> {
    let configured = || {
        let of_service = configured(sdk, "AWS_ENDPOINT_URL", "endpoint_url");
        of_service.or_else(|| sdk.endpoint_url().map(str::to_owned))
    };
    let Some(endpoint) = location.endpoint.clone().or_else(configured) else { return Ok(None) };
    let checked = parse_endpoint(&endpoint).and_then(|endpoint| {
        if !location.insecure_http {
            refuse_insecure(&endpoint)?;
        }
        Ok(endpoint)
    });
    let wrong = |error: crate::LocationError| {
        StoreError::new(ErrorKind::Invalid, OPENING, error.to_string())
    };
    checked.map(Some).map_err(wrong)
}

fn no_region() -> StoreError {
    let why = "no region: add region=… to the address, or set AWS_REGION";
    StoreError::new(ErrorKind::Invalid, OPENING, why)
}
