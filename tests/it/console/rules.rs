//! Rules are edited by whoever has a key for it, and by nobody else.

use serde_json::{Value, json};
use tidewater::exit::ExitCode;

use super::Scene;
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_is_edited_with_a_key() {
    let scene = Scene::start("console_rules").await;
    let nobody = scene.client();
    let rules = nobody.get("/api/rules").await.expect(200).json();
    let rule = &rules["rules"][0];
    assert_eq!(
        (&rule["rule_id"], &rule["habit_window"]),
        (&1.into(), &"28 days".into())
    );

    let change =
        json!({"discount_percent": 20, "valid_for": "12:00:00", "enabled": true}).to_string();
    nobody.put("/api/rules/1", &change).await.expect(401);
    let reader = scene.with_key("read").await;
    let refused = reader.put("/api/rules/1", &change).await.expect(403);
    assert_eq!(refused.json()["scope"], "rules:write");
    reader
        .post("/api/rules", "application/json", "{\"name\":\"x\"}")
        .await
        .expect(403);

    let editor = scene.with_key("rules:write").await;
    let changed = editor.put("/api/rules/1", &change).await.expect(200).json();
    assert_eq!(changed["discount_percent"], 20);
    assert_eq!(changed["valid_for"], "12:00:00");
    assert_eq!(changed["habit_orders"], 2, "what is not given stays");
    // Whatever is read can be written back.
    let mut same = changed.clone();
    same.as_object_mut().unwrap().remove("rule_id");
    assert_eq!(
        editor
            .put("/api/rules/1", &same.to_string())
            .await
            .expect(200)
            .json(),
        changed
    );
    editor.put("/api/rules/99", "{}").await.expect(404);

    for (body, field, word) in [
        (
            json!({"discount_percent": 0}),
            "discount_percent",
            "1 to 100",
        ),
        (
            json!({"discount_percent": "many"}),
            "discount_percent",
            "many",
        ),
        (
            json!({"habit_window": "28 hours"}),
            "habit_window",
            "whole days",
        ),
        (json!({"cooldown": "soon"}), "cooldown", "soon"),
        (json!({"daily_limit": 1e20}), "daily_limit", "out of range"),
        (json!({"trigger": "whim"}), "trigger", "stock or intent"),
        (json!({"rule_id": 7}), "rule_id", "is no column"),
        (json!({"name": null}), "name", "must be"),
    ] {
        let answer = editor
            .put("/api/rules/1", &body.to_string())
            .await
            .expect(422);
        let answer = answer.names(field).json();
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{detail}");
    }
    let unchanged = nobody.get("/api/rules").await.expect(200).json();
    assert_eq!(unchanged["rules"], json!([changed]));

    created(&scene, &editor).await;
    // A change is logged with the key that made it, and without what it was.
    let log = scene.console().log();
    let line = log
        .lines()
        .find(|line| line.contains("a rule was edited"))
        .unwrap();
    assert!(
        line.contains("rule_id=1") && line.contains("discount_percent"),
        "{line}"
    );
    scene.end();
}

async fn created(scene: &Scene, editor: &crate::support::http::Client) {
    let post = async |body: Value| {
        editor
            .post("/api/rules", "application/json", body.to_string())
            .await
    };
    let rule = json!({"name": "gold", "tier": "gold", "enabled": false});
    let made = post(rule.clone()).await.expect(201).json();
    assert_eq!(
        (&made["rule_id"], &made["tier"]),
        (&2.into(), &"gold".into())
    );
    assert_eq!(made["cooldown"], "72:00:00", "{made}");
    post(rule).await.expect(422).names("name");
    post(json!({"tier": "gold"}))
        .await
        .expect(422)
        .names("name");
    // Half a rule is none.
    post(json!({"name": "bad", "discount_percent": 101}))
        .await
        .expect(422)
        .names("discount_percent");
    let rules = "select count(*) from promotion_rule";
    assert_eq!(
        scene
            .sink
            .query_one(rules, &[])
            .await
            .unwrap()
            .get::<_, i64>(0),
        2
    );
}

/// What is edited holds within a minute, without anybody being started again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_rule_is_in_effect() {
    let scene = Scene::start("console_effect").await;
    scene.codes().await;
    let editor = scene.with_key("rules:write").await;
    let off = json!({"enabled": false}).to_string();
    editor.put("/api/rules/1", &off).await.expect(200);
    until("nobody to be eligible", async || {
        let tuples = "select count(*) from promotion_eligibility";
        scene
            .sink
            .query_one(tuples, &[])
            .await
            .unwrap()
            .get::<_, i64>(0)
            == 0
    })
    .await;
    scene.console.unwrap().terminate().expect(ExitCode::Success);
    scene.roles.terminate().expect(ExitCode::Success);
}
