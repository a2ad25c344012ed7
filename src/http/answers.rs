//! What a router answers where no handler does, and the headers of every answer.

use std::any::Any;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use axum::response::IntoResponse;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use super::problem::Problem;

/// The same router, with these headers on every answer; `unknown` says where there is something.
pub(crate) fn answering<S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    state: S,
    unknown: &'static str,
    headers: &'static [(HeaderName, &'static str)],
) -> Router {
    let not_found = move || async move {
        let detail = format!("there is nothing at this path: {unknown}");
        Problem::new(StatusCode::NOT_FOUND, "not-found", detail)
    };
    let mut router = router
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .with_state(state)
        .layer(CatchPanicLayer::custom(panicked));
    for (name, value) in headers {
        let value = HeaderValue::from_static(value);
        router = router.layer(SetResponseHeaderLayer::overriding(name.clone(), value));
    }
    router
}

async fn not_allowed() -> Problem {
    let detail = "the path has another method: see the header Allow";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

/// A handler has met a bug: the panic hook has said where.
fn panicked(_: Box<dyn Any + Send>) -> Response<Body> {
    let detail = "the request met a bug, which the log tells of";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "bug", detail).into_response()
}
