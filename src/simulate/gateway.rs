//! The gateway as a shopper's application meets it: events posted in lists, each answer weighed.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Error;
use super::shoppers::Act;
use crate::connection::https;
use crate::http::retry_after;
use crate::telemetry;

/// How long one answer may take: longer than Kafka has to acknowledge, by default.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// More than the results of any list take, bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Before events are sent again, where the gateway does not say.
const PAUSE: Duration = Duration::from_secs(1);
/// Longest wait that the gateway may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_mins(1);
/// Begins the id of every event, as a UUID of version 5.
const NAMESPACE: Uuid = Uuid::from_u128(0x7469_6465_7761_7465_7220_7368_6f70_7065);

/// Where events go.
#[derive(Clone, PartialEq, Eq)]
pub struct GatewayAddress {
    /// The gateway's URL, `http://127.0.0.1:8081` for instance.
    pub url: String,
    /// A key with the scope `events:write`.
    pub key: String,
}

/// Without the key.
impl std::fmt::Debug for GatewayAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GatewayAddress")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// What names a simulation's events. An event is known by its id for a day, so a simulation that starts again
/// with the same seed must not give the same ones.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids(Uuid);

impl Ids {
    /// Of a simulation with this seed that started then.
    pub(super) fn of(seed: u64, start_unix_us: i64) -> Ids {
        let name = format!("{seed} {start_unix_us}");
        Ids(Uuid::new_v5(&NAMESPACE, name.as_bytes()))
    }

    /// The id of the n-th event.
    pub(super) fn event(self, number: u64) -> Uuid {
        Uuid::new_v5(&self.0, &number.to_be_bytes())
    }
}

/// An event as it is posted.
#[derive(Serialize)]
struct Event {
    event_id: Uuid,
    r#type: &'static str,
    customer_id: i64,
    store_id: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<i64>,
    occurred_at: String,
}

/// Acts as the body of a request.
pub(super) fn body(acts: &[Act], ids: Ids, start_unix_us: i64) -> Bytes {
    let event = |act: &Act| {
        let occurred_us = start_unix_us.saturating_add_unsigned(act.due_us);
        let occurred_at = Timestamp::from_microsecond(occurred_us).unwrap_or(Timestamp::MAX);
        Event {
            event_id: ids.event(act.number),
            r#type: act.kind.name(),
            customer_id: act.customer_id,
            store_id: act.store_id,
            product_id: act.product_id,
            occurred_at: format!("{occurred_at:.6}"),
        }
    };
    let events: Vec<Event> = acts.iter().map(event).collect();
    // Serialising plain numbers and strings into memory does not fail.
    serde_json::to_vec(&events).unwrap_or_default().into()
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The gateway has dealt with every event.
    Settled(Settled),
    /// The same is to be sent again.
    Later {
        /// Why, for people.
        reason: String,
        /// Not before.
        after: Duration,
    },
    /// The key is unknown; a new one is for a moment.
    UnknownKey,
    /// It would be the same again.
    Refused {
        /// The answer's status.
        status: u16,
        /// The gateway's word.
        detail: String,
    },
}

/// How many events of a request had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Settled {
    pub(super) accepted: u64,
    /// The gateway had them already: from a request whose answer was lost.
    pub(super) repeated: u64,
    pub(super) rejected: u64,
}

/// An error of RFC 9457.
#[derive(Default, Deserialize)]
struct Problem {
    #[serde(default)]
    detail: String,
    /// Of each event, when none was accepted.
    #[serde(default)]
    results: Vec<Verdict>,
}

#[derive(Deserialize)]
struct Verdict {
    status: String,
    #[serde(default)]
    detail: String,
}

/// The way to the gateway.
#[derive(Debug)]
pub(super) struct Client {
    url: String,
    authorization: HeaderValue,
    http: HttpClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

impl Client {
    pub(super) fn new(address: &GatewayAddress) -> Result<Client, Error> {
        let url = address.url.trim_end_matches('/').to_owned();
        let unusable = |problem: String| Error::Gateway {
            url: url.clone(),
            problem,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(https(None).map_err(unusable)?)
            .https_or_http()
            .enable_http1()
            .build();
        let authorization = HeaderValue::from_str(&format!("Bearer {}", address.key));
        let mut authorization =
            authorization.map_err(|_| unusable("the key holds what no header may".to_owned()))?;
        authorization.set_sensitive(true);
        Ok(Client {
            url: format!("{url}/v1/events"),
            authorization,
            http: HttpClient::builder(TokioExecutor::new()).build(connector),
        })
    }

    /// The key is no gateway's key, or was revoked.
    pub(super) fn unknown_key(&self) -> Error {
        self.unusable(
            "it does not know the key: make one with tidewater keys create --scope events:write, and \
             name its file with --gateway-key-file"
                .to_owned(),
        )
    }

    /// The gateway's word, which sending again would not change.
    pub(super) fn refused(&self, status: u16, detail: String) -> Error {
        self.unusable(format!("it answers {status}: {detail}"))
    }

    fn unusable(&self, problem: String) -> Error {
        Error::Gateway {
            url: self.url.clone(),
            problem,
        }
    }

    /// Posts events, and says what came of it.
    pub(super) async fn post(&self, body: Bytes) -> Answer {
        let later = |reason: String| Answer::Later {
            reason,
            after: PAUSE,
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, self.send(body)).await {
            Ok(Ok((status, headers, body))) => weigh(status, &headers, &body),
            Ok(Err(error)) => later(telemetry::chain(error.as_ref())),
            Err(_) => later(format!("no answer within {ANSWER_TIMEOUT:?}")),
        }
    }

    async fn send(
        &self,
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let request = hyper::Request::post(&self.url)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("tidewater/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))?;
        let (head, body) = self.http.request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
        Ok((head.status, head.headers, body.to_bytes()))
    }
}

/// What an answer means for whoever has sent a list of events.
fn weigh(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Answer {
    if status == StatusCode::ACCEPTED {
        return match serde_json::from_slice(body) {
            Ok(settled) => Answer::Settled(settled),
            Err(error) => refused(
                status,
                format!("an answer that is none of a gateway: {error}"),
            ),
        };
    }
    let Problem { detail, results } = serde_json::from_slice(body).unwrap_or_default();
    match status {
        StatusCode::UNAUTHORIZED => Answer::UnknownKey,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            later(status, &detail, headers)
        }
        _ if status.is_server_error() => later(status, &detail, headers),
        // None was accepted, each for a reason of its own.
        StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT
            if !results.is_empty() && results.iter().all(|one| one.status == "rejected") =>
        {
            if let Some(first) = results.first() {
                tracing::warn!(detail = first.detail, "the gateway rejects events");
            }
            Answer::Settled(Settled {
                rejected: results.len() as u64,
                ..Settled::default()
            })
        }
        _ => refused(status, detail),
    }
}

fn later(status: StatusCode, detail: &str, headers: &HeaderMap) -> Answer {
    Answer::Later {
        reason: format!("{status}: {detail}"),
        after: retry_after(headers).unwrap_or(PAUSE).min(RETRY_AFTER_MAX),
    }
}

fn refused(status: StatusCode, detail: String) -> Answer {
    Answer::Refused {
        status: status.as_u16(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::RETRY_AFTER;
    use serde_json::{Value, json};

    use super::*;
    use crate::shopper::Kind;

    #[test]
    fn an_event_says_what_was_done_and_when() {
        let ids = Ids::of(7, 1_000_000);
        let act = Act {
            number: 3,
            due_us: 500_000,
            kind: Kind::ProductViewed,
            customer_id: 4,
            store_id: 5,
            product_id: Some(6),
        };
        let entered = Act {
            number: 4,
            kind: Kind::StoreEntered,
            product_id: None,
            ..act
        };
        let body: Value = serde_json::from_slice(&body(&[act, entered], ids, 1_000_000)).unwrap();
        let expected = json!([
            {"event_id": ids.event(3), "type": "product_viewed", "customer_id": 4, "store_id": 5,
             "product_id": 6, "occurred_at": "1970-01-01T00:00:01.500000Z"},
            {"event_id": ids.event(4), "type": "store_entered", "customer_id": 4, "store_id": 5,
             "occurred_at": "1970-01-01T00:00:01.500000Z"},
        ]);
        assert_eq!(body, expected);
    }

    #[test]
    fn ids_follow_from_seed_start_and_number() {
        let id = |seed, start, number| Ids::of(seed, start).event(number);
        assert_eq!(id(7, 1, 0), id(7, 1, 0));
        for other in [id(8, 1, 0), id(7, 2, 0), id(7, 1, 1)] {
            assert_ne!(id(7, 1, 0), other);
        }
    }

    #[test]
    fn the_key_is_not_shown() {
        let address = GatewayAddress {
            url: "http://127.0.0.1:1".to_owned(),
            key: "tw_secret".to_owned(),
        };
        let shown = format!("{address:?} {:?}", Client::new(&address).unwrap());
        assert!(!shown.contains("tw_secret"), "{shown}");
    }

    fn answer(status: u16, retry_after: Option<&str>, body: &Value) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.parse().unwrap());
        }
        let body = body.to_string();
        weigh(
            StatusCode::from_u16(status).unwrap(),
            &headers,
            body.as_bytes(),
        )
    }

    #[test]
    fn what_was_dealt_with_is_counted() {
        let taken = json!({"accepted": 2, "repeated": 1, "rejected": 1, "results": []});
        let settled = Settled {
            accepted: 2,
            repeated: 1,
            rejected: 1,
        };
        assert_eq!(answer(202, None, &taken), Answer::Settled(settled));
        let rejected = json!({"status": "rejected", "detail": "is missing"});
        let none = json!({"status": 422, "detail": "none", "results": [rejected, rejected]});
        let settled = Settled {
            rejected: 2,
            ..Settled::default()
        };
        assert_eq!(answer(422, None, &none), Answer::Settled(settled));
        assert_eq!(answer(409, None, &none), Answer::Settled(settled));
    }

    #[test]
    fn what_may_do_later_is_sent_again_when_the_gateway_says() {
        let problem = json!({"status": 0, "detail": "as much waits as may"});
        for (status, retry_after, seconds) in [
            (429, Some("7"), 7),
            (503, Some("1"), 1),
            (504, None, 1),
            (500, None, 1),
            (408, None, 1),
            (503, Some("86400"), 60),
            (503, Some("soon"), 1),
        ] {
            let Answer::Later { reason, after } = answer(status, retry_after, &problem) else {
                panic!("{status} is not sent again");
            };
            assert_eq!(after, Duration::from_secs(seconds), "{status}");
            assert!(reason.contains("as much waits as may"), "{reason}");
        }
    }

    #[test]
    fn what_would_be_the_same_again_is_refused() {
        assert_eq!(answer(401, None, &json!({})), Answer::UnknownKey);
        for status in [400, 403, 404, 413, 415, 301] {
            let expected = Answer::Refused {
                status,
                detail: "no".to_owned(),
            };
            assert_eq!(answer(status, None, &json!({"detail": "no"})), expected);
        }
        // Somebody else's 202.
        assert!(matches!(
            answer(202, None, &json!("ok")),
            Answer::Refused { status: 202, .. }
        ));
    }
}
