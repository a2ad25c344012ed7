//! `inventory_hourly_full`: hours carried forward, rows closed, cover computed.

use tidewater::connection::{Database, connect};
use tidewater::{config, retail};

use super::Servers;
use crate::support;

/// A sink with three keys: one that changes at 08:30 and at 11:15, one that disappears at 09:30, and one
/// that was never present.
async fn sink() -> Database {
    let url = format!(
        "{}/sink_{}",
        Servers::shared().sink_url,
        support::unique("full")
    );
    let settings = config::parse(&format!("[sink]\nurl = \"{url}\"\n"), []).unwrap();
    let sink = settings.sink.unwrap();
    retail::migrate(&sink).await.unwrap();
    let database = connect(&sink.connection).await.unwrap();
    database
        .batch_execute(
            "insert into inventory_image values
                (1, 1, 7, '1:0/9:1', '2026-11-23 11:15Z', '2026-11-23 11:15Z', 0),
                (1, 2, null, '1:0/9:2', '2026-11-23 09:30Z', '2026-11-23 09:30Z', 0),
                (1, 3, null, '1:0/9:3', '2026-11-23 09:30Z', null, 0);
            insert into inventory_hourly values
                (1, 1, '2026-11-23 08:00Z', null, 10, 10, 10, 0, 0, 10, 1, 0, 0, 0, 0, '2026-11-23 08:30Z', '1:0/1:1'),
                (1, 1, '2026-11-23 11:00Z', 10, 7, 0, 10, 7, 10, 0, 2, 0, 6000000000, 300000000, 900000000,
                    '2026-11-23 11:15Z', '1:0/2:1'),
                (1, 2, '2026-11-23 09:00Z', 4, null, 4, 4, 0, 0, -4, 1, 0, 7200000000, 0, 1800000000,
                    '2026-11-23 09:30Z', '1:0/3:1');
            insert into sales_hourly values
                (1, 1, '2026-11-23 10:00Z', 2, 8, 20, 0, 0, 0),
                (1, 1, '2026-11-16 10:00Z', 9, 90, 20, 0, 0, 0),
                (1, 1, '2026-11-16 11:00Z', 1, 3, 20, 0, 0, 0)",
        )
        .await
        .unwrap();
    database
}

/// Hour, opening, closing, changes, average, seconds without stock, days of cover.
async fn rows(sink: &Database, from: &str, until: &str, as_of: &str) -> Vec<String> {
    let sql = "
        select concat_ws('|', product_id, to_char(hour at time zone 'UTC', 'HH24'),
                   coalesce(opening::text, '-'), coalesce(closing::text, '-'), changes,
                   coalesce(round(average_on_hand, 3)::text, '-'), stockout_seconds,
                   coalesce(days_of_cover::text, '-'))
        from inventory_hourly_full($1::text::timestamptz, $2::text::timestamptz, $3::text::timestamptz)";
    let found = sink.query(sql, &[&from, &until, &as_of]).await.unwrap();
    found.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn hours_are_carried_forward_and_closed() {
    let sink = sink().await;
    let rows = rows(
        &sink,
        "2026-11-23 08:00Z",
        "2026-11-23 13:00Z",
        "2026-11-23 12:30Z",
    )
    .await;
    let expected = [
        // Present from 08:30: half an hour at 10. Units of the week up to 08:00: 90 + 3 = 93.
        "1|08|-|10|1|10.000|0.000000|0.75",
        "1|09|10|10|0|10.000|0.000000|0.75",
        // 90 + 3 + 8 units, less those of 10:00 a week before: 8 + 3 = 11; 70 / 11 = 6.3636.
        "1|10|10|10|0|10.000|0.000000|6.36",
        // Ten minutes at 10, five at nothing, which the row tells, then 45 at 7. 49 / 8 = 6.125.
        "1|11|10|7|2|6.917|300.000000|6.13",
        // Closed at half past twelve.
        "1|12|7|7|0|7.000|0.000000|6.13",
        // Gone at half past nine; no hour after that, and none of the key that never was.
        "2|09|4|-|1|4.000|0.000000|-",
    ];
    assert_eq!(rows, expected);
}

#[tokio::test]
async fn a_range_begins_with_what_came_before_it() {
    let sink = sink().await;
    let rows = rows(
        &sink,
        "2026-11-23 09:00Z",
        "2026-11-23 10:00Z",
        "2026-11-23 09:15Z",
    )
    .await;
    assert_eq!(
        rows,
        [
            "1|09|10|10|0|10.000|0.000000|0.75",
            "2|09|4|-|1|4.000|0.000000|-"
        ]
    );
}

#[tokio::test]
async fn applied_until_is_the_least_and_needs_all() {
    let sink = sink().await;
    let applied = async || {
        let sql = "select coalesce((applied_until() at time zone 'UTC')::text, '-')";
        sink.query_one(sql, &[]).await.unwrap().get::<_, String>(0)
    };
    let insert =
        "insert into consumer_offset (topic, partition, next_offset, owner, applied_until) values
        ('a', 0, 1, gen_random_uuid(), '2026-11-23 10:00Z'), ('a', 1, 1, gen_random_uuid(), null)";
    sink.batch_execute(insert).await.unwrap();
    assert_eq!(applied().await, "-");
    let update =
        "update consumer_offset set applied_until = '2026-11-23 09:59Z' where partition = 1";
    sink.batch_execute(update).await.unwrap();
    assert_eq!(applied().await, "2026-11-23 09:59:00");
}

#[tokio::test]
async fn one_key_is_answered_by_its_own_rows() {
    let sink = sink().await;
    // Few rows are always read whole, unless that is forbidden.
    sink.batch_execute("set enable_seqscan = off")
        .await
        .unwrap();
    let sql = "explain select * from inventory_hourly_full('2026-11-23 10:00Z', '2026-11-23 12:00Z', now())
               where store_id = 1 and product_id = 1";
    let plan = sink.query(sql, &[]).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
    let image = plan
        .iter()
        .position(|line| line.contains("inventory_image_pkey"));
    let condition = image.and_then(|place| plan.get(place + 1));
    assert!(
        condition.is_some_and(|line| line.contains("(store_id = 1)) AND (product_id = 1)")
            || line.contains("((store_id = 1) AND (product_id = 1))")),
        "{}",
        plan.join("\n")
    );
}
