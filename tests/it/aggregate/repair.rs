//! `verify --repair`: whatever is wrong in the sink is as the topics say afterwards, and what must not be
//! written is not.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tidewater::connection::{Database, connect};

use super::{Scene, Servers, shop};
use crate::support::{Ended, Tidewater, until};

/// Of each table a wrong row, one that is missing and one too many.
pub(super) const DAMAGE: &str = "
    update inventory_image set on_hand = 7777 where (store_id, product_id) = (1, 1);
    delete from inventory_image where (store_id, product_id) = (2, 2);
    insert into inventory_image values (77, 77, 1, '1:0/1:1', now(), now(), 0);
    update inventory_hourly set units_in = units_in + 1, units_adjusted = units_adjusted - 1
        where (store_id, product_id) = (1, 1);
    delete from inventory_hourly where (store_id, product_id) = (2, 2);
    insert into inventory_hourly values
        (77, 77, date_trunc('hour', now()), null, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0, now(), '1:0/1:1');
    update sales_hourly set revenue = revenue + 0.000001, units = units - 1 where store_id = 1;
    delete from sales_hourly where store_id = 2;
    insert into sales_hourly values (77, 77, date_trunc('hour', now()), 1, 1, 1, 0, 0, 0);
    update purchase_habit set last_at = last_at + interval '1 microsecond' where store_id = 1;
    delete from purchase_habit where store_id = 9;
    insert into purchase_habit values (77, 77, 77, 1, 1, now(), now());
    update order_image set quantity = 99, dated_at = null
        where order_id = (select min(order_id) from order_image where present);
    delete from order_image where order_id = (select max(order_id) from order_image where present);
    insert into order_image (order_id, present, cancelled, position, effective_at, partition)
        values (777777, true, false, '1:0/1:1', now(), 0);
    update customer_image set tier = 'gold' where customer_id = 102;
    delete from customer_image where customer_id = 103;
    insert into customer_image values (777, true, 'premium', true, '1:0/1:1', now(), 0);
    update promotion_condition set holds = not holds, units = 5 where store_id = 9;
    delete from promotion_condition where store_id = 9 and rule_id = 2;
    insert into promotion_condition values (1, 77, 77, 1, 1, 24, true);
    delete from promotion_eligibility where customer_id = 104;
    insert into promotion_eligibility values (1, 777, 9, 9, 'time', null, now());
    update promotion_refusal set reason = 'used' where order_id = (select min(order_id) from promotion_refusal);
    delete from promotion_refusal where order_id = (select max(order_id) from promotion_refusal);
    insert into promotion_refusal values (777777, 'NOPE', null, 'unknown');
    update consumer_offset set streamed_position = '1:0/1:1' where topic like '%.customers'";

/// What a consumer that goes on folds into other rows, without a constraint that would stop it.
const DRIFT: &str = "
    update order_image set unit_price = '1.11' where order_id % 7 = 0 and counted_at is not null;
    update sales_hourly set units = units + 5 where product_id = 1;
    insert into sales_hourly values (77, 77, date_trunc('hour', now()), 1, 1, 1, 0, 0, 0)
        on conflict do nothing;
    update inventory_hourly set unit_us = unit_us + 1000 where product_id = 2;
    delete from purchase_habit where product_id = 3;
    update customer_image set tier = 'gold' where customer_id % 3 = 0;
    delete from promotion_eligibility where customer_id = 104";

/// What a repair must leave alone.
async fn untouched(sink: &Database) -> Vec<String> {
    let sql = "
        select 'promotion ' || p::text from promotion p union all
        select 'rule ' || r::text from promotion_rule r union all
        select 'outbox ' || o::text from promotion_outbox o order by 1";
    let rows = sink.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn report(ended: &Ended) -> Value {
    serde_json::from_str(&ended.output).unwrap_or_else(|_| panic!("{} {}", ended.output, ended.log))
}

fn tables(repairs: &Value) -> BTreeSet<&str> {
    let repairs = repairs.as_array().unwrap();
    repairs
        .iter()
        .filter_map(|repair| repair["table"].as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_damage_is_repaired_and_no_code_is_touched() {
    let scene = Scene::new("repair", &Servers::shared(), "default", "").await;
    let consumer = scene.aggregate();
    // Before there is anything to evaluate: no sweep has to be waited for.
    until("a second rule", async || {
        let rule = "insert into promotion_rule (name, days_of_cover_min) values ('a second', 1)";
        let sink = connect(&scene.sink).await;
        let Ok(sink) = sink else { return false };
        sink.batch_execute(rule).await.is_ok()
    })
    .await;
    let replicator = scene.replicate();
    replicator.streaming().await;
    let load = scene.load();
    until("some history", async || load.changes() > 500).await;
    load.stop().await;
    scene.applied().await;
    let sink = scene.sink().await;
    scene.database.batch_execute(shop::OVERSTOCK).await.unwrap();
    let orders = "
        insert into orders (customer_id, store_id, product_id, quantity, unit_price, promotion_code)
        select 1, 1, 1, 1, 2, 'NOPE' from generate_series(1, 3)";
    scene.database.batch_execute(orders).await.unwrap();
    until("codes and refusals", async || {
        let sql = "select (select count(*) from promotion where dispatched_at is not null) > 0
                      and (select count(*) from promotion_condition where rule_id = 2) > 0
                      and (select count(*) from promotion_refusal) = 3";
        sink.query_one(sql, &[]).await.unwrap().get(0)
    })
    .await;
    scene.assert_right().await;
    // It would mend some of it by itself.
    assert_eq!(consumer.terminate().code(), Some(0));

    sink.batch_execute(DAMAGE).await.unwrap();
    let before = untouched(&sink).await;
    let run = |arguments: &[&str]| Tidewater::run(arguments, &scene.config);
    let found = run(&["verify", "--sink-only", "--json"]);
    assert_eq!(found.code(), Some(3), "{}", found.log);
    let repaired = run(&[
        "verify",
        "--sink-only",
        "--repair",
        "--json",
        "--differences",
        "10000",
    ]);
    assert_eq!(
        repaired.code(),
        Some(0),
        "{} {}",
        repaired.output,
        repaired.log
    );
    let (found, repaired) = (report(&found), report(&repaired));
    assert_eq!(found["differences_found"], repaired["differences_found"]);
    assert_eq!(found["repairs_made"], 0);
    let expected = BTreeSet::from([
        "consumer_offset",
        "customer_image",
        "inventory_hourly",
        "inventory_image",
        "order_image",
        "promotion_condition",
        "promotion_eligibility",
        "promotion_refusal",
        "purchase_habit",
        "sales_hourly",
    ]);
    assert_eq!(tables(&repaired["repairs"]), expected);
    for repair in repaired["repairs"].as_array().unwrap() {
        assert_ne!(repair["before"], repair["after"], "{repair}");
    }
    assert_eq!(untouched(&sink).await, before);
    let clean = run(&["verify", "--repair"]);
    assert_eq!(clean.code(), Some(0), "{} {}", clean.output, clean.log);
    assert!(
        clean.output.trim_end().ends_with("no differences"),
        "{}",
        clean.output
    );

    let consumer = scene.aggregate();
    scene
        .database
        .batch_execute("update inventory set on_hand = on_hand + 1")
        .await
        .unwrap();
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_is_repaired_while_its_consumer_goes_on() {
    let scene = Scene::new("repair_load", &Servers::shared(), "default", "").await;
    let replicator = scene.replicate();
    let consumer = scene.aggregate();
    replicator.streaming().await;
    scene.database.batch_execute(shop::OVERSTOCK).await.unwrap();
    scene.applied().await;
    let sink = scene.sink().await;
    let load = scene.load();
    let mut repairs = 0;
    let orders = async || {
        let count = "select count(*) from order_image";
        sink.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    for round in 0..4 {
        let before = orders().await;
        until("the consumer to go on", async || {
            orders().await > before + 150
        })
        .await;
        // As one transaction of a consumer more, so that it cannot meet one in another order.
        let drift = format!("begin; lock table consumer_offset in share mode; {DRIFT}; commit");
        sink.batch_execute(&drift).await.unwrap();
        let repaired = Tidewater::run(
            &["verify", "--sink-only", "--repair", "--json"],
            &scene.config,
        );
        assert_eq!(
            repaired.code(),
            Some(0),
            "{round}: {} {}",
            repaired.output,
            repaired.log
        );
        repairs += report(&repaired)["repairs_made"].as_u64().unwrap();
    }
    println!("{} changes, {repairs} rows repaired", load.changes());
    assert!(repairs > 40, "{repairs}");
    load.stop().await;
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repair_waits_for_the_consumers_transaction_and_goes_by_its_offsets() {
    const WAITING: &str = "
        select exists (select from pg_stat_activity
                       where datname = current_database() and wait_event_type = 'Lock'
                         and query like $1)";
    let scene = Scene::new("repair_waits", &Servers::shared(), "default", "").await;
    let replicator = scene.replicate();
    let consumer = scene.aggregate();
    replicator.streaming().await;
    scene.applied().await;
    let (mut held, sink) = (scene.sink().await, scene.sink().await);
    let waits = async |query: &str| {
        let row = sink.query_one(WAITING, &[&query]).await.unwrap();
        row.get::<_, bool>(0)
    };
    // With the price of its image an order's cancellation takes a sum off an hour of sales that was right before.
    let damage = "update sales_hourly set units = units + 5 where store_id <> 1;
                  update order_image set unit_price = '1.11' where store_id = 1;
                  update inventory_image set changed_at = changed_at + interval '1 microsecond'";
    sink.batch_execute(damage).await.unwrap();
    // The consumer is in the midst of a transaction, with which rows that differ move on, and others become wrong.
    let holding = held.transaction().await.unwrap();
    let hold = "update consumer_offset set owner = owner";
    holding.batch_execute(hold).await.unwrap();
    let change = "
        insert into orders (customer_id, store_id, product_id, quantity, unit_price, placed_at)
            select customer_id, store_id, product_id, quantity, unit_price, placed_at from orders;
        update orders set status = 'cancelled'";
    scene.database.batch_execute(change).await.unwrap();
    until("the consumer to wait", async || {
        waits("%update consumer_offset o set next_offset%").await
    })
    .await;
    let mut repair = Tidewater::start(
        &["verify", "--sink-only", "--repair", "--json"],
        &scene.config,
    );
    until("the repair to wait", async || {
        assert!(repair.is_running(), "{}", repair.log());
        waits("%lock table consumer_offset%").await
    })
    .await;
    holding.commit().await.unwrap();
    let repaired = repair.wait(Duration::from_mins(1));
    assert_eq!(
        repaired.code(),
        Some(0),
        "{} {}",
        repaired.output,
        repaired.log
    );
    assert!(report(&repaired)["repairs_made"].as_u64().unwrap() > 100);
    scene.assert_right().await;
    assert_eq!(consumer.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
