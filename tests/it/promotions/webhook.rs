//! Codes reach the webhook's receiver signed, again after a failure, and are parked and replayed.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::Sha256;
use tidewater::connection::Database;
use tokio::task::JoinSet;

use super::feed::Feed;
use super::pipeline::{count, sink};
use crate::support::{Tidewater, until};

const SECRET: &str = "a secret of sixteen characters";
const DELIVERED: &str = "select count(*) from promotion_delivery where delivered_at is not null";

/// A receiver on a free port; ended when dropped.
struct Receiver {
    port: u16,
    state: Arc<Mutex<Received>>,
    _task: JoinSet<()>,
}

#[derive(Default)]
struct Received {
    /// Answers to give before 204.
    failures: Vec<StatusCode>,
    requests: Vec<(HeaderMap, String)>,
}

async fn receive(
    State(state): State<Arc<Mutex<Received>>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let mut state = state.lock().unwrap();
    let body = String::from_utf8(body.to_vec()).unwrap();
    state.requests.push((headers, body));
    state.failures.pop().unwrap_or(StatusCode::NO_CONTENT)
}

impl Receiver {
    async fn start(failures: Vec<StatusCode>) -> Receiver {
        let state = Arc::new(Mutex::new(Received {
            failures,
            requests: Vec::new(),
        }));
        let router = Router::new()
            .route("/codes", post(receive))
            .with_state(Arc::clone(&state));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Receiver {
            port,
            state,
            _task: task,
        }
    }

    fn config(&self, more: &str) -> String {
        format!(
            "[webhook]\nurl = \"http://127.0.0.1:{}/codes\"\nsecret = \"{SECRET}\"\nallow_private = true\n{more}",
            self.port
        )
    }

    fn requests(&self) -> Vec<(HeaderMap, String)> {
        self.state.lock().unwrap().requests.clone()
    }
}

/// A shop with one eligible tuple.
async fn shop(name: &str, more: &str) -> (Feed, Database) {
    let mut feed = Feed::open(name, more).await;
    let sink = sink(&feed).await;
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    (feed, sink)
}

async fn until_is(feed: &mut Feed, sink: &Database, what: &str, sql: &str, expected: i64) {
    until(what, async || {
        feed.heartbeat(0);
        count(sink, sql).await == expected
    })
    .await;
}

fn check(headers: &HeaderMap, body: &str) -> String {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (id, at) = (header("webhook-id"), header("webhook-timestamp"));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let expected = STANDARD.encode(mac.finalize().into_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{expected}"));
    assert_eq!(header("idempotency-key"), id);
    let code: Value = serde_json::from_str(body).unwrap();
    assert_eq!(code["promotion_id"], id);
    id
}

#[tokio::test]
async fn a_code_is_posted_signed_and_again_until_it_is_accepted() {
    let failures = vec![StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FOUND];
    let receiver = Receiver::start(failures).await;
    let (mut feed, sink) = shop("posted", &receiver.config("")).await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until_is(&mut feed, &sink, "the delivery", DELIVERED, 1).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    let ids = requests.iter().map(|(headers, body)| check(headers, body));
    let row = sink
        .query_one("select promotion_id::text from promotion", &[])
        .await
        .unwrap();
    assert!(ids.into_iter().all(|id| id == row.get::<_, String>(0)));
    assert_eq!(
        count(&sink, "select attempts::bigint from promotion_delivery").await,
        3
    );
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn what_the_receiver_refuses_is_parked_and_replayed() {
    let receiver = Receiver::start(vec![StatusCode::BAD_REQUEST]).await;
    let (mut feed, sink) = shop("parked", &receiver.config("attempts_max = 1\n")).await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    let parked = "select count(*) from promotion_delivery where parked_at is not null";
    until_is(&mut feed, &sink, "the delivery to be parked", parked, 1).await;
    let shown = Tidewater::run(&["deliveries", "parked"], &feed.config);
    assert!(
        shown
            .output
            .contains("1 attempts  the receiver answered 400 Bad Request"),
        "{}",
        shown.output
    );
    let replayed = Tidewater::run(&["deliveries", "replay", "--all"], &feed.config);
    assert_eq!(replayed.output, "1 deliveries are due again\n");
    until_is(&mut feed, &sink, "the delivery", DELIVERED, 1).await;
    let shown = Tidewater::run(&["deliveries", "parked"], &feed.config);
    assert_eq!(shown.output, "no delivery is parked\n");
    let id = "00000000-0000-4000-8000-000000000001";
    let replayed = Tidewater::run(&["deliveries", "replay", id], &feed.config);
    assert_ne!(replayed.code(), Some(0));
    assert!(
        replayed.output.contains("is not parked"),
        "{}",
        replayed.output
    );
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_delivery_outlives_whoever_took_it() {
    let receiver = Receiver::start(Vec::new()).await;
    let crash = "timeout = \"2s\"\n[debug]\ncrash_at = \"webhook.answered\"\n";
    let (mut feed, sink) = shop("taken", &receiver.config(crash)).await;
    let mut consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("the crash", async || {
        feed.heartbeat(0);
        !consumer.is_running()
    })
    .await;
    drop(consumer);
    assert_eq!(
        (count(&sink, DELIVERED).await, receiver.requests().len()),
        (0, 1)
    );
    let config = feed
        .config
        .replace("[debug]\ncrash_at = \"webhook.answered\"\n", "");
    let consumer = Tidewater::start(&["aggregate"], &config);
    until_is(&mut feed, &sink, "the delivery", DELIVERED, 1).await;
    let ids: Vec<String> = receiver
        .requests()
        .iter()
        .map(|(headers, body)| check(headers, body))
        .collect();
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_receiver_on_a_private_network_has_to_be_meant() {
    let receiver = Receiver::start(Vec::new()).await;
    let config = receiver.config("attempts_max = 1\n");
    let config = config.replace("allow_private = true", "allow_private = false");
    // By its address it is refused at once; by its name when that is looked up.
    let (feed, _sink) = shop("private", &config).await;
    let ended = Tidewater::run(&["aggregate"], &feed.config);
    assert_eq!(ended.code(), Some(2), "{}", ended.log);
    assert!(
        ended.log.contains("set webhook.allow_private = true"),
        "{}",
        ended.log
    );

    let (mut feed, sink) = shop("by_name", &config.replace("127.0.0.1", "localhost")).await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    let refused = "select count(*) from promotion_delivery
                   where parked_at is not null and last_error like '%webhook.allow_private%'";
    until_is(&mut feed, &sink, "the refusal", refused, 1).await;
    assert!(receiver.requests().is_empty());
    assert_eq!(consumer.terminate().code(), Some(0));
}
