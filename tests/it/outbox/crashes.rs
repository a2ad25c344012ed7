//! Routed events across `kill -9`: each is there once.

use std::collections::BTreeSet;

use super::{TABLES, config, event, keys, routed};
use crate::starts::Scene;
use crate::support::Tidewater;

/// Without heartbeats every Kafka transaction is one of the test's own.
fn quiet(scene: &Scene, more: &str) -> String {
    let config = config(scene, "");
    let config = config.replace("interval = \"100ms\"", "interval = \"0s\"");
    format!("{config}{more}")
}

#[tokio::test]
async fn an_event_is_there_once_whatever_dies_around_its_topic() {
    let scene = Scene::new("outbox_crashes", TABLES).await;
    scene.stream(&quiet(&scene, "")).await.terminate();
    let mut expected = Vec::new();
    for (round, step) in [
        "outbox.topic-created:1",
        "publish.begun:1",
        "publish.before-commit:1",
        "publish.committed:1",
        "outbox.topic-created:2",
        "stream.before-confirm:1",
    ]
    .iter()
    .enumerate()
    {
        let (old, new) = (round * 2 + 1, round * 2 + 2);
        scene
            .sql(&format!(
                "begin; {}; {}; delete from outbox; commit",
                event("order", &old.to_string()),
                event(&format!("kind{round}"), &new.to_string())
            ))
            .await;
        let crash = quiet(&scene, &format!("[debug]\ncrash_at = \"{step}\"\n"));
        let died = Tidewater::run(&["replicate"], &crash);
        assert_eq!(died.code(), None, "{step}: {}", died.log);
        if step.starts_with("outbox.") {
            // Nothing of the transaction is there, and the topic may be.
            assert_eq!(keys(&scene, "order"), expected, "{step}");
        }
        let replicator = scene.stream(&quiet(&scene, "")).await;
        scene.drain(replicator).await;
        expected.push(i64::try_from(old).unwrap());
        assert_eq!(keys(&scene, "order"), expected, "{step}");
        let kind = format!("kind{round}");
        assert_eq!(keys(&scene, &kind), [i64::try_from(new).unwrap()], "{step}");
    }
}

#[tokio::test]
async fn a_snapshot_that_dies_loses_no_event() {
    let scene = Scene::new("outbox_reads", TABLES).await;
    scene
        .sql(
            "insert into outbox (aggregatetype, aggregateid, type, payload)
             select 'kind' || n % 3, n::text, 'made', to_jsonb(repeat('x', 500)) from generate_series(1, 30000) n",
        )
        .await;
    let steps = [
        "snapshot.begun:1",
        "snapshot.chunk:2",
        "publish.committed:3",
    ];
    for (key, step) in (30_001..).zip(steps) {
        let crash = quiet(&scene, &format!("[debug]\ncrash_at = \"{step}\"\n"));
        let died = Tidewater::run(&["replicate"], &crash);
        assert_eq!(died.code(), None, "{step}: {}", died.log);
        // It is gone before anybody reads the table again.
        scene
            .sql(&format!(
                "begin; {}; delete from outbox where aggregateid = '{key}'; commit",
                event("kind0", &key.to_string())
            ))
            .await;
    }
    // One that stays may be read and streamed.
    scene.sql(&event("kind1", "30004")).await;
    let replicator = scene.stream(&quiet(&scene, "")).await;
    scene.drain(replicator).await;
    let mut all: Vec<i64> = (0..3)
        .flat_map(|n| keys(&scene, &format!("kind{n}")))
        .collect();
    all.sort_unstable();
    let stays = all.iter().position(|key| *key == 30_004).unwrap();
    assert_eq!(all[..stays], (1..=30_003).collect::<Vec<_>>());
    let ids: BTreeSet<String> = routed(&scene, "kind1")
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"\"30004\""))
        .map(|record| record.header("id").unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 1);
}
