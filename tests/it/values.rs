//! Values come out of a snapshot and out of the stream alike.

use serde_json::Value;
use tidewater::connection::{Connection, connect};
use tidewater::postgres::inspect_server;

use crate::model::read_topic;
use crate::support::{self, Tidewater, kafka_brokers, until};

/// One row with a value of each common kind; `$ID` is its key.
const ROW: &str = "insert into v values ($ID, true, -32768, 2147483647, '12.50', 'NaN', 1e16,
    e'a \"quote\", a \\\\ and a \u{e9}', '2026-02-03 04:05:06.000007+00', '0044-03-15 12:00:00 BC', 'infinity',
    '24:00:00', '1 year 2 mons -3 days 04:05:06.5', '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    '\\x00ff', '{\"a\": [1, 1.0]}', '{{1,null},{3,4}}', array['x', null, 'y,z'], 'happy', '10.0.0.1/8')";

/// A replicator's configuration: one partition, everything else by default.
fn config(source: &Connection, prefix: &str) -> String {
    format!(
        "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n",
        support::database_url(source.database()),
        kafka_brokers()
    )
}

/// The events of a topic once it holds a row read, the snapshot's end, and a row streamed.
async fn rows(topic: &str) -> Vec<Value> {
    let records = || read_topic(&kafka_brokers(), topic);
    until("both rows", async || records().len() == 3).await;
    let events = records();
    let events = events.iter().filter_map(|record| record.value.as_ref());
    events
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect()
}

#[tokio::test]
async fn a_row_read_and_a_row_streamed_look_the_same() {
    let source = support::postgres_database("values").await;
    let database = connect(&source).await.unwrap();
    database
        .batch_execute(
            "create type mood as enum ('sad', 'happy');
            create table v (
                id bigint primary key, b boolean, s smallint, i integer, n numeric(12,2), nn numeric,
                d double precision, t text, tz timestamptz, ts timestamp, da date, ti time, iv interval,
                u uuid, by bytea, j json, ia integer[], ta text[], m mood, c inet)",
        )
        .await
        .unwrap();
    let row = |id: i64| ROW.replace("$ID", &id.to_string());
    database.batch_execute(&row(1)).await.unwrap();
    let prefix = support::unique("values");
    let config = config(&source, &prefix);
    let replicator = Tidewater::start(&["replicate"], &config);
    replicator.streaming().await;
    database.batch_execute(&row(2)).await.unwrap();
    let rows = rows(&format!("{prefix}.public.v")).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    let (mut read, streamed) = (rows[0]["after"].clone(), rows[1]["after"].clone());
    assert_eq!((&rows[0]["op"], &rows[1]["op"]), (&"r".into(), &"c".into()));
    read["id"] = 2.into();
    assert_eq!(read, streamed);
    assert_eq!(streamed["iv"], "P1Y2M-3DT4H5M6.5S");
    assert_eq!(streamed["n"], "12.50");
    assert_eq!(streamed["by"], "AP8=");
    assert_eq!(streamed["ia"], serde_json::json!([[1, null], [3, 4]]));
    assert_eq!(streamed["j"], "{\"a\": [1, 1.0]}");
}

/// PostgreSQL 18 can publish them; before, they are in no publication.
#[tokio::test]
async fn a_published_generated_column_is_read_and_streamed() {
    let source = support::postgres_database("generated").await;
    let database = connect(&source).await.unwrap();
    let server = inspect_server(&database).await.unwrap();
    let prefix = support::unique("generated");
    let (virtual_column, option) = if server.version >= 180_000 {
        (
            ", thrice integer generated always as (n * 3) virtual",
            " with (publish_generated_columns = stored)",
        )
    } else {
        ("", "")
    };
    let sql = format!(
        "create table g (id bigint primary key,
             twice integer generated always as (n * 2) stored, n integer{virtual_column});
         create publication {prefix} for table g{option};
         insert into g (id, n) values (1, 21)"
    );
    database.batch_execute(&sql).await.unwrap();
    let replicator = Tidewater::start(&["replicate"], &config(&source, &prefix));
    replicator.streaming().await;
    let insert = "insert into g (id, n) values (2, 21)";
    database.batch_execute(insert).await.unwrap();
    let rows = rows(&format!("{prefix}.public.g")).await;
    assert_eq!(replicator.terminate().code(), Some(0));
    for (id, event) in [1, 2].into_iter().zip(&rows) {
        let expected = if server.version >= 180_000 {
            serde_json::json!({"id": id, "twice": 42, "n": 21})
        } else {
            serde_json::json!({"id": id, "n": 21})
        };
        assert_eq!(event["after"], expected, "{}", server.version_text);
    }
}
