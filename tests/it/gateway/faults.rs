//! Kafka slow, down or gone, the sink gone, the gateway killed or drained: 202 is said of nothing that is not in
//! the topic, and what is sent again is counted once.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tidewater::connection::connect;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Answer, Scene, event, ids, list};
use crate::support::{self, Kafka, Postgres, Tidewater, until};

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_before_kafka_has_it() {
    let mut kafka = Kafka::start();
    let limits =
        "acknowledge_timeout = \"3s\"\nevents_in_flight_max = 1000\nbatch_events_max = 600";
    let scene = Scene::at("down", &kafka.brokers(), limits).await;
    let sender = scene.sender().await;
    until("a broker that has just started to be quick", async || {
        sender.events(&event(Uuid::new_v4())).await.status.as_u16() == 202
    })
    .await;
    let first = Uuid::new_v4();
    sender.events(&event(first)).await.expect(202);

    // Stopped, it acknowledges nothing; the time for that is bounded, and what it means is said.
    kafka.signal(Signal::SIGSTOP);
    let slow = ids(600);
    let began = Instant::now();
    let body = list(&slow);
    let waiting = sender.events(&body);
    let also = async {
        until("the stage to hold them", async || {
            scene.metric("tidewater_gateway_events_in_flight", "").await > 599.0
        })
        .await;
        assert_eq!(scene.condition("gateway.publish").await, "working");
        // As much is under way as may be: the rest is refused at once.
        let refused = sender.events(&list(&ids(600))).await.expect(503);
        assert_eq!(refused.header("retry-after"), "1");
    };
    let (answer, ()) = tokio::join!(waiting, also);
    let answer = answer.expect(504);
    assert!(began.elapsed() < Duration::from_mins(1));
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(answer.json()["results"][599]["status"], "failed");
    sender.events(&event(Uuid::new_v4())).await.expect(504);
    assert_eq!(scene.condition("gateway.publish").await, "failed");

    // Gone: the same, and healthy by itself once it is back.
    kafka.kill();
    sender.events(&event(Uuid::new_v4())).await.expect(504);
    kafka.resume();
    until("the stage to recover", async || {
        scene.condition("gateway.publish").await == "idle"
    })
    .await;
    let again = sender.events(&list(&slow)).await.expect(202).json();
    assert_eq!(again["accepted"], 600);
    // Whether the first attempt is there too is not known to anybody; the event is.
    let copies = scene.copies(&slow);
    assert!(
        copies.iter().all(|copies| (1..=2).contains(copies)),
        "{copies:?}"
    );
    assert_eq!(scene.copies(&[first]), [1]);
    let failed = scene
        .metric("tidewater_errors_total", "gateway.publish")
        .await;
    assert!(failed >= 1.0, "{failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_survives_a_kill_and_counts_once() {
    let mut scene = Scene::start("killed", "").await;
    for step in ["gateway.send", "gateway.sent", "gateway.acknowledged"] {
        let key = scene.key(step, &["events:write"]);
        // The key is in the sink: the next process knows it from its start.
        let config = format!("{}[debug]\ncrash_at = \"{step}:5\"\n", scene.config);
        scene.process = Tidewater::start(&["gateway"], &config);
        scene.serving().await;
        let sender = super::Client::new(&scene.address(), Some(key.clone()));
        let (mut accepted, mut unanswered) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let some = ids(20);
            let body = list(&some).to_string().into();
            match sender.try_post("/v1/events", super::JSON, body).await {
                Ok(answer) => {
                    answer.expect(202);
                    accepted.extend(some);
                }
                Err(_) => unanswered.extend(some),
            }
        }
        assert_eq!((accepted.len(), unanswered.len()), (80, 20), "{step}");
        scene.process = Tidewater::start(&["gateway"], &scene.config);
        scene.serving().await;
        let sender = super::Client::new(&scene.address(), Some(key));
        sender.events(&list(&unanswered)).await.expect(202);
        assert_eq!(scene.copies(&accepted), [1; 80], "{step}");
        let copies = scene.copies(&unanswered);
        let most = if step == "gateway.send" { 1 } else { 2 };
        assert!(
            copies.iter().all(|copies| (1..=most).contains(copies)),
            "{step}: {copies:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_what_is_under_way_and_takes_nothing_new() {
    let kafka = Kafka::start();
    let scene = Scene::at("drain", &kafka.brokers(), "acknowledge_timeout = \"60s\"").await;
    let sender = scene.sender().await;
    let (idle, health, address) = (scene.sender().await, scene.health(), scene.address());
    kafka.signal(Signal::SIGSTOP);
    let some = ids(50);
    let mut tasks: JoinSet<Answer> = JoinSet::new();
    for id in &some {
        let (sender, event) = (sender.clone(), event(*id));
        tasks.spawn(async move { sender.events(&event).await });
    }
    until("all to be under way", async || {
        scene.metric("tidewater_gateway_events_in_flight", "").await > 49.0
    })
    .await;
    scene.process.signal(Signal::SIGTERM);
    until("the listener to be closed", async || {
        std::net::TcpStream::connect(&address).is_err()
    })
    .await;
    let readiness = health.get("/readyz").await;
    assert_eq!(readiness.status.as_u16(), 503);
    assert!(
        readiness
            .text
            .contains("\"gateway.accept\",\"condition\":\"draining\""),
        "{}",
        readiness.text
    );
    assert!(
        idle.try_post(
            "/v1/events",
            super::JSON,
            event(Uuid::new_v4()).to_string().into()
        )
        .await
        .is_err()
    );
    kafka.signal(Signal::SIGCONT);
    let answers = tasks.join_all().await;
    assert_eq!(answers.len(), 50);
    for answer in answers {
        answer.expect(202);
    }
    let ended = scene.process.wait(Duration::from_mins(1));
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    let records = crate::model::read_topic(&scene.brokers, &scene.topic);
    assert_eq!(records.len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_hold_while_the_sink_is_away() {
    let server = Postgres::start(&[]);
    let (prefix, brokers) = (support::unique("away"), support::kafka_brokers());
    let config = super::config(&prefix, &brokers, &server.url(), "");
    let mut scene = Scene::with(config).await;
    let sender = scene.client(&["events:write", "read"]).await;
    sender.get("/v1/levels").await.expect(200);
    server.stop("immediate");
    let answer = sender.get("/v1/levels").await.expect(503);
    assert_eq!(answer.header("retry-after"), "1");
    until("the gateway to notice", async || {
        scene.process.log().contains("the keys cannot be read")
    })
    .await;
    sender.events(&event(Uuid::new_v4())).await.expect(202);
    server.resume();
    until("reads to work again", async || {
        sender.get("/v1/levels").await.status.as_u16() == 200
    })
    .await;
    let sink = connect(&scene.sink).await.unwrap();
    sink.execute("update api_key set revoked_at = now()", &[])
        .await
        .unwrap();
    until("the key to be revoked", async || {
        sender.get("/v1/levels").await.status.as_u16() == 401
    })
    .await;
    assert!(scene.process.is_running());
}
