//! Values come out of a snapshot and out of the stream alike.

use tidewater::connection::connect;

use crate::model::read_topic;
use crate::support::{self, Tidewater, kafka_brokers, until};

/// One row with a value of each common kind; `$ID` is its key.
const ROW: &str = "insert into v values ($ID, true, -32768, 2147483647, '12.50', 'NaN', 1e16,
    e'a \"quote\", a \\\\ and a \u{e9}', '2026-02-03 04:05:06.000007+00', '0044-03-15 12:00:00 BC', 'infinity',
    '24:00:00', '1 year 2 mons -3 days 04:05:06.5', '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    '\\x00ff', '{\"a\": [1, 1.0]}', '{{1,null},{3,4}}', array['x', null, 'y,z'], 'happy', '10.0.0.1/8')";

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
    let url = support::postgres_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let config = format!(
        "[source]\nurl = \"{server}/{}\"\nslot = \"{prefix}\"\npublication = \"{prefix}\"\n\
         [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n",
        source.database(),
        kafka_brokers()
    );
    let replicator = Tidewater::start(&["replicate"], &config);
    until("streaming", async || replicator.log().contains("streaming")).await;
    database.batch_execute(&row(2)).await.unwrap();
    let topic = format!("{prefix}.public.v");
    until("both rows", async || {
        read_topic(&kafka_brokers(), &topic).len() == 3
    })
    .await;
    assert_eq!(replicator.terminate().code(), Some(0));

    let rows: Vec<serde_json::Value> = read_topic(&kafka_brokers(), &topic)
        .iter()
        .filter_map(|record| record.value.as_ref())
        .map(|value| serde_json::from_slice(value).unwrap())
        .collect();
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
