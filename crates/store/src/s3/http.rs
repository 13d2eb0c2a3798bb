//! Connections to a server: TLS, proxies, names and limits, put together below the SDK.

use aws_sdk_s3::config::SharedHttpClient;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};

use super::bounded::Bounded;
use super::causes::root_cause;
use super::limits::{IDLE_CONNECTIONS_MAX, IDLE_TIMEOUT};
use super::names::Names;
use crate::error::{ErrorKind, StoreError};

/// A pool of connections to servers with certificates of these authorities, by way of this proxy.
pub(super) fn client(
    trust: TrustStore,
    proxy: Option<ProxyConfig>,
    what: &str,
) -> Result<SharedHttpClient, StoreError> {
    let context = TlsContext::builder().with_trust_store(trust).build().map_err(|error| {
        StoreError::new(ErrorKind::Invalid, what, "TLS cannot be set up")
            .caused_by(root_cause(&error))
    })?;
    let pool = Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder()
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .tls_context(context.clone());
        connector.set_connector_settings(settings.cloned());
        connector.set_proxy_config(proxy.clone());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.build_with_resolver(Names)
    });
    Ok(SharedHttpClient::new(Bounded(pool)))
}
