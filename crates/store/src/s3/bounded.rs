//! A limit for each body that the SDK would otherwise read to its end, however far away that is.
//!
//! The SDK holds a listing, an error and every other answer but an object in memory before it looks at it, and has no
//! limit for any. This stands below it. An object's bytes are not the SDK's to keep: who asks for them counts them.

use std::fmt;
use std::future::ready;

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::{ConfigBag, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use futures::StreamExt as _;
use http_body_util::{BodyStream, StreamBody};

use super::limits::{ANSWER_BYTES_MAX, ANSWER_TAGS_MAX, ERROR_BYTES_MAX};

/// A client whose answers have an end.
#[derive(Debug)]
pub(super) struct Bounded(pub(super) SharedHttpClient);

#[derive(Debug)]
struct Connector(SharedHttpConnector);

/// What may still come.
#[derive(Debug, Clone, Copy)]
struct Left {
    bytes: usize,
    /// What XML is made of grows many times over when it is taken apart.
    tags: usize,
}

/// An answer that goes on and on.
#[derive(Debug)]
struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is longer than any that S3 gives")
    }
}

impl std::error::Error for TooLong {}

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector(self.0.http_connector(settings, components)))
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_base_client_config(&self.0, components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        HttpClient::validate_final_config(&self.0, components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asks_for_object = asks_for_object(request.method(), request.uri());
        let answer = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let answer: HttpResponse = answer.await?;
            let is_success = answer.status().is_success();
            if is_success && asks_for_object {
                return Ok(answer);
            }
            let bytes = if is_success { ANSWER_BYTES_MAX } else { ERROR_BYTES_MAX };
            Ok(answer.map(|body| bounded(body, Left { bytes, tags: ANSWER_TAGS_MAX })))
        })
    }
}

/// Only such an answer is handed on piece by piece.
fn asks_for_object(method: &str, uri: &str) -> bool {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    method == "GET" && query.split('&').any(|pair| pair == "x-id=GetObject")
}

/// The same body, which ends with an error where it would be too long.
fn bounded(body: SdkBody, left: Left) -> SdkBody {
    let frames = BodyStream::new(body).scan(Some(left), |state, frame| {
        let Some(left) = state.as_mut() else { return ready(None) };
        let data = frame.as_ref().ok().and_then(|frame| frame.data_ref());
        if data.is_none_or(|data| left.take(data)) {
            return ready(Some(frame));
        }
        *state = None;
        ready(Some(Err(TooLong.into())))
    });
    SdkBody::from_body_1_x(StreamBody::new(frames))
}

impl Left {
    /// Whether there is room for `data` besides what came before.
    fn take(&mut self, data: &[u8]) -> bool {
        let tags = data.iter().filter(|byte| **byte == b'<').count();
        let left = self.bytes.checked_sub(data.len()).zip(self.tags.checked_sub(tags));
        if let Some((bytes, tags)) = left {
            *self = Left { bytes, tags };
        }
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::primitives::ByteStream;

    use super::*;

    async fn read(body: &'static str, bytes: usize, tags: usize) -> Option<Vec<u8>> {
        let body = bounded(SdkBody::from(body), Left { bytes, tags });
        ByteStream::new(body).collect().await.ok().map(|all| all.to_vec())
    }

    #[tokio::test]
    async fn z03_a_body_within_its_limits_is_the_same_and_any_other_is_an_error() {
        assert_eq!(read("<a><b>", 6, 2).await.as_deref(), Some(&b"<a><b>"[..]));
        assert_eq!(read("<a><b>", 5, 2).await, None);
        assert_eq!(read("<a><b>", 6, 1).await, None);
        assert_eq!(read("", 0, 0).await.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn z03_only_an_object_is_handed_on_as_it_comes() {
        assert!(asks_for_object("GET", "http://s/b/log/1.seg?x-id=GetObject"));
        assert!(!asks_for_object("GET", "http://s/b/?list-type=2&prefix=x-id%3DGetObject"));
        assert!(!asks_for_object("HEAD", "http://s/b/log/1.seg?x-id=GetObject"));
        assert!(!asks_for_object("GET", "http://s/b/x-id=GetObject"));
    }
}
