//! Whether the process is alive, and whether it follows everything.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use ebbtide_sidecar::View;
use ebbtide_sidecar::clock;
use ebbtide_sidecar::control::health_issues;
use serde_json::{Value, json};

use crate::site::Site;

/// It answers, so it is alive, whatever its stores are doing: another process would do no better. What needs attention is
/// said besides.
pub(crate) async fn alive(State(site): State<Arc<Site>>) -> Response {
    let statuses = site.view.statuses.present();
    let needing = tokio::task::block_in_place(|| {
        let now = clock::now();
        statuses.iter().filter(|status| !health_issues(&status.get(), now).is_empty()).count()
    });
    let stopped = site.view.stopped.get();
    let body = json!({
        "alive": true, "databases": statuses.len(), "need_attention": needing, "stopped": stopped,
    });
    document(StatusCode::OK, &body)
}

/// Whether each database has been followed by this process, and none was given up.
pub(crate) async fn ready(State(site): State<Arc<Site>>) -> Response {
    let View { statuses, stopped, .. } = &site.view;
    let statuses = statuses.present();
    let waiting: Vec<String> = statuses
        .iter()
        .filter(|status| !status.was_followed())
        .map(|status| status.get().database.to_string_lossy().into_owned())
        .collect();
    let is_ready = site.view.has_begun() && waiting.is_empty() && stopped.get() == 0;
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "ready": is_ready, "databases": statuses.len(), "not_followed_yet": waiting, "stopped": stopped.get(),
    });
    document(code, &body)
}

fn document(code: StatusCode, body: &Value) -> Response {
    (code, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
