//! A sink that is restored from an older backup: what was dispatched since is in its ledger before it issues,
//! withdraws or sends a code.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidewater::connection::{Connection, Database, connect, quote_identifier};
use tidewater::kafka::topics;

use super::feed::Feed;
use super::pipeline::{count, sink};
use crate::model::read_topic;
use crate::support::{self, Tidewater, kafka_brokers, until};

/// Every code of the ledger by its id, as it was issued.
async fn ledger(sink: &Database) -> BTreeMap<String, String> {
    let sql = "
        select promotion_id::text,
               concat_ws(' ', rule_id, customer_id, store_id, product_id, cycle, code, discount_percent,
                         extract(epoch from issued_at), extract(epoch from valid_until), source)
        from promotion where dispatched_at is not null";
    let rows = sink.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Ids on the promotions topic, where none may stand twice.
fn published(feed: &Feed) -> BTreeSet<String> {
    let records = read_topic(&kafka_brokers(), &topics::promotions(&feed.prefix));
    let id = |value: &[u8]| {
        let code: Value = serde_json::from_slice(value).unwrap();
        code["promotion_id"].as_str().unwrap().to_owned()
    };
    let values = records.iter().filter_map(|record| record.value.as_deref());
    let ids: BTreeSet<String> = values.map(id).collect();
    assert_eq!(ids.len(), records.len(), "a code was published twice");
    ids
}

/// Makes one database a copy of another; nobody may be connected to either.
async fn copy(from: &str, to: &str) {
    let server: Connection = support::postgres_url().parse().unwrap();
    let server = connect(&server).await.unwrap();
    let (from, to) = (quote_identifier(from), quote_identifier(to));
    for sql in [
        format!("drop database if exists {to} with (force)"),
        format!("create database {to} template {from}"),
    ] {
        server.batch_execute(&sql).await.unwrap();
    }
}

/// Customer 6 had a code of that rule that was withdrawn before it was sent.
fn withdrawn(rule: &str) -> String {
    format!(
        "insert into promotion (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, state,
                                discount_percent, issued_at, valid_until)
         select gen_random_uuid(), rule_id, 6, 1, 2, 1, 'withdrawn-' || rule_id, 'withdrawn', 15, now(), now()
         from promotion_rule where name = '{rule}'"
    )
}

/// A customer who earns a code of product 2 in store 1.
fn shopper(feed: &mut Feed, op: &str, customer: i64) {
    feed.customer(op, customer, "premium", true);
    feed.order(op, customer * 10, [customer, 1, 2], 48);
    feed.order(op, customer * 10 + 1, [customer, 1, 2], 480);
}

async fn dispatched(feed: &mut Feed, sink: &Database, codes: i64) {
    let sql = "select count(*) from promotion where dispatched_at is not null";
    until("the codes to be dispatched", async || {
        feed.heartbeat(0);
        count(sink, sql).await == codes
    })
    .await;
}

#[tokio::test]
async fn a_restored_ledger_is_completed_before_a_code_is_issued() {
    let mut feed = Feed::open("restored", "").await;
    let database = feed
        .settings
        .sink
        .as_ref()
        .unwrap()
        .connection
        .database()
        .to_owned();
    let backup = format!("{database}_backup");
    let before = sink(&feed).await;
    before
        .batch_execute(&withdrawn("premium overstock"))
        .await
        .unwrap();
    feed.level("r", 1, 2, 100);
    for customer in [1, 2, 3, 6] {
        shopper(&mut feed, "r", customer);
    }
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    dispatched(&mut feed, &before, 4).await;
    assert_eq!(consumer.terminate().code(), Some(0));
    drop(before);
    copy(&database, &backup).await;

    // Life goes on: more codes, one of a rule that is new, one behind a cycle that was withdrawn, one redeemed.
    let alive = sink(&feed).await;
    let rule = "insert into promotion_rule (name, discount_percent) values ('of late', 30);";
    let since = format!("{rule}{}", withdrawn("of late"));
    alive.batch_execute(&since).await.unwrap();
    (4..=5).for_each(|customer| shopper(&mut feed, "c", customer));
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    // Two rules, and two codes for a customer in a day.
    dispatched(&mut feed, &alive, 12).await;
    let code = "select code from promotion where customer_id = 4 and rule_id = 2";
    let code: String = alive.query_one(code, &[]).await.unwrap().get(0);
    feed.order_with_code(99, [4, 1, 2], "paid", &code);
    // Customer 1 may not be written to any more: a code that is not out would be withdrawn.
    feed.customer("u", 1, "premium", false);
    until("the redemption", async || {
        feed.heartbeat(0);
        count(
            &alive,
            "select count(*) from promotion where redeemed_order_id = 99",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(consumer.terminate().code(), Some(0));
    let issued = ledger(&alive).await;
    drop(alive);

    copy(&backup, &database).await;
    let restored = sink(&feed).await;
    // The backup was made when one of its codes was not out yet, and when the one that was withdrawn later, behind
    // which the next cycle was issued, still waited; its tuple is eligible.
    let waiting = "
        delete from promotion where customer_id = 6 and cycle = 2;
        update promotion set state = 'issued', dispatched_at = null, valid_until = now() + interval '1 day'
        where customer_id = 6;
        update promotion set state = 'issued', dispatched_at = null where customer_id = 1;
        insert into promotion_outbox (promotion_id, why, created_at)
        select promotion_id, '{}', now() from promotion where customer_id in (1, 6)";
    restored.batch_execute(waiting).await.unwrap();
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("everything to be applied and evaluated", async || {
        feed.heartbeat(0);
        let sql = "select count(*) from promotion, sink_identity, customer_image m
                   where redeemed_order_id = 99 and m.customer_id = 1 and not m.contact_allowed
                     and now() - applied_until() < interval '5 s' and evaluated_at is not null";
        count(&restored, sql).await == 1
    })
    .await;
    // A code more is what shows that codes are issued again.
    shopper(&mut feed, "c", 7);
    dispatched(&mut feed, &restored, 13).await;
    let mut completed = ledger(&restored).await;
    assert_eq!(published(&feed), completed.keys().cloned().collect());
    completed.retain(|id, _| issued.contains_key(id));
    assert_eq!(completed, issued);
    let recovered = "select count(*) from promotion where recovered_at is not null";
    assert_eq!(count(&restored, recovered).await, 9);
    let twice = "
        select count(*) from promotion a join promotion b
            using (rule_id, customer_id, store_id, product_id)
        where a.cycle < b.cycle and a.valid_until >= b.issued_at and a.state <> 'withdrawn'";
    assert_eq!(count(&restored, twice).await, 0);
    assert_eq!(
        count(&restored, "select count(*) from promotion_outbox").await,
        0
    );
    // What the rule said is in no topic.
    let rule = "select count(*) from promotion_rule where name = 'of late' and not enabled";
    assert_eq!(count(&restored, rule).await, 1);
    assert_eq!(consumer.terminate().code(), Some(0));
    let verified = Tidewater::run(&["verify", "--sink-only"], &feed.config);
    assert_eq!(verified.code(), Some(0), "{}", verified.output);
}
