//! Flink's `debezium-json`: a sum by groups, kept right by what `before` takes away.

use std::collections::BTreeMap;

use tempfile::TempDir;

use super::{Shop, rows};
use crate::support::{flink_changes, kafka_brokers};

/// Flink fails on an operation that it does not know.
const FORMAT: &str = "[format]\ntruncate = \"skip\"\n";
const GROUPS: &str = "
    select store::text, sum(amount)::text, count(*)::text,
           to_char(max(sold_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
    from sale group by store order by store";

/// What Flink has of each store in the end.
fn groups(shop: &Shop) -> Vec<Vec<String>> {
    let statements = format!(
        "create table sale (
             id bigint, store int, amount decimal(12, 2), sold_at timestamp_ltz(6), paid boolean, note string
         ) with (
             'connector' = 'kafka', 'topic' = '{}', 'properties.bootstrap.servers' = '{}',
             'properties.isolation.level' = 'read_committed',
             'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
             'format' = 'debezium-json', 'debezium-json.timestamp-format.standard' = 'ISO-8601'
         );
         select store, sum(amount) as total, count(*) as sales, max(sold_at) as newest
         from sale group by store;",
        shop.topic(),
        kafka_brokers()
    );
    let mut groups: BTreeMap<i64, Vec<String>> = BTreeMap::new();
    for change in flink_changes(&statements) {
        let (operation, row) = change.split_first().unwrap();
        let store = row[0].parse().unwrap();
        if operation.starts_with('+') {
            groups.insert(store, row.to_vec());
        } else {
            assert_eq!(groups.remove(&store).as_deref(), Some(row));
        }
    }
    groups.into_values().collect()
}

#[tokio::test]
async fn flink_keeps_sums_right_with_whole_old_rows() {
    let shop = Shop::published("flink", "full", FORMAT).await;
    assert_eq!(groups(&shop), rows(&shop.database, GROUPS).await);
}

#[tokio::test]
async fn flink_keeps_sums_right_with_a_row_store() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().display();
    let sections = format!("{FORMAT}[row_store]\npath = \"{path}\"\n");
    let shop = Shop::published("flink_store", "default", &sections).await;
    assert_eq!(groups(&shop), rows(&shop.database, GROUPS).await);
}
