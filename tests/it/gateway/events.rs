//! What is accepted, how it stands in the topic, and what becomes of it the second time.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tidewater::config::settings::Kafka;
use tidewater::kafka::{Admin, topics};
use uuid::Uuid;

use super::{JSON, LINES, Scene, event, ids, list, value};
use crate::model::random;

#[tokio::test]
async fn an_event_is_a_record_of_one_form() {
    let scene = Scene::start("form", "").await;
    let sender = scene.sender().await;
    let id = Uuid::new_v4();
    let before = jiff::Timestamp::now();
    let answer = sender.events(&event(id)).await.expect(202);
    assert_eq!(answer.json(), json!({"event_id": id, "status": "accepted"}));
    let entered = json!({
        "event_id": Uuid::new_v4(), "type": "store_entered", "customer_id": -9_223_372_036_854_775_808_i64,
        "store_id": 1, "occurred_at": "2026-11-28T03:06:02Z"
    });
    sender.events(&entered).await.expect(202);

    let records = scene.records();
    assert_eq!(records.len(), 2);
    let record = records
        .iter()
        .find(|record| record.key == Some(b"7".to_vec()))
        .unwrap();
    let text = String::from_utf8(record.value.clone().unwrap()).unwrap();
    let (text, received) = text.split_once("\"received_at\":\"").unwrap();
    assert_eq!(
        text,
        format!(
            "{{\"event_id\":\"{id}\",\"type\":\"product_viewed\",\"customer_id\":7,\"store_id\":1,\
             \"product_id\":2,\"occurred_at\":\"2026-11-28T03:06:02.500000Z\","
        )
    );
    assert_eq!(received.len(), "2026-11-28T03:06:02.500000Z\"}".len());
    let received: jiff::Timestamp = received.trim_end_matches("\"}").parse().unwrap();
    let micros = before.as_microsecond()..=jiff::Timestamp::now().as_microsecond();
    assert!(micros.contains(&received.as_microsecond()));
    let other = records
        .iter()
        .find(|record| record.key != Some(b"7".to_vec()))
        .unwrap();
    assert_eq!(other.key, Some(b"-9223372036854775808".to_vec()));
    assert!(value(other)["product_id"].is_null());

    let kafka = kafka(&scene);
    let admin = Admin::new(&kafka).unwrap();
    let topic = topics::events(&kafka.prefix);
    assert_eq!(admin.await_partitions(&topic).await.unwrap(), Some(2));
    for (name, expected) in [("retention.ms", "-1"), ("cleanup.policy", "delete")] {
        let found = admin.setting(&topic, name).await.unwrap();
        assert_eq!(found.as_deref(), Some(expected), "{name}");
    }
}

fn kafka(scene: &Scene) -> Kafka {
    tidewater::config::parse(&scene.config, [])
        .unwrap()
        .kafka
        .unwrap()
}

#[tokio::test]
async fn each_item_of_a_list_is_judged_by_itself() {
    let scene = Scene::start("items", "batch_events_max = 10").await;
    let sender = scene.sender().await;
    let good = ids(3);
    let mut wrong = event(Uuid::new_v4());
    wrong["extra"] = 1.into();
    let mut late = event(Uuid::new_v4());
    late["occurred_at"] = "yesterday".into();
    let events = json!([
        event(good[0]),
        wrong,
        event(good[1]),
        7,
        late,
        event(good[0])
    ]);
    let answer = sender.events(&events).await.expect(202).json();
    assert_eq!(
        (&answer["accepted"], &answer["rejected"]),
        (&2.into(), &3.into())
    );
    assert_eq!(answer["repeated"], 1);
    let results: Vec<String> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(short)
        .collect();
    let expected = [
        "accepted",
        "rejected extra",
        "accepted",
        "rejected",
        "rejected occurred_at",
        "repeated",
    ];
    assert_eq!(results, expected);
    assert_eq!(answer["results"][1]["event_id"], wrong["event_id"]);

    let lines = format!("{}\r\n\n{{\n{}", event(good[2]), event(good[1]));
    let answer = sender
        .post("/v1/events", LINES, lines)
        .await
        .expect(202)
        .json();
    let results: Vec<String> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(short)
        .collect();
    assert_eq!(results, ["accepted", "rejected", "repeated"]);

    let none = sender
        .events(&json!([wrong, late]))
        .await
        .expect(422)
        .json();
    let results: Vec<String> = none["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(short)
        .collect();
    assert_eq!(results, ["rejected extra", "rejected occurred_at"]);
    sender.events(&wrong).await.expect(422).names("extra");
    sender.events(&late).await.expect(422).names("occurred_at");
    sender.events(&json!([])).await.expect(422);
    sender.events(&list(&ids(11))).await.expect(413);
    sender.post("/v1/events", JSON, "{").await.expect(400);
    sender
        .post("/v1/events", JSON, &b"\xff"[..])
        .await
        .expect(400);
    sender
        .post("/v1/events", "text/plain", "{}")
        .await
        .expect(415);
    sender
        .post("/v1/events", JSON, vec![b' '; (1 << 20) + 1])
        .await
        .expect(413);
    assert_eq!(scene.copies(&good), [1, 1, 1]);
    assert_eq!(scene.records().len(), 3);
    let requests = scene
        .metric("tidewater_gateway_requests_total", "/v1/events")
        .await;
    assert!(requests >= 11.0, "{requests}");
    let rejected = scene
        .metric("tidewater_gateway_events_total", "rejected")
        .await;
    assert!((rejected - 8.0).abs() < 0.5, "{rejected}");
}

fn short(result: &Value) -> String {
    let status = result["status"].as_str().unwrap();
    match result["field"].as_str() {
        Some(field) => format!("{status} {field}"),
        None => status.to_owned(),
    }
}

#[tokio::test]
async fn an_event_that_comes_again_makes_no_second_record() {
    let scene = Scene::start("again", "remembered_events = 1000").await;
    let sender = scene.sender().await;
    let id = Uuid::new_v4();
    sender.events(&event(id)).await.expect(202);
    let again = sender.events(&event(id)).await.expect(202).json();
    assert_eq!(again["status"], "repeated");
    // The same id with other content would be lost in silence.
    let mut other = event(id);
    other["customer_id"] = 8.into();
    sender.events(&other).await.expect(409).names("event_id");
    assert_eq!(scene.copies(&[id]), [1]);

    // Many at once, each several times, in lists and alone.
    let all = ids(200);
    let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let chosen: Vec<Uuid> = (0..20)
            .map(|_| all[rng.random_range(0..all.len())])
            .collect();
        let sender = sender.clone();
        tasks.spawn(async move { sender.events(&list(&chosen)).await.expect(202).json() });
    }
    let answers = tasks.join_all().await;
    let sum = |name: &str| {
        answers
            .iter()
            .map(|answer| answer[name].as_u64().unwrap())
            .sum::<u64>()
    };
    let copies = scene.copies(&all);
    assert!(copies.iter().all(|copies| *copies <= 1), "{copies:?}");
    let sent = copies.iter().sum::<usize>() as u64;
    assert_eq!(
        (sum("accepted"), sum("repeated"), sum("rejected")),
        (sent, 800 - sent, 0)
    );

    // The window is bounded: a thousand others later it is another record.
    for _ in 0..2 {
        sender.events(&list(&ids(500))).await.expect(202);
    }
    let again = sender.events(&event(id)).await.expect(202).json();
    assert_eq!(again["status"], "accepted");
    assert_eq!(scene.copies(&[id]), [2]);
}
