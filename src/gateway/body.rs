//! A request's body: bounded in bytes and time, and counted against what all bodies may take.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::settings::Gateway;
use crate::http::Problem;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON value.
    Json,
    /// One JSON value a line.
    Lines,
}

impl Form {
    /// What the head says of the body.
    pub(super) fn of(headers: &HeaderMap) -> Result<Form, Problem> {
        let unsupported = |detail: &str| {
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Err(Problem::new(status, "unsupported-media-type", detail))
        };
        let encoded = headers.get(CONTENT_ENCODING);
        if encoded.is_some_and(|encoding| encoding != "identity") {
            return unsupported("a body with a Content-Encoding is not read: send it as it is");
        }
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|text| text.split(';').next().unwrap_or_default().trim());
        match kind {
            Some(kind) if kind.eq_ignore_ascii_case("application/json") => Ok(Form::Json),
            Some(kind) if kind.eq_ignore_ascii_case("application/x-ndjson") => Ok(Form::Lines),
            _ => unsupported("Content-Type must be application/json or application/x-ndjson"),
        }
    }
}

/// Reads a body. What it returns beside the text is its share of `bytes`, which all bodies have together.
pub(super) async fn read(
    request: Request<Body>,
    gateway: &Gateway,
    bytes: &Arc<Semaphore>,
) -> Result<(String, OwnedSemaphorePermit), Problem> {
    let most = gateway.body_bytes_max;
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let length: usize = length.unwrap_or(most);
    if length > most {
        return Err(too_large(most));
    }
    let share = u32::try_from(length).unwrap_or(u32::MAX);
    let reserved = Arc::clone(bytes).try_acquire_many_owned(share);
    let reserved = reserved.map_err(|_| busy())?;
    let body = Limited::new(request.into_body(), most).collect();
    let body = match tokio::time::timeout(gateway.request_timeout, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(most)),
        Ok(Err(_)) => return Err(malformed("the body could not be read to its end")),
        Err(_) => {
            let limit = gateway.request_timeout;
            let detail = format!("the body took longer than {limit:?} (gateway.request_timeout)");
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "too-slow", detail);
            return Err(problem.header(CONNECTION, HeaderValue::from_static("close")));
        }
    };
    let text = String::from_utf8(body.into()).map_err(|_| malformed("the body is not UTF-8"))?;
    Ok((text, reserved))
}

/// What a body consists of.
#[derive(Debug)]
pub(super) enum Items<'a> {
    /// One item.
    One(&'a str),
    /// A list of them.
    Many(Vec<&'a str>),
}

/// Takes a body apart, without looking at the items. Of a list there is at least one.
pub(super) fn split(form: Form, text: &str, most: usize) -> Result<Items<'_>, Problem> {
    let items: Vec<&str> = match form {
        Form::Lines => {
            let lines = text.lines().map(|line| line.trim_matches(is_space));
            // One more than may be is enough to know.
            lines
                .filter(|line| !line.is_empty())
                .take(most + 1)
                .collect()
        }
        Form::Json => {
            let text = text.trim_matches(is_space);
            let not_json = |error| malformed(format!("the body is not JSON: {error}"));
            if !text.starts_with('[') {
                let item: &RawValue = serde_json::from_str(text).map_err(not_json)?;
                return Ok(Items::One(item.get()));
            }
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(not_json)?;
            items.into_iter().map(RawValue::get).collect()
        }
    };
    if items.is_empty() {
        return Err(Problem::invalid(None, "the body holds no event"));
    }
    if items.len() > most {
        let detail = format!("the body holds more than {most} events (gateway.batch_events_max)");
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            detail,
        ));
    }
    Ok(Items::Many(items))
}

/// As much is under way as may be.
pub(super) fn busy() -> Problem {
    let detail = "as much waits for kafka as may: send it again later, with the same event ids";
    Problem::unavailable("busy", detail)
}

pub(super) fn malformed(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", detail)
}

fn too_large(most: usize) -> Problem {
    let detail = format!("the body is longer than {most} bytes (gateway.body_bytes_max)");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
}

/// White space of JSON.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(form: Form, text: &str) -> Result<usize, StatusCode> {
        match split(form, text, 2) {
            Ok(Items::One(_)) => Ok(0),
            Ok(Items::Many(items)) => Ok(items.len()),
            Err(problem) => Err(problem.status()),
        }
    }

    #[test]
    fn a_body_is_one_item_or_a_list() {
        let bad = Err(StatusCode::BAD_REQUEST);
        let empty = Err(StatusCode::UNPROCESSABLE_ENTITY);
        let long = Err(StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(count(Form::Json, " {}\n"), Ok(0));
        assert_eq!(count(Form::Json, ""), bad);
        assert_eq!(count(Form::Json, "{} {}"), bad);
        assert_eq!(count(Form::Json, " [{}, 7] "), Ok(2));
        assert_eq!(count(Form::Json, "[]"), empty);
        assert_eq!(count(Form::Json, "[1,2,3]"), long);
        assert_eq!(count(Form::Json, "[{}"), bad);
        assert_eq!(count(Form::Json, "[{}] 1"), bad);
        assert_eq!(count(Form::Lines, "{}\r\n\r\n{}"), Ok(2));
        assert_eq!(count(Form::Lines, "\n \n"), empty);
        assert_eq!(count(Form::Lines, "1\n2\n3\n4"), long);
        let deep = "[".repeat(100_000);
        assert_eq!(count(Form::Json, &deep), bad);
    }
}
