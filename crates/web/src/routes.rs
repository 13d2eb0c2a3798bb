//! What is where, and who gets there.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::{Next, from_fn_with_state, map_response};
use axum::response::Response;
use axum::routing::get;

use crate::site::Site;
use crate::{health, metrics, page};

/// The paths, and what each answers.
pub(crate) fn routes(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/database", get(page::database))
        .route("/page.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/icon.svg", get(page::icon))
        .route("/metrics", get(metrics::answer))
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .layer(from_fn_with_state(Arc::clone(&site), guarded))
        .layer(map_response(sealed))
        .with_state(site)
}

/// No answer is kept, guessed at, or run.
async fn sealed(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    response
}

/// Lets a request pass that may.
async fn guarded(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    match site.guard.refusal(&request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}
