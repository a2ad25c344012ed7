//! What the page asks for, and how it is answered.

use serde_json::Value;

use super::Scene;
use crate::support::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_and_its_answers_are_served() {
    let scene = Scene::start("console_answers").await;
    let client = scene.client();
    let page = client.get("/").await.expect(200);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(
        !policy.contains("unsafe") && !policy.contains('*'),
        "{policy}"
    );
    for (path, kind) in [
        ("/console.js", "text/javascript"),
        ("/console.css", "text/css"),
    ] {
        let file = client.get(path).await.expect(200);
        assert!(file.header("content-type").starts_with(kind));
        assert!(page.text.contains(path), "{path}");
    }
    scene.codes().await;

    series(&scene).await;
    why(&scene).await;
    topics(&scene).await;
    let worth = client.get("/api/worth").await.expect(200).json();
    assert_eq!(worth["arms"][0]["arm"], "stream", "{worth}");
    assert!(worth["arms"][0]["codes"].as_i64().unwrap() > 3, "{worth}");
    assert_eq!(worth["arms"][0]["customers"], 5, "{worth}");
    assert_eq!(worth["arms"].as_array().unwrap().len(), 1, "{worth}");

    for path in [
        "/api/series?product_id=1",
        "/api/series?store_id=x&product_id=1",
        "/api/series?store_id=1&product_id=1&range=8d",
        "/api/why?promotion_id=1",
        "/api/topics/x?limit=101",
        "/api/topics/x?limit=1&more=1",
    ] {
        client.get(path).await.expect(422);
    }
    for path in [
        "/api",
        "/api/why?promotion_id=00000000-0000-4000-8000-000000000000",
        "/api/topics/_tidewater",
        "/console.map",
    ] {
        client.get(path).await.expect(404);
    }
    scene.end();
}

async fn series(scene: &Scene) {
    let client = scene.client();
    let path = "/api/series?store_id=1&product_id=2&range=24h";
    let of = async || client.get(path).await.expect(200).json();
    let found = of().await;
    assert_eq!(found["level"], 200, "{found}");
    assert_eq!(found["hours"].as_array().unwrap().len(), 24, "{found}");
    let now = found["hours"][23].clone();
    assert_eq!(
        (&now["closing"], &now["units"]),
        (&200.into(), &0.into()),
        "{found}"
    );
    // What it says psql can ask gives the same.
    let query = found["query"].as_str().unwrap();
    let rows = scene.sink.query(query, &[]).await.unwrap();
    let closing: Option<i32> = rows.last().unwrap().get("closing");
    assert_eq!(closing, Some(200));
    scene
        .source(
            "update inventory set on_hand = 0 where (store_id, product_id) = (1, 2);
             insert into orders values (9001, 1, 1, 2, 7, 9.50, 'paid', null, now())",
        )
        .await;
    until("the change", async || of().await["level"] == 0).await;
    until("the order", async || {
        let found = of().await;
        let units = |hour: &Value| hour["units"].as_i64().unwrap();
        found["hours"]
            .as_array()
            .unwrap()
            .iter()
            .map(units)
            .sum::<i64>()
            == 7
    })
    .await;
    let week = client
        .get("/api/series?store_id=1&product_id=2&range=7d")
        .await;
    let week = week.expect(200).json();
    assert_eq!(week["hours"].as_array().unwrap().len(), 168);
    let none = client
        .get("/api/series?store_id=77&product_id=2&range=1h")
        .await;
    let none = none.expect(200).json();
    assert_eq!(none["level"], Value::Null, "{none}");
}

async fn why(scene: &Scene) {
    let sql = "select promotion_id::text, customer_id, product_id from promotion limit 1";
    let row = scene.sink.query_one(sql, &[]).await.unwrap();
    let (id, customer): (String, i64) = (row.get(0), row.get(1));
    let path = format!("/api/why?promotion_id={id}");
    let found = scene.client().get(&path).await.expect(200).json();
    assert_eq!(found["code"]["promotion_id"], id.as_str());
    assert_eq!(found["code"]["reason"]["tier"], "premium", "{found}");
    assert_eq!(found["code"]["reason"]["orders"], 3, "{found}");
    let tuple = &found["explanation"]["tuples"][0];
    assert_eq!(tuple["customer_id"], customer, "{found}");
    assert!(tuple["conditions"].as_array().unwrap().len() > 8, "{found}");
    let command = found["command"].as_str().unwrap();
    let arguments: Vec<&str> = command.split(' ').skip(1).collect();
    let explained = crate::support::Tidewater::run(&arguments, &scene.config);
    assert!(explained.output.contains("live code"), "{explained:?}");
    for query in found["query"].as_str().unwrap().split("; ") {
        assert_eq!(
            scene.sink.query(query, &[]).await.unwrap().len(),
            1,
            "{query}"
        );
    }
}

async fn topics(scene: &Scene) {
    let client = scene.client();
    let found = client.get("/api/topics").await.expect(200).json();
    let topics = found["topics"].as_array().unwrap();
    let named = |end: &str| {
        let found = topics.iter().find(|topic| {
            let name = topic["name"].as_str().unwrap();
            name.ends_with(end)
        });
        found.unwrap_or_else(|| panic!("{end} in {found:?}"))["name"]
            .as_str()
            .unwrap()
    };
    let inventory = named(".public.inventory");
    scene
        .source("update inventory set on_hand = 55 where (store_id, product_id) = (3, 4)")
        .await;
    let path = format!("/api/topics/{inventory}?limit=30");
    let mut update = Value::Null;
    until("the update", async || {
        let found = client.get(&path).await.expect(200).json();
        let events = found["events"].as_array().unwrap();
        let is_it = |event: &&Value| event["op"] == "u" && event["after"]["on_hand"] == 55;
        update = events.iter().find(is_it).cloned().unwrap_or_default();
        !update.is_null()
    })
    .await;
    assert_eq!(update["key"]["product_id"], 4, "{update}");
    assert!(
        update["position"].as_str().unwrap().starts_with("1:"),
        "{update}"
    );
    let promotions = client
        .get(&format!("/api/topics/{}", named(".promotions")))
        .await;
    let promotions = promotions.expect(200).json();
    assert_eq!(promotions["events"][0]["op"], Value::Null, "{promotions}");
    assert!(
        promotions["events"][0]["value"]["code"].is_string(),
        "{promotions}"
    );
}
