//! `POST /v1/events`.

use std::num::NonZeroU32;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use metrics::counter;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::body::{self, Form, Items};
use super::event::{self, Event, Rejection, Sent};
use super::key::Scope;
use super::publisher::{Failure, Fate};
use super::routes::Api;
use crate::http::Problem;
use crate::telemetry;

/// What became of one event, as its sender reads it.
#[derive(Debug, Serialize)]
struct Verdict {
    event_id: Option<Uuid>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// How many of a request's events had which fate.
#[derive(Debug, Default, Serialize)]
struct Counts {
    accepted: usize,
    repeated: usize,
    rejected: usize,
    /// Of the rejected ones.
    #[serde(skip)]
    reused: usize,
    #[serde(skip)]
    timed_out: usize,
    #[serde(skip)]
    refused: usize,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    counts: &'a Counts,
    results: &'a [Verdict],
}

/// Receives events, and answers once Kafka has acknowledged them.
pub(super) async fn receive(
    State(api): State<Api>,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let caller = api.access.admit(request.headers(), Scope::EventsWrite)?;
    let form = Form::of(request.headers())?;
    let (text, bytes) = body::read(request, &api.gateway, &api.bytes).await?;
    let items = body::split(form, &text, api.gateway.batch_events_max)?;
    let (items, single) = match items {
        Items::One(item) => (vec![item], true),
        Items::Many(items) => (items, false),
    };
    if let Some(count) = u32::try_from(items.len()).ok().and_then(NonZeroU32::new) {
        api.access.count_events(caller, count)?;
    }
    let (judged, events) = sort(items.into_iter().map(event::read));
    let fates = if events.is_empty() {
        Vec::new()
    } else {
        let published = api.publisher.publish(&events, bytes).await;
        published.map_err(|_| body::busy())?
    };
    let (verdicts, counts) = judge(judged, fates);
    counter!(telemetry::GATEWAY_EVENTS_TOTAL, "result" => "repeated")
        .increment(counts.repeated as u64);
    counter!(telemetry::GATEWAY_EVENTS_TOTAL, "result" => "rejected")
        .increment(counts.rejected as u64);
    answer(verdicts, &counts, single)
}

/// What is known of each event before it is published: nothing is wrong with it, or this.
struct Judged {
    id: Option<Uuid>,
    rejection: Option<Rejection>,
}

/// The valid events, and what is known of all of them, in their order.
fn sort(sent: impl Iterator<Item = Sent>) -> (Vec<Judged>, Vec<Event>) {
    let mut events = Vec::new();
    let judged = sent.map(|Sent { id, event }| {
        let rejection = match event {
            Ok(event) => {
                events.push(event);
                None
            }
            Err(rejection) => Some(rejection),
        };
        Judged { id, rejection }
    });
    (judged.collect(), events)
}

fn judge(judged: Vec<Judged>, fates: Vec<Fate>) -> (Vec<Verdict>, Counts) {
    let mut counts = Counts::default();
    let mut published = fates.into_iter();
    let verdicts = judged.into_iter().map(|Judged { id, rejection }| {
        let fate = match rejection {
            Some(rejection) => return counts.rejected(id, rejection),
            // There is a fate for each; without one nothing may be promised.
            None => published.next().unwrap_or(Fate::Failed(Failure::TimedOut)),
        };
        counts.verdict(id, fate)
    });
    let verdicts = verdicts.collect();
    (verdicts, counts)
}

impl Counts {
    fn rejected(&mut self, event_id: Option<Uuid>, rejection: Rejection) -> Verdict {
        self.rejected += 1;
        Verdict {
            event_id,
            status: "rejected",
            field: rejection.field,
            detail: Some(rejection.detail),
        }
    }

    fn verdict(&mut self, event_id: Option<Uuid>, fate: Fate) -> Verdict {
        let mut verdict = Verdict {
            event_id,
            status: "accepted",
            field: None,
            detail: None,
        };
        match fate {
            Fate::Accepted => self.accepted += 1,
            Fate::Repeated => {
                verdict.status = "repeated";
                self.repeated += 1;
            }
            Fate::Reused => {
                self.reused += 1;
                return self.rejected(event_id, Rejection::reused());
            }
            Fate::Failed(failure) => {
                verdict.status = "failed";
                match failure {
                    Failure::TimedOut => self.timed_out += 1,
                    Failure::Refused => self.refused += 1,
                }
            }
        }
        verdict
    }
}

fn answer(
    verdicts: Vec<Verdict>,
    counts: &Counts,
    single: bool,
) -> Result<Response<Body>, Problem> {
    if counts.timed_out + counts.refused > 0 {
        let problem = failed(counts);
        return Err(if single {
            problem
        } else {
            problem.with("results", json!(verdicts))
        });
    }
    if counts.accepted + counts.repeated == 0 {
        return Err(nothing_accepted(verdicts, counts, single));
    }
    let body = match verdicts.first() {
        Some(verdict) if single => serde_json::to_vec(verdict),
        _ => serde_json::to_vec(&Answer {
            counts,
            results: &verdicts,
        }),
    };
    // Serialising into memory does not fail.
    let mut response = Response::new(Body::from(body.unwrap_or_default()));
    *response.status_mut() = StatusCode::ACCEPTED;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Ok(response)
}

/// Nothing is right about any of it, or every id was given to another event before.
fn nothing_accepted(mut verdicts: Vec<Verdict>, counts: &Counts, single: bool) -> Problem {
    let (status, kind) = if counts.reused == counts.rejected {
        (StatusCode::CONFLICT, "reused")
    } else {
        (StatusCode::UNPROCESSABLE_ENTITY, "invalid")
    };
    match verdicts.as_mut_slice() {
        [verdict] if single => {
            let problem = Problem::new(status, kind, verdict.detail.take().unwrap_or_default());
            match verdict.field.take() {
                Some(field) => problem.with("field", field.into()),
                None => problem,
            }
        }
        all => Problem::new(status, kind, "none of the events was accepted")
            .with("results", json!(all)),
    }
}

fn failed(counts: &Counts) -> Problem {
    const AGAIN: &str = "send it again, with the same event ids";
    if counts.timed_out > 0 {
        let detail = format!(
            "kafka has not acknowledged {} of the events in time, and may have them or not: {AGAIN}",
            counts.timed_out
        );
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "not-acknowledged", detail)
            .retry_after(std::time::Duration::from_secs(1))
    } else {
        let detail = format!(
            "kafka has not taken {} of the events: {AGAIN}",
            counts.refused
        );
        Problem::unavailable("not-taken", detail)
    }
}
