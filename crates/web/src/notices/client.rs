//! One request at a time to one address, which is as a rule a secret: it is never logged but for its host.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::http::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;

use crate::error::Error;

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Who sends.
const AGENT: &str = concat!("ebbtide/", env!("CARGO_PKG_VERSION"));

/// An address, and the connections to it.
#[derive(Debug)]
pub(super) struct Client {
    address: Uri,
    http: legacy::Client<HttpsConnector<HttpConnector>, Body>,
}

/// Why a request has failed, without its address.
#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{0}")]
    Build(#[from] axum::http::Error),
    #[error("{0}")]
    Send(#[from] legacy::Error),
    #[error("no answer within {PATIENCE:?}")]
    Late,
    #[error("the answer is {0}")]
    Status(axum::http::StatusCode),
}

impl Client {
    /// For the address of this key of the configuration.
    pub(super) fn new(key: &'static str, address: &str) -> Result<Client, Error> {
        let fail = |why: &str| Error::Address { key, why: why.to_owned() };
        let address: Uri = address.parse().map_err(|_| fail("it is no URL"))?;
        let is_web = matches!(address.scheme_str(), Some("http" | "https"));
        if !is_web || address.host().is_none_or(str::is_empty) {
            return Err(fail(
                "it begins with https://, or http:// within a network that is your own",
            ));
        }
        let connector = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(default_provider())
            .map_err(|error| fail(&format!("no certificates of authorities: {error}")))?
            .https_or_http()
            .enable_http1()
            .build();
        let http = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(PATIENCE)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(connector);
        Ok(Client { address, http })
    }

    /// Where it goes, for logs: a path is as a rule a secret.
    pub(super) fn host(&self) -> &str {
        self.address.host().unwrap_or_default()
    }

    /// Asks for the address, and waits for the answer, of which nothing but its status counts.
    pub(super) async fn get(&self) -> Result<(), RequestError> {
        self.send(Method::GET, &[], Body::empty()).await
    }

    /// Sends a document.
    pub(super) async fn post(
        &self,
        headers: &[(&'static str, String)],
        document: String,
    ) -> Result<(), RequestError> {
        self.send(Method::POST, headers, Body::from(document)).await
    }

    async fn send(
        &self,
        method: Method,
        headers: &[(&'static str, String)],
        body: Body,
    ) -> Result<(), RequestError> {
        let mut request = Request::builder().method(&method).uri(self.address.clone());
        request = request.header(USER_AGENT, AGENT);
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = self.http.request(request.body(body)?);
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let status = answer.map_err(|_| RequestError::Late)??.status();
        if status.is_success() { Ok(()) } else { Err(RequestError::Status(status)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_the_web_and_its_secret_is_not_told() {
        for wrong in
            ["", "example.com/ping", "ftp://example.com/x", "https://", "/path", "http:///x"]
        {
            let error = Client::new("heartbeat-url", wrong).unwrap_err().to_string();
            assert!(error.starts_with("heartbeat-url: "), "{error}");
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
        let client = Client::new("webhook-url", "https://hooks.example/secret").unwrap();
        assert_eq!(client.host(), "hooks.example");
    }
}
