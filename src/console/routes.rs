//! Paths, the page's three files, and what every answer has in common.

use axum::Router;
use axum::http::HeaderName;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post, put};
use tokio_util::sync::CancellationToken;

use super::live::Live;
use super::{codes, live, rules, series, topics, why};
use crate::config::settings::{Kafka, Registry, Retail, Sink};
use crate::gateway::Access;
use crate::http::{SinkReader, answering};

/// What requests work with; clones share what can be shared.
#[derive(Clone)]
pub(super) struct Api {
    pub(super) kafka: Kafka,
    pub(super) sink: Sink,
    pub(super) registry: Option<Registry>,
    pub(super) retail: Retail,
    pub(super) access: Access,
    pub(super) reader: SinkReader,
    pub(super) live: Live,
    /// Ends the streams of events.
    pub(super) stop: CancellationToken,
}

/// The page, as `make console` builds it.
const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/console.js");
const STYLE: &str = include_str!("page/console.css");

/// Headers of every answer: everything that the page needs comes from here, and nobody frames it.
static HEADERS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
         font-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// The router of all paths.
pub(super) fn router(api: Api) -> Router {
    let router = Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route(
            "/console.js",
            file("text/javascript; charset=utf-8", SCRIPT),
        )
        .route("/console.css", file("text/css; charset=utf-8", STYLE))
        .route("/api/live", get(live::follow))
        .route("/api/series", get(series::series))
        .route("/api/why", get(why::why))
        .route("/api/worth", get(codes::worth))
        .route("/api/rules", get(rules::list).merge(post(rules::create)))
        .route("/api/rules/{rule_id}", put(rules::change))
        .route("/api/topics", get(topics::list))
        .route("/api/topics/{topic}", get(topics::last));
    answering(router, api, "the page is at /", &HEADERS)
}

fn file(kind: &'static str, content: &'static str) -> MethodRouter<Api> {
    get(move || async move { ([(CONTENT_TYPE, kind)], content).into_response() })
}
