//! Application events: a code while the shopper is still in the store, and only one for each event.

use std::time::Duration;

use serde_json::{Value, json};
use tidewater::connection::{Database, connect};
use tidewater::kafka::topics;

use super::feed::{Feed, hours_ago, now_us};
use super::pipeline::{count, sink};
use crate::model::{micros, read_topic};
use crate::support::{Tidewater, kafka_brokers, until};

const DISPATCHED: &str = "select count(*) from promotion where state = 'dispatched'";
const EVENTS: &str = "select count(*) from shopper_event";

/// An event of customer 7 in store 1, as the gateway writes it.
fn event(id: u8, product: Option<i64>) -> Value {
    json!({
        "event_id": format!("00000000-0000-4000-8000-0000000000{id:02x}"),
        "type": if product.is_some() { "product_viewed" } else { "store_entered" },
        "customer_id": 7, "store_id": 1, "product_id": product,
        "occurred_at": hours_ago(0), "received_at": hours_ago(0),
    })
}

/// A sink under an intent rule, and a consumer that has evaluated a shop with one eligible tuple.
async fn shop(name: &str, more: &str) -> (Feed, Database) {
    let mut feed = Feed::open(name, more).await;
    let sink = sink(&feed).await;
    sink.batch_execute("update promotion_rule set trigger = 'intent'")
        .await
        .unwrap();
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    (feed, sink)
}

/// Waits until codes are issued and the tuple is eligible.
async fn ready(feed: &mut Feed, sink: &Database, consumer: &Tidewater) {
    until("the first evaluation", async || {
        feed.heartbeat(0);
        count(sink, "select count(*) from promotion_eligibility").await == 1
            && consumer.log().contains("state=issuing")
    })
    .await;
}

#[tokio::test]
async fn a_shoppers_event_becomes_a_published_code() {
    let (mut feed, sink) = shop("intent", "").await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    ready(&mut feed, &sink, &consumer).await;
    // Another product, another shopper's store, one that occurred long ago, and one that is no event.
    let mut long_ago = event(1, Some(2));
    long_ago["occurred_at"] = json!(hours_ago(2));
    let mut elsewhere = event(2, None);
    elsewhere["store_id"] = json!(2);
    for value in [event(3, Some(5)), elsewhere, long_ago] {
        feed.event(&value.to_string());
    }
    feed.event("no event");
    until("three events", async || count(&sink, EVENTS).await == 3).await;
    assert_eq!(count(&sink, "select count(*) from promotion").await, 0);

    let before = now_us();
    feed.event(&event(4, Some(2)).to_string());
    until("the code", async || {
        feed.heartbeat(0);
        count(&sink, DISPATCHED).await == 1
    })
    .await;
    let records = read_topic(&kafka_brokers(), &topics::promotions(&feed.prefix));
    let code: Value = serde_json::from_slice(records[0].value.as_deref().unwrap()).unwrap();
    let shown = &code["why"]["event"];
    assert_eq!(shown["event_id"], event(4, None)["event_id"]);
    assert_eq!(shown["type"], "product_viewed");
    assert!(micros(shown["occurred_at"].as_str().unwrap()).is_some());
    let sql = "select (extract(epoch from dispatched_at) * 1000000)::bigint from promotion";
    let latency = Duration::from_micros((count(&sink, sql).await - before).unsigned_abs());
    println!("event to acknowledged code: {latency:?}");
    assert!(
        consumer
            .log()
            .contains("a record of the events topic is no event")
    );
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn an_event_about_the_store_makes_the_first_tuple_due_and_no_other() {
    let (mut feed, sink) = shop("entered", "").await;
    // A second tuple of the customer in the store, with more excess.
    feed.level("r", 1, 3, 900);
    feed.order("r", 3, [7, 1, 3], 48);
    feed.order("r", 4, [7, 1, 3], 480);
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("two eligible tuples", async || {
        feed.heartbeat(0);
        count(&sink, "select count(*) from promotion_eligibility").await == 2
            && consumer.log().contains("state=issuing")
    })
    .await;
    // The same event twice is one.
    feed.event(&event(1, None).to_string());
    feed.event(&event(1, None).to_string());
    until("the first code", async || {
        feed.heartbeat(0);
        count(&sink, DISPATCHED).await == 1
    })
    .await;
    let first = "select product_id from promotion order by issued_at limit 1";
    assert_eq!(count(&sink, first).await, 3);
    // The tuple that was passed over is touched, and asks for an event again.
    feed.order("c", 5, [7, 1, 2], 47);
    feed.flush();
    until("the order", async || {
        count(&sink, "select count(*) from order_image where order_id = 5").await == 1
    })
    .await;
    assert_eq!(count(&sink, "select count(*) from promotion").await, 1);
    feed.event(&event(2, None).to_string());
    until("the second code", async || {
        feed.heartbeat(0);
        count(&sink, DISPATCHED).await == 2
    })
    .await;
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn an_event_waits_for_what_makes_its_tuple_eligible() {
    let (mut feed, sink) = shop("waits", "").await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    ready(&mut feed, &sink, &consumer).await;
    feed.event(&event(1, Some(3)).to_string());
    until("the event", async || count(&sink, EVENTS).await == 1).await;
    feed.order("c", 3, [7, 1, 3], 48);
    feed.order("c", 4, [7, 1, 3], 480);
    feed.level("c", 1, 3, 200);
    until("the code", async || {
        feed.heartbeat(0);
        count(&sink, DISPATCHED).await == 1
    })
    .await;
    assert_eq!(consumer.terminate().code(), Some(0));
}

/// Keeps the sweep from issuing.
const NO_SWEEP: &str = "select from sink_identity for update";

/// Another session of the sink, in a transaction that has a lock.
async fn holding(feed: &Feed, lock: &str) -> Database {
    let session = connect(&feed.settings.sink.as_ref().unwrap().connection);
    let session = session.await.unwrap();
    session
        .batch_execute(&format!("begin; {lock}"))
        .await
        .unwrap();
    session
}

/// Waits until a statement that contains this text waits for a lock.
async fn blocked(sink: &Database, text: &str) {
    let sql = format!(
        "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like '%{text}%'"
    );
    until(text, async || count(sink, &sql).await == 1).await;
}

/// Gives up what held the codes, and waits for them.
async fn both_codes_without(blocker: Database, feed: &mut Feed, sink: &Database) {
    blocker.batch_execute("rollback").await.unwrap();
    until("both codes", async || {
        feed.heartbeat(0);
        count(sink, DISPATCHED).await == 2
    })
    .await;
}

fn make_eligible(feed: &mut Feed, product: i64) {
    feed.order("c", product * 10, [7, 1, product], 48);
    feed.order("c", product * 10 + 1, [7, 1, product], 480);
    feed.level("c", 1, product, 200);
    feed.flush();
}

#[tokio::test]
async fn an_event_that_overlaps_with_what_makes_its_tuple_eligible_needs_no_sweep() {
    let (mut feed, sink) = shop("overlap", "").await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    ready(&mut feed, &sink, &consumer).await;
    let no_sweep = holding(&feed, NO_SWEEP).await;
    let pair = "select from store_product where product_id = 2 for update";
    let blocker = holding(&feed, pair).await;
    // One batch, which waits for the pair of product 2 when it has found nothing about product 3.
    feed.events(&[event(1, Some(2)), event(2, Some(3))].map(|event| event.to_string()));
    blocked(&sink, "for update of p").await;
    make_eligible(&mut feed, 3);
    until("the tuple", async || {
        feed.heartbeat(0);
        count(&sink, "select count(*) from promotion_eligibility").await == 2
    })
    .await;
    assert_eq!(count(&sink, EVENTS).await, 0);
    both_codes_without(blocker, &mut feed, &sink).await;
    drop(no_sweep);
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn what_makes_a_tuple_eligible_while_its_event_is_stored_needs_no_sweep() {
    // So that what is sent at once is one batch.
    let (mut feed, sink) = shop("overlapped", "batch_linger = \"500ms\"").await;
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    ready(&mut feed, &sink, &consumer).await;
    feed.event(&event(1, Some(3)).to_string());
    until("the event", async || count(&sink, EVENTS).await == 1).await;
    let no_sweep = holding(&feed, NO_SWEEP).await;
    let blocker = holding(&feed, "lock table promotion_outbox in share mode").await;
    // A code of product 3 is due, and cannot be written yet; of product 4 none is.
    make_eligible(&mut feed, 3);
    make_eligible(&mut feed, 4);
    blocked(&sink, "with new as materialized").await;
    // The one after it tells that nothing is asked about the event of product 4 any more.
    for (id, product) in [(2, 4), (3, 9)] {
        feed.event(&event(id, Some(product)).to_string());
        let stored = i64::from(id);
        until("the event", async || count(&sink, EVENTS).await == stored).await;
    }
    both_codes_without(blocker, &mut feed, &sink).await;
    drop(no_sweep);
    assert_eq!(consumer.terminate().code(), Some(0));
}

#[tokio::test]
async fn an_event_counts_once_whatever_crashes() {
    for step in ["events.commit", "events.committed"] {
        let crash = format!("[debug]\ncrash_at = \"{step}\"");
        let (mut feed, sink) = shop("event_crash", &crash).await;
        let mut consumer = Tidewater::start(&["aggregate"], &feed.config);
        ready(&mut feed, &sink, &consumer).await;
        feed.event(&event(1, None).to_string());
        until(step, async || !consumer.is_running()).await;
        drop(consumer);
        let config = feed.config.replace(&crash, "");
        let consumer = Tidewater::start(&["aggregate"], &config);
        until("the code", async || {
            feed.heartbeat(0);
            count(&sink, DISPATCHED).await == 1
        })
        .await;
        // What comes behind the event was read behind it.
        feed.event(&event(2, Some(9)).to_string());
        until("the next event", async || count(&sink, EVENTS).await == 2).await;
        assert_eq!(count(&sink, "select count(*) from promotion").await, 1);
        let used = "select count(*) from shopper_event join promotion using (promotion_id)";
        assert_eq!(count(&sink, used).await, 1);
        assert_eq!(consumer.terminate().code(), Some(0));
    }
}
