//! Commands that report, and the HTTP server's word, on a shop that lives.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::Value;
use tidewater::event::Lsn;

use super::{Shop, refused};
use crate::support::{self, Ended, Postgres, Tidewater};

#[track_caller]
fn succeeded(arguments: &[&str], config: &str) -> Ended {
    let ended = Tidewater::run(arguments, config);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.output, ended.log);
    ended
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(ended.output.trim()).unwrap()
}

/// Body of a GET of the process's HTTP server, and its status.
/// Where a process serves HTTP, by its log.
fn address(process: &Tidewater) -> String {
    let log = process.log();
    let (_, rest) = log.split_once("address=").unwrap();
    rest.split_whitespace().next().unwrap().to_owned()
}

fn get(process: &Tidewater, path: &str) -> (u16, String) {
    let address = address(process);
    let mut stream = TcpStream::connect(&address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, answer)
}

#[tokio::test]
async fn status_and_metrics_of_a_shop_that_lives() {
    let shop = Shop::open("status").await;
    succeeded(&["migrate"], &shop.config());
    let before = json(&succeeded(&["status", "--json"], &shop.config()));
    assert_eq!(before["source"]["exists"], false);
    assert_eq!(before["sink"]["state"], "warming-up");

    let mut process = Tidewater::start(&["run"], &shop.config());
    super::streaming(&mut process).await;
    support::until("the aggregates to be current", async || {
        let status = json(&Tidewater::run(&["status", "--json"], &shop.config()));
        status["sink"]["state"] == "current" && status["lag_records"] == 0
    })
    .await;
    let status = json(&succeeded(&["status", "--json"], &shop.config()));
    assert_eq!(status["source"]["active"], true);
    assert!(status["source"]["retained_bytes"].as_i64().unwrap() >= 0);
    assert!(status["lag_seconds"].as_f64().unwrap() < 10.0);
    assert!(
        status["topics"]["position"]
            .as_str()
            .unwrap()
            .starts_with("1:")
    );
    assert_eq!(status["sink"]["orders_refused"], 0);
    let screen = succeeded(&["status"], &shop.config()).output;
    for part in ["slot", "position", "current", "0 refused"] {
        assert!(screen.contains(part), "{screen}");
    }

    let update = "update inventory set on_hand = 39";
    shop.source().await.batch_execute(update).await.unwrap();
    support::until("the lags to be exported", async || {
        let (_, metrics) = get(&process, "/metrics");
        [
            "tidewater_retained_wal_bytes",
            "tidewater_replication_lag_bytes",
            "tidewater_replication_lag_seconds",
            "tidewater_consumer_lag_records",
            "tidewater_applied_age_seconds",
            "tidewater_commit_to_kafka_seconds_bucket",
            "tidewater_commit_to_applied_seconds_bucket",
        ]
        .iter()
        .all(|name| metrics.contains(name))
    })
    .await;
    support::until("readiness", async || get(&process, "/readyz").0 == 200).await;
    assert_eq!(get(&process, "/healthz").0, 200);
    let here = format!(
        "{}\n[http]\nlisten = \"{}\"\n",
        shop.config(),
        address(&process)
    );
    let status = json(&succeeded(&["status", "--json"], &here));
    let stages = status["stages"].as_array().unwrap();
    let named = |name: &str| stages.iter().any(|stage| stage["name"] == name);
    assert!(
        named("replicate.publish") && named("retail.apply"),
        "{stages:?}"
    );
    assert_eq!(process.terminate().code(), Some(0));

    // Without a sink that answers the rest is still shown.
    let nowhere = format!("127.0.0.1:{}", support::free_port());
    let (server, database) = shop.sink.rsplit_once('/').unwrap();
    let (_, host) = server.rsplit_once('@').unwrap();
    let config = shop.config().replace(
        &shop.sink,
        &format!("{}/{database}", server.replace(host, &nowhere)),
    );
    let ended = Tidewater::run(&["status"], &config);
    assert_eq!(ended.code(), Some(30), "{}", ended.output);
    assert!(ended.output.contains("position"), "{}", ended.output);
    assert!(
        ended.output.contains("cannot reach postgres"),
        "{}",
        ended.output
    );
}

#[tokio::test]
async fn stuck_is_told_from_idle() {
    let server = Postgres::start(&["wal_level=logical"]);
    let shop = Shop::at(&server.url(), "ready").await;
    let process = shop.replicator().await;
    support::until("readiness", async || get(&process, "/readyz").0 == 200).await;
    drop(server);
    support::until("the stage to be named", async || {
        let (status, body) = get(&process, "/readyz");
        status == 503 && body.contains("\"replicate.read\",\"condition\":\"failed\"")
    })
    .await;
    let (_, metrics) = get(&process, "/metrics");
    let counted = "tidewater_errors_total{stage=\"replicate.read\"}";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn tail_shows_changes_as_people_read_them() {
    let shop = Shop::open("tail").await;
    let process = shop.replicator().await;
    let source = shop.source().await;
    for on_hand in [39, 38] {
        let sql = format!("update inventory set on_hand = {on_hand}");
        source.batch_execute(&sql).await.unwrap();
    }
    let topic = shop.topic("inventory");
    // The read, the two marks that end the snapshot, and the two updates.
    let arguments = ["tail", &topic, "--from-beginning", "--count", "5"];
    let lines = succeeded(&arguments, &shop.config()).output;
    for part in [
        "  read      public.inventory  product_id=7 store_id=1  ",
        "  update    public.inventory  product_id=7 store_id=1  on_hand: 40 → 39",
        "on_hand: 39 → 38",
        "mark  snapshot-end",
        "  @1:",
    ] {
        assert!(lines.contains(part), "no \"{part}\" in {lines}");
    }
    let arguments = ["tail", &topic, "--from-beginning", "--count", "5", "--json"];
    let values = succeeded(&arguments, &shop.config()).output;
    let values: Vec<Value> = values
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let updates = values.iter().filter(|value| value["op"] == "u");
    assert_eq!(updates.count(), 2);
    let parts = ["does not exist", "<prefix>.<schema>.<table>"];
    refused(&["tail", "nowhere"], &shop.config(), 21, &parts);
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test]
async fn the_position_is_moved_by_hand() {
    let shop = Shop::open("position").await;
    let config = shop.source_config();
    let none = succeeded(&["position", "show"], &config).output;
    assert!(none.contains("no position is recorded"), "{none}");
    let process = shop.replicator().await;
    let parts = ["is held by backend", "stop that replicator first"];
    refused(&["position", "set", "0/1", "--yes"], &config, 16, &parts);
    assert_eq!(process.terminate().code(), Some(0));

    let record = json(&succeeded(&["position", "export"], &config));
    let resume: Lsn = record["resume_lsn"].as_str().unwrap().parse().unwrap();
    let shown = succeeded(&["position", "show"], &config).output;
    assert!(shown.contains(&resume.to_string()), "{shown}");

    let source = shop.source().await;
    let insert = "insert into stores values (2, 'Quay')";
    source.batch_execute(insert).await.unwrap();
    let end = "select pg_current_wal_flush_lsn()::text";
    let end: String = source.query_one(end, &[]).await.unwrap().get(0);
    let planned = Tidewater::run(&["position", "set", &end], &config);
    assert_eq!(planned.code(), Some(2), "{}", planned.log);
    assert!(
        planned.output.contains("confirm with --yes"),
        "{}",
        planned.output
    );
    assert_eq!(json(&succeeded(&["position", "export"], &config)), record);
    succeeded(&["position", "set", &end, "--yes"], &config);
    let after = json(&succeeded(&["position", "export"], &config));
    assert_eq!(after["resume_lsn"], end.as_str());
    let parts = ["past the end of the source's log"];
    refused(&["position", "set", "FFFF/0", "--yes"], &config, 2, &parts);
    let parts = ["no longer holds changes before"];
    refused(&["position", "set", "0/1", "--yes"], &config, 15, &parts);
    // What was skipped stays out; streaming goes on.
    shop.replicate_once().await;

    succeeded(&["position", "adopt", "--yes"], &config);
    let adopted = json(&succeeded(&["position", "export"], &config));
    assert_eq!(
        (&adopted["epoch"], &adopted["snapshot"]),
        (&2.into(), &"begun".into())
    );
    shop.replicate_once().await;
    let again = json(&succeeded(&["position", "export"], &config));
    assert_eq!(
        (&again["epoch"], &again["snapshot"]),
        (&2.into(), &"done".into())
    );
}

#[tokio::test]
async fn the_doctor_finds_a_healthy_shop_healthy() {
    let shop = Shop::open("healthy").await;
    succeeded(&["migrate"], &shop.config());
    shop.replicate_once().await;
    let report = json(&succeeded(&["doctor", "--json"], &shop.config()));
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.len() > 15, "{report}");
    assert!(
        findings
            .iter()
            .all(|finding| finding["severity"] != "error"),
        "{report}"
    );
    let text = succeeded(&["doctor"], &shop.config()).output;
    assert!(text.contains("0 errors"), "{text}");
    // A new shop is none the worse for not being set up.
    let new = Shop::open("new").await;
    succeeded(&["doctor"], &new.source_config());
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong() {
    let server = Postgres::start(&["wal_level=replica", "max_prepared_transactions=1"]);
    let shop = Shop::at(&server.url(), "sick").await;
    let source = shop.source().await;
    source
        .batch_execute(
            "alter table orders drop constraint orders_pkey;
             alter table stores set unlogged;
             alter table products replica identity nothing",
        )
        .await
        .unwrap();
    let short = vec![
        ("retention.ms", "1000".to_owned()),
        ("cleanup.policy", "delete".to_owned()),
    ];
    shop.make_topic("inventory", short).await;
    let ended = Tidewater::run(&["doctor"], &shop.config());
    assert_eq!(ended.code(), Some(3), "{}{}", ended.output, ended.log);
    for part in [
        "wal_level is \"replica\"",
        "public.orders has no primary key",
        "alter table \"public\".\"stores\" set logged",
        "alter table \"public\".\"products\" replica identity default",
        "public.orders is keyed by (), and the aggregates need exactly (\"order_id\")",
        "max_slot_wal_keep_size is unlimited",
        "cleanup.policy=delete,retention.ms=-1",
        "codes can be guessed",
        "sink.reached",
    ] {
        assert!(
            ended.output.contains(part),
            "no \"{part}\" in {}",
            ended.output
        );
    }
    let nowhere = format!("127.0.0.1:{}", support::free_port());
    let config = shop.source_config().replace(&shop.brokers, &nowhere);
    let ended = Tidewater::run(&["doctor"], &config);
    assert!(
        ended.output.contains("check kafka.brokers"),
        "{}",
        ended.output
    );
}

#[test]
fn help_version_and_completions() {
    let help = succeeded(&["--help"], "").output;
    for part in [
        "Exit codes:",
        "15  the slot is past the position",
        "doctor",
        "tail",
    ] {
        assert!(help.contains(part), "{help}");
    }
    assert!(
        succeeded(&["--version"], "")
            .output
            .starts_with("tidewater 0.")
    );
    let tail = succeeded(&["tail", "--help"], "").output;
    assert!(tail.contains("Examples:"), "{tail}");
    for shell in ["bash", "zsh", "fish"] {
        let script = succeeded(&["completions", shell], "").output;
        assert!(script.contains("tidewater") && script.contains("position"));
    }
}
