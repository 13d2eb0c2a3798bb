//! What Prometheus reads. Each metric is a row of docs/operations.md, and a test compares the two.
//!
//! Everything is looked at when it is asked for; nothing is kept here. The label `database` is the path of a database, so
//! there are as many series as databases are followed.

mod databases;
mod drills;
mod exposition;
mod process;
mod process_look;
mod seen;
mod values;

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use crate::site::Site;
pub use drills::{DrilledReplica, FleetDrills, ProvedReplica};
use exposition::Exposition;
use seen::Seen;

const OPEN_METRICS: &str = "application/openmetrics-text";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, in the format that is asked for: OpenMetrics, or the older text format.
pub(crate) async fn answer(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let accepts = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let is_open = accepts.into_iter().any(|accepted| accepted.contains(OPEN_METRICS));
    // Looking means a few system calls for each database.
    let text = tokio::task::block_in_place(|| {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Seen::look(&site)));
        let mut text = String::new();
        let encoded = match is_open {
            true => text::encode(&mut text, &registry),
            false => prometheus_text::encode(&mut text, &registry),
        };
        encoded.map(|()| text)
    });
    let content_type = if is_open { OPEN_METRICS_TYPE } else { prometheus_text::CONTENT_TYPE };
    match text {
        Ok(text) => ([(CONTENT_TYPE, content_type)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl Collector for Seen {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let mut exposition = Exposition::new(encoder);
        process::write(self, &mut exposition)?;
        databases::write(self, &mut exposition)
    }
}
