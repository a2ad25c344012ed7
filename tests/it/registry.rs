//! Avro's registry, a real one and one that fails on request: what is refused, what waits, and what
//! `tail` shows.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use tidewater::connection::{Connection, Database, connect};

use crate::model::read_topic;
use crate::support::{
    self, Apicurio, FakeRegistry, Mood, Tidewater, caught_up, kafka_brokers, until,
};

fn config(source: &Connection, prefix: &str, format: &str) -> String {
    format!(
        "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n\
         [format]\n{format}",
        support::database_url(source.database()),
        kafka_brokers()
    )
}

fn avro(url: &str) -> String {
    format!("encoding = \"avro\"\n[format.registry]\nurl = \"{url}\"\n")
}

#[tokio::test]
async fn an_incompatible_change_of_a_table_is_refused() {
    let Some(apicurio) = Apicurio::start().await else {
        return;
    };
    let (database, prefix, config) = table("refused", &apicurio.url()).await;
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    let url = apicurio.url();
    let rule = format!("{url}/config/{prefix}.public.t-key");
    put(&rule, r#"{"compatibility":"BACKWARD"}"#);
    // A key of another type cannot be read by who reads the earlier ones.
    let change = "alter table t alter id type text; insert into t values ('x', 1)";
    database.batch_execute(change).await.unwrap();
    let ended = replicator.wait(Duration::from_mins(1));
    assert_eq!(ended.code(), Some(26), "{}", ended.log);
    for named in [&format!("{prefix}.public.t-key"), "BACKWARD", "NONE"] {
        assert!(ended.log.contains(named), "{named}: {}", ended.log);
    }
    put(&rule, r#"{"compatibility":"NONE"}"#);
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    caught_up(&database, &prefix).await;
    let topic = format!("{prefix}.public.t");
    let tailed = Tidewater::run(
        &["tail", &topic, "--from-beginning", "--count", "2"],
        &config,
    );
    assert_eq!(tailed.code(), Some(0), "{}", tailed.log);
    assert!(
        tailed.output.contains("insert    public.t  id=\"x\"  "),
        "{}",
        tailed.output
    );
    assert_eq!(replicator.terminate().code(), Some(0));
}

/// Sends a document to the registry.
fn put(url: &str, body: &str) {
    let (address, path) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('/')
        .unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    let request = format!(
        "PUT /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// A table with one row, and the configuration of a replicator that writes Avro.
async fn table(name: &str, registry: &str) -> (Database, String, String) {
    let source = support::postgres_database(name).await;
    let database = connect(&source).await.unwrap();
    let setup = "create table t (id bigint primary key, n integer); insert into t values (1, 1);
         create table u (id bigint primary key)";
    database.batch_execute(setup).await.unwrap();
    let prefix = support::unique(name);
    let config = config(&source, &prefix, &avro(registry));
    (database, prefix, config)
}

/// Gives u another schema, and waits until the registry is asked for it.
async fn change_u(database: &Database, registry: &FakeRegistry, prefix: &str) {
    let change = "alter table u add column added integer; insert into u values (7, 1)";
    database.batch_execute(change).await.unwrap();
    let subject = format!("look-up {prefix}.public.u-value");
    let asked = || {
        registry
            .asked()
            .into_iter()
            .filter(|asked| *asked == subject)
    };
    // The first time was at the start.
    until("the registry to be asked", async || asked().count() > 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_schema_waits_for_the_registry_and_nothing_else_does() {
    for mood in [Mood::Failing, Mood::Silent] {
        let registry = FakeRegistry::start(Mood::Well).await;
        let (database, prefix, config) = table("waits", &registry.url()).await;
        let replicator = Tidewater::start(&["replicate"], &config);
        replicator.streaming().await;
        registry.set(mood);
        let known = "insert into t values (2, 2)";
        database.batch_execute(known).await.unwrap();
        caught_up(&database, &prefix).await;
        change_u(&database, &registry, &prefix).await;
        registry.set(Mood::Well);
        caught_up(&database, &prefix).await;
        assert_eq!(replicator.terminate().code(), Some(0));
        let records =
            |table: &str| read_topic(&kafka_brokers(), &format!("{prefix}.public.{table}"));
        assert_eq!(records("u").len(), 1);
        assert_eq!(records("t").len(), 2);
        assert_eq!(
            registry.schemas(&format!("{prefix}.public.u-value")).len(),
            2
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_the_registry() {
    let registry = FakeRegistry::start(Mood::Well).await;
    let (database, prefix, config) = table("drained", &registry.url()).await;
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    registry.set(Mood::Failing);
    change_u(&database, &registry, &prefix).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    registry.set(Mood::Well);
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    caught_up(&database, &prefix).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    assert_eq!(
        read_topic(&kafka_brokers(), &format!("{prefix}.public.u")).len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_subject_rule_and_remedy() {
    let registry = FakeRegistry::start(Mood::Incompatible).await;
    let (_, prefix, config) = table("refusals", &registry.url()).await;
    let ended = Tidewater::run(&["replicate"], &config);
    assert_eq!(ended.code(), Some(26), "{}", ended.log);
    for named in [
        &format!("{prefix}.public.t-key"),
        "FULL_TRANSITIVE",
        "another rule",
        "a field is missing",
    ] {
        assert!(ended.log.contains(named), "{named}: {}", ended.log);
    }
    let registry = FakeRegistry::start(Mood::Well).await;
    let (_, prefix, config) = table("refusals", &registry.url()).await;
    let ended = Tidewater::run(
        &["replicate"],
        &format!("{config}auto_register = \"false\"\n"),
    );
    assert_eq!(ended.code(), Some(26), "{}", ended.log);
    assert!(ended.log.contains("auto_register"), "{}", ended.log);
    assert!(
        registry
            .asked()
            .iter()
            .all(|asked| !asked.starts_with("register"))
    );
    // With the schemas there it is content.
    let other = FakeRegistry::start(Mood::Well).await;
    let registering = config.replace(&registry.url(), &other.url());
    let replicator = Tidewater::start(&["replicate"], &registering);
    replicator.streaming().await;
    assert_eq!(replicator.terminate().code(), Some(0));
    for part in ["key", "value"] {
        let subject = format!("{prefix}.public.t-{part}");
        registry.put(&subject, &other.schemas(&subject)[0]);
    }
    let known =
        format!("{config}auto_register = \"false\"\nuser = \"we\"\npassword = \"secret\"\n");
    let replicator = Tidewater::start(&["replicate"], &known);
    replicator.streaming().await;
    assert_eq!(replicator.terminate().code(), Some(0));
    // we:secret
    assert_eq!(
        registry.authorization().as_deref(),
        Some("Basic d2U6c2VjcmV0")
    );
}

#[tokio::test]
async fn a_wrong_address_is_not_tried_for_ever() {
    let (_, _, config) = table(
        "nowhere",
        &format!("http://127.0.0.1:{}", support::free_port()),
    )
    .await;
    let config = config.replace("[kafka]", "start_timeout = \"1s\"\n[kafka]");
    let ended = Tidewater::run(&["replicate"], &config);
    assert_eq!(ended.code(), Some(25), "{}", ended.log);
    assert!(
        ended.log.contains("schema registry at http://127.0.0.1"),
        "{}",
        ended.log
    );
}
