//! Codes reach the promotions topic at least once, under one id, whatever crashes.

use std::time::Duration;

use serde_json::Value;
use tidewater::connection::Database;
use tidewater::kafka::topics;

use super::feed::{Feed, now_us};
use super::pipeline::{count, sink};
use crate::model::{Record, micros, read_topic};
use crate::support::{Tidewater, kafka_brokers, until};

const DISPATCHED: &str = "
    select count(*) from promotion left join promotion_outbox using (promotion_id)
    where state = 'dispatched' and dispatched_at is not null and created_at is null";

fn published(feed: &Feed) -> Vec<Record> {
    read_topic(&kafka_brokers(), &topics::promotions(&feed.prefix))
}

fn value(record: &Record) -> Value {
    serde_json::from_slice(record.value.as_deref().unwrap()).unwrap()
}

/// A consumer that has evaluated a shop with one eligible tuple, and the code that came of it.
async fn with_one_code(feed: &mut Feed, sink: &Database) -> Tidewater {
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("the first code", async || {
        feed.heartbeat(0);
        count(sink, DISPATCHED).await == 1
    })
    .await;
    consumer
}

#[tokio::test]
async fn a_change_of_stock_becomes_a_published_code_within_a_second() {
    let mut feed = Feed::open("published", "").await;
    let sink = sink(&feed).await;
    let consumer = with_one_code(&mut feed, &sink).await;
    // Customer 8 has the habit; the stock comes now.
    feed.customer("c", 8, "premium", true);
    feed.order("c", 3, [8, 1, 3], 48);
    feed.order("c", 4, [8, 1, 3], 480);
    feed.heartbeat(0);
    until("the habit", async || {
        count(
            &sink,
            "select count(*) from purchase_habit where customer_id = 8",
        )
        .await
            == 1
    })
    .await;
    let before = now_us();
    feed.level("c", 1, 3, 200);
    feed.flush();
    until("the second code", async || {
        count(&sink, DISPATCHED).await == 2
    })
    .await;

    let records = published(&feed);
    assert_eq!(records.len(), 2);
    let record = records
        .iter()
        .find(|record| record.key.as_deref() == Some(b"8"))
        .unwrap();
    let code = value(record);
    let sql = "select promotion_id::text, code, dispatched_at from promotion where customer_id = 8";
    let row = sink.query_one(sql, &[]).await.unwrap();
    assert_eq!(code["promotion_id"], row.get::<_, String>(0));
    assert_eq!(code["code"], row.get::<_, String>(1));
    let integer = |name: &str| code[name].as_i64().unwrap();
    assert_eq!(
        [
            "rule_id",
            "customer_id",
            "store_id",
            "product_id",
            "cycle",
            "discount_percent"
        ]
        .map(integer),
        [1, 8, 1, 3, 1, 15]
    );
    assert_eq!(code["rule"], "premium overstock");
    assert_eq!(code["source"], "stream");
    let at = |name: &str| micros(code[name].as_str().unwrap()).unwrap();
    assert_eq!(at("valid_until") - at("issued_at"), 86_400_000_000);
    assert!(at("issued_at") >= before);
    assert_eq!(code["why"]["cause"], "stock");
    assert_eq!(code["why"]["on_hand"], 200);
    assert_eq!(code["why"]["excess"], 198);
    let sql = "select (extract(epoch from dispatched_at) * 1000000)::bigint from promotion
               where customer_id = 8";
    let latency = Duration::from_micros((count(&sink, sql).await - before).unsigned_abs());
    println!("stock change to acknowledged code: {latency:?}");
    assert!(latency < Duration::from_secs(1), "{latency:?}");
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_code_is_on_the_topic_once_wherever_the_dispatcher_crashes() {
    // One record after each: behind `dispatch.sent` the topic itself shows that the code is out, and who
    // connects reads it before anything is sent again. A second record needs one that arrives after that.
    for step in ["dispatch.send", "dispatch.sent", "dispatch.confirmed"] {
        let mut feed = Feed::open("resent", &format!("[debug]\ncrash_at = \"{step}\"")).await;
        let sink = sink(&feed).await;
        feed.one_eligible_tuple();
        feed.snapshot_almost_ends();
        feed.snapshot_ends();
        feed.heartbeat(0);
        let mut consumer = Tidewater::start(&["aggregate"], &feed.config);
        until(step, async || {
            feed.heartbeat(0);
            !consumer.is_running()
        })
        .await;
        // The tuple is no longer eligible: what may be out stays valid all the same.
        feed.customer("u", 7, "standard", true);
        feed.heartbeat(0);
        let config = feed.config.replace("crash_at", "step_file");
        let config = config.replace(&format!("\"{step}\""), "\"/dev/null\"");
        let _consumer = Tidewater::start(&["aggregate"], &config);
        until("the code to be confirmed", async || {
            feed.heartbeat(0);
            count(&sink, DISPATCHED).await == 1
        })
        .await;
        until("the tuple to be gone", async || {
            count(&sink, "select count(*) from promotion_eligibility").await == 0
        })
        .await;
        assert_eq!(count(&sink, "select count(*) from promotion").await, 1);
        let records = published(&feed);
        assert_eq!(records.len(), 1, "after {step}");
        let sql = "select promotion_id::text from promotion";
        let id: String = sink.query_one(sql, &[]).await.unwrap().get(0);
        assert_eq!(value(&records[0])["promotion_id"], id);
    }
}

/// A code in the outbox of a customer who has no other: who he is, how long it is valid, and whether an
/// attempt at it was made.
async fn put(sink: &Database, customer: i64, valid_for: &str, attempted: bool) {
    let sql = format!(
        "with issued as (
             insert into promotion
                 (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code,
                  discount_percent, issued_at, valid_until)
             values (gen_random_uuid(), 1, {customer}, 1, 2, 1, '{customer}', 15,
                     now() - interval '1 hour', now() + interval '{valid_for}')
             returning promotion_id)
         insert into promotion_outbox
         select promotion_id, '{{}}', now(), case when {attempted} then now() end from issued"
    );
    sink.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn what_no_longer_holds_is_withdrawn_before_it_is_sent() {
    let mut feed = Feed::open("withdrawn", "").await;
    let sink = sink(&feed).await;
    let _consumer = with_one_code(&mut feed, &sink).await;
    sink.batch_execute("update promotion_rule set trigger = 'intent'")
        .await
        .unwrap();
    for (customer, tier, contact) in [
        (11, "premium", true),
        (12, "premium", false),
        (13, "standard", true),
        (14, "premium", true),
    ] {
        feed.customer("c", customer, tier, contact);
        feed.order("c", customer * 10, [customer, 1, 2], 48);
        feed.order("c", customer * 10 + 1, [customer, 1, 2], 480);
    }
    feed.heartbeat(0);
    until("the eligible customers", async || {
        count(&sink, "select count(*) from promotion_eligibility").await == 4
    })
    .await;
    put(&sink, 11, "1 hour", false).await;
    put(&sink, 12, "1 hour", false).await;
    put(&sink, 13, "1 hour", false).await;
    put(&sink, 14, "-1 second", false).await;
    put(&sink, 15, "1 hour", true).await;
    until("an empty outbox", async || {
        feed.heartbeat(0);
        count(&sink, "select count(*) from promotion_outbox").await == 0
    })
    .await;
    let sql = "select string_agg(customer_id || ' ' || state, ', ' order by customer_id)
               from promotion where customer_id > 7";
    let states: String = sink.query_one(sql, &[]).await.unwrap().get(0);
    assert_eq!(
        states,
        "11 dispatched, 12 withdrawn, 13 withdrawn, 14 withdrawn, 15 dispatched"
    );
    let mut customers: Vec<String> = published(&feed)
        .iter()
        .map(|record| value(record)["customer_id"].to_string())
        .collect();
    customers.sort();
    assert_eq!(customers, ["11", "15", "7"]);
}

#[tokio::test]
async fn several_dispatchers_share_the_outbox() {
    let mut feed = Feed::open("shared", "").await;
    let sink = sink(&feed).await;
    let _first = with_one_code(&mut feed, &sink).await;
    let _second = Tidewater::start(&["aggregate"], &feed.config);
    let codes = 2_000;
    let sql = format!(
        "insert into promotion
             (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code,
              discount_percent, issued_at, valid_until)
         select gen_random_uuid(), 1, n, 1, 9, 1, n::text, 15, now(), now() + interval '1 hour'
         from generate_series(1001, 1000 + {codes}) n;
         insert into promotion_outbox
         select promotion_id, '{{}}', now(), now() from promotion where product_id = 9;"
    );
    sink.batch_execute(&sql).await.unwrap();
    until("all codes to be dispatched", async || {
        count(&sink, DISPATCHED).await == codes + 1
    })
    .await;
    let mut ids: Vec<String> = published(&feed)
        .iter()
        .map(|record| value(record)["promotion_id"].to_string())
        .collect();
    assert_eq!(ids.len() as i64, codes + 1);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len() as i64, codes + 1);
}
