//! Paths, and what every answer has in common.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, Method, Response};
use axum::middleware::{self, Next};
use axum::routing::{MethodRouter, get, post};
use metrics::counter;
use tokio::sync::Semaphore;

use super::access::Access;
use super::events;
use super::publisher::Publisher;
use super::read;
use crate::config::settings::Gateway;
use crate::http::{SinkReader, answering};
use crate::telemetry;

/// What requests work with; clones share it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    pub(super) gateway: Arc<Gateway>,
    pub(super) access: Access,
    pub(super) publisher: Publisher,
    pub(super) reader: SinkReader,
    /// What bodies may take together.
    pub(super) bytes: Arc<Semaphore>,
}

/// A description of the interface, for people and generators.
const DOCUMENT: &str = include_str!("openapi.json");

/// Headers of every answer: nothing of it is for a browser to show, to frame or to keep.
static HEADERS: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
];

/// Every path with its method and what answers it.
fn routes() -> Vec<(&'static str, Method, MethodRouter<Api>)> {
    vec![
        ("/v1/events", Method::POST, post(events::receive)),
        ("/v1/levels", Method::GET, get(read::levels)),
        (
            "/v1/inventory-hourly",
            Method::GET,
            get(read::inventory_hourly),
        ),
        ("/v1/sales-hourly", Method::GET, get(read::sales_hourly)),
        ("/v1/eligibility", Method::GET, get(read::eligibility)),
        (
            "/v1/customers/{customer_id}/codes",
            Method::GET,
            get(read::customer_codes),
        ),
        ("/v1/codes/{code}", Method::GET, get(read::code)),
        (
            "/v1/codes/{code}/check",
            Method::POST,
            post(read::check_code),
        ),
        ("/openapi.json", Method::GET, get(document)),
    ]
}

/// The router of all of them.
pub(super) fn router(api: Api) -> Router {
    let mut router = Router::new();
    for (path, _, handler) in routes() {
        let counted = middleware::from_fn(move |request, next| count(path, request, next));
        router = router.route(path, handler.layer(counted));
    }
    answering(router, api, "see /openapi.json", &HEADERS)
}

async fn document() -> ([(HeaderName, &'static str); 1], &'static str) {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}

async fn count(route: &'static str, request: Request, next: Next) -> Response<Body> {
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    counter!(telemetry::GATEWAY_REQUESTS_TOTAL, "route" => route, "status" => status).increment(1);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_has_every_route_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let mut described = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                described.insert((path.clone(), method.to_uppercase()));
            }
        }
        let served = routes().into_iter();
        let served = served.map(|(path, method, _)| (path.to_owned(), method.to_string()));
        assert_eq!(described, served.collect());
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
