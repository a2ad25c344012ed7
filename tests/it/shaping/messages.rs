//! Messages of `pg_logical_emit_message`, once each across crashes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::events;
use crate::model::read_topic;
use crate::starts::Scene;
use crate::support::{Tidewater, kafka_brokers};

#[tokio::test]
async fn selected_messages_are_published_once() {
    let scene = Scene::new("messages", "create table t (id bigint primary key)").await;
    let config = |more: &str| {
        let config = scene.config("initial", more);
        config
            .replace("interval = \"100ms\"", "interval = \"0s\"")
            .replace(
                "[kafka]",
                "messages = [\"app.*\", \"!app.private*\"]\n[kafka]",
            )
    };
    scene.stream(&config("")).await.terminate();
    let emit = |transactional: bool, prefix: &str, content: &str| {
        format!("select pg_logical_emit_message({transactional}, '{prefix}', '{content}')")
    };
    // Each is published, and the process gone before the source hears of it.
    for statements in [
        vec![emit(false, "app.a", "one")],
        vec![emit(false, "app.a", "two"), emit(false, "app.b", "three")],
        vec![format!(
            "begin; insert into t values (1); {}; insert into t values (2); commit",
            emit(true, "app.a", "four")
        )],
        vec![
            emit(true, "other", "hidden"),
            emit(false, "app.private.x", "hidden"),
            emit(false, "app.b", "five"),
        ],
    ] {
        for statement in statements {
            scene.sql(&statement).await;
        }
        let crash = config("[debug]\ncrash_at = \"publish.committed:1\"\n");
        let died = Tidewater::run(&["replicate"], &crash);
        assert_eq!(died.code(), None, "{}", died.log);
    }
    let replicator = scene
        .stream(&config("").replace("interval = \"0s\"", "interval = \"100ms\""))
        .await;
    scene.drain(replicator).await;

    let records = read_topic(&kafka_brokers(), &format!("{}.message", scene.name));
    let told: Vec<String> = events(&records)
        .into_iter()
        .map(|(key, event)| {
            assert_eq!(event["op"], "m");
            let message = &event["message"];
            assert_eq!(key["prefix"], message["prefix"]);
            let content = STANDARD
                .decode(message["content"].as_str().unwrap())
                .unwrap();
            let position = event["source"]["position"].as_str().unwrap();
            format!(
                "{} {} {} {}",
                message["prefix"].as_str().unwrap(),
                String::from_utf8(content).unwrap(),
                position.rsplit(':').next().unwrap(),
                event["source"]["txId"].is_null()
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            "app.a one 0 true",
            "app.a two 0 true",
            "app.b three 0 true",
            "app.a four 2 false",
            "app.b five 0 true",
        ]
    );
    assert_eq!(events(&scene.records("t")).len(), 2);
}
