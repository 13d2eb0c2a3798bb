//! The page: for people what `status` and `log` say, and every moment that can be restored.
//!
//! Everything is written here, as HTML that is whole without scripts; the script of the page only fetches the same address
//! again and exchanges what has changed. All text goes through maud, which escapes it.

mod advice;
mod axis;
mod chart;
mod database;
mod fleet;
mod layout;
mod overview;
mod query;
mod words;

use std::path::Path;
use std::sync::Arc;

use axum::extract::{Query as Words, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use ebbtide_replica::{Timestamp, Txid};
use ebbtide_sidecar::clock;
use ebbtide_sidecar::control::Report;
use maud::{Markup, html};

use crate::site::{Elsewhere, Site};
use crate::timeline::TimelineError;
use database::{Past, past};
use fleet::fleet_page;
use layout::{live, page};
use overview::{Condition, attention, facts, headline, named, overview, parts};
pub(crate) use query::{Part, Query};

/// Nothing comes from elsewhere, and nothing of a name is ever a script.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";

/// All databases, or all replicas of a fleet.
pub(crate) async fn index(State(site): State<Arc<Site>>, words: Words<Part>) -> Response {
    match &site.elsewhere {
        None => {}
        Some(Elsewhere::Replica(replica)) => {
            let here = Query::of(&replica.name).address();
            return (StatusCode::SEE_OTHER, [(LOCATION, here)]).into_response();
        }
        Some(Elsewhere::Fleet(fleet)) => {
            let (seen, now) = (fleet.see().await, clock::now());
            let main = fleet_page(&fleet.address, &seen, words.0.skipped(), now);
            let title = format!("{} · ebbtide", fleet::headline(&seen.members, now));
            return answer(StatusCode::OK, &page(&title, &main));
        }
    }
    let (reports, now) = reports(&site);
    let main = live("overview", &overview(&reports, site.view.stopped.get(), now));
    answer(StatusCode::OK, &page(&format!("{} · ebbtide", headline(&reports)), &main))
}

/// One database.
pub(crate) async fn database(State(site): State<Arc<Site>>, words: Words<Query>) -> Response {
    let Words(query) = words;
    let (reports, now) = reports(&site);
    let report = reports.iter().find(|report| report.database == query.name);
    let followed = report.map(|report| report.replica.clone());
    let Some(address) = followed.or_else(|| site.address_elsewhere(&query.name)) else {
        let main = html! { h1 { "Not followed here" } p { a href="/" { (all_of(&site)) } } };
        return answer(StatusCode::NOT_FOUND, &page("Not followed here", &main));
    };
    let durable = report.and_then(|report| report.durable_txid.as_ref()?.parse::<Txid>().ok());
    let state = report.and_then(|_| site.view.statuses.state_of(Path::new(&query.name)));
    let opened = site.shelf.open(&address, state, durable).await;
    let looked: Result<Option<Past>, TimelineError> = Past::look(&opened, &query, now).await;
    let (_, name) = parts(&query.name);
    let is_alone = matches!(site.elsewhere, Some(Elsewhere::Replica(_)));
    let main = html! {
        @if !is_alone { p.crumbs { a href="/" { (all_of(&site)) } } }
        h1 { (named(&query.name)) }
        @if let Some(report) = report {
            (live("state", &html! { (Condition::of(report).badge()) (attention(report, now)) (facts(report, now)) }))
        } @else if address != query.name {
            p.address { (address) }
        }
        h2 { "What can be restored" }
        (live("past", &past(&opened, looked, &query, &address, now)))
    };
    answer(StatusCode::OK, &page(&format!("{name} · ebbtide"), &main))
}

/// What the page is called that has all of them.
fn all_of(site: &Site) -> &'static str {
    match site.elsewhere {
        Some(Elsewhere::Fleet(_)) => "All replicas",
        _ => "All databases",
    }
}

/// The look of the pages.
pub(crate) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("page.css"))
}

/// What keeps them up to date.
pub(crate) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("page.js"))
}

/// Their sign.
pub(crate) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("icon.svg"))
}

/// What is known of all databases, those first that need somebody.
fn reports(site: &Site) -> (Vec<Report>, Timestamp) {
    let now = clock::now();
    // Looking means a few system calls for each database.
    let mut reports: Vec<Report> = tokio::task::block_in_place(|| {
        let statuses = site.view.statuses.now();
        statuses.iter().map(|status| Report::of(status, now, site.view.unlogged())).collect()
    });
    reports.sort_by(|a, b| (a.healthy, &a.database).cmp(&(b.healthy, &b.database)));
    (reports, now)
}

fn answer(code: StatusCode, page: &Markup) -> Response {
    let headers =
        [(CONTENT_TYPE, HTML), (CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
    (code, headers, page.0.clone()).into_response()
}

fn asset(content_type: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, content_type)], text).into_response()
}
