//! Server-sent events: what changes is told without being asked for, and a drain ends them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Method;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tidewater::exit::ExitCode;

use super::Scene;

/// A page that follows.
struct Follower {
    body: hyper::body::Incoming,
    text: String,
}

impl Follower {
    async fn of(scene: &Scene) -> Follower {
        let client = scene.client();
        let request = client.request(Method::GET, "/api/live").body(Body::empty());
        let response = client.open(request.unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Follower {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event, with its name; `None` when the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = event.lines();
                    lines
                        .find_map(|line| line.strip_prefix(name))
                        .map(str::to_owned)
                };
                let (Some(name), Some(data)) = (field("event: "), field("data: ")) else {
                    continue;
                };
                return Some((name, serde_json::from_str(&data).unwrap()));
            }
            let frame = tokio::time::timeout(Duration::from_mins(1), self.body.frame());
            let frame = frame.await.expect("an event within a minute")?.ok()?;
            let bytes = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&bytes).unwrap());
        }
    }

    /// The first event of that name that is so.
    async fn until(&mut self, name: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_mins(2);
        loop {
            assert!(Instant::now() < deadline, "no such {name} in two minutes");
            let (found, value) = self.next().await.expect("the stream goes on");
            if found == name && is_it(&value) {
                return value;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_is_told_to_every_page() {
    let scene = Scene::start("console_live").await;
    let mut first = Follower::of(&scene).await;
    let working = |pipeline: &Value| pipeline["state"] == "current";
    let pipeline = first.until("pipeline", working).await;
    let stages = pipeline["stages"].as_array().unwrap();
    let ids: Vec<&str> = stages
        .iter()
        .map(|stage| stage["id"].as_str().unwrap())
        .collect();
    assert_eq!(
        ids,
        [
            "postgres",
            "replicate",
            "kafka",
            "aggregate",
            "decide",
            "dispatch"
        ]
    );
    let all_known = |pipeline: &Value| {
        let stages = pipeline["stages"].as_array().unwrap();
        let services = pipeline["services"].as_object().unwrap();
        stages
            .iter()
            .all(|stage| stage["condition"] == "idle" || stage["condition"] == "working")
            && services.values().all(|service| service["ok"] == true)
    };
    first.until("pipeline", all_known).await;

    // The chosen pair's level is in the map once it has changed, for a page that was opened later too.
    scene
        .source("update inventory set on_hand = 4321 where (store_id, product_id) = (2, 3)")
        .await;
    let cell = |cover: &Value| {
        let place = |axis: &str, id: i64| {
            let ids = cover[axis].as_array().unwrap();
            ids.iter().position(|found| *found == id)
        };
        let found = place("stores", 2).zip(place("products", 3));
        found.map_or(Value::Null, |(store, product)| {
            cover["cells"][store][product].clone()
        })
    };
    let is_told = |cover: &Value| cell(cover)["on_hand"] == 4321;
    let cover = first.until("cover", is_told).await;
    assert_eq!(cover["stores_total"], 3, "{cover}");
    // Four units were sold in seven days.
    assert_eq!(cell(&cover)["units"], 4, "{cover}");
    assert!((cell(&cover)["days"].as_f64().unwrap() - 4321.0 * 7.0 / 4.0).abs() < 0.1);
    let mut second = Follower::of(&scene).await;
    second.until("cover", is_told).await;

    // A code is told of once, and again in every other state.
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut third = Follower::of(&scene).await;
    while !seen
        .values()
        .any(|states| states.last().unwrap() == "redeemed")
    {
        let codes = third.until("codes", |_| true).await;
        for code in codes["codes"].as_array().unwrap() {
            let text = |name: &str| code[name].as_str().unwrap().to_owned();
            let states = seen.entry(text("promotion_id")).or_default();
            assert_ne!(states.last(), Some(&text("state")), "told twice: {code}");
            if states.is_empty() && seen.len() == 1 {
                redeem(&scene, code).await;
            }
            seen.entry(text("promotion_id"))
                .or_default()
                .push(text("state"));
        }
    }
    let ended = scene.console.unwrap().terminate().expect(ExitCode::Success);
    assert!(!ended.log.contains("were cut off"), "{}", ended.log);
    for mut page in [first, second, third] {
        while page.next().await.is_some() {}
    }
    scene.roles.terminate().expect(ExitCode::Success);
}

async fn redeem(scene: &Scene, code: &Value) {
    let number = |name: &str| code[name].as_i64().unwrap();
    let order = format!(
        "insert into orders values (9900, {}, {}, {}, 1, 9.50, 'paid', '{}', now())",
        number("customer_id"),
        number("store_id"),
        number("product_id"),
        code["code"].as_str().unwrap()
    );
    scene.source(&order).await;
}

/// One of the parts is away: the others' figures go on, and it is said which one it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_away_is_named() {
    let scene = Scene::start("console_away").await;
    let mut page = Follower::of(&scene).await;
    page.until("pipeline", |pipeline| pipeline["state"] == "current")
        .await;
    scene.roles.kill();
    let pipeline = page
        .until("pipeline", |pipeline| {
            pipeline["stages"][3]["condition"] == "unknown"
        })
        .await;
    let detail = pipeline["stages"][3]["detail"].as_str().unwrap();
    assert!(detail.contains("console.roles"), "{detail}");
    let idle = |pipeline: &Value| {
        let detail = pipeline["services"]["source"]["detail"].as_str().unwrap();
        detail.ends_with("nobody reads it")
    };
    page.until("pipeline", idle).await;
    scene.console.unwrap().terminate().expect(ExitCode::Success);
}
