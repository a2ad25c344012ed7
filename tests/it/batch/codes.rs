//! Codes of the batch: beside the stream, in one ledger.

use serde_json::Value;
use tidewater::kafka::topics;

use super::{BATCH_ARM, batch, migrated, texts};
use crate::commands::{Shop, streaming};
use crate::model::read_topic;
use crate::support::{Tidewater, kafka_brokers, until};

async fn count(shop: &Shop, sql: &str) -> i64 {
    shop.sink().await.query_one(sql, &[]).await.unwrap().get(0)
}

async fn run(shop: &Shop, config: &str) -> Tidewater {
    let mut process = Tidewater::start(&["run"], config);
    streaming(&mut process).await;
    until("the tuple", async || {
        assert!(process.is_running(), "{}", process.log());
        let eligible = "select count(*) from promotion_eligibility, sink_identity
                        where evaluated_at is not null and applied_until() is not null";
        count(shop, eligible).await >= 1
    })
    .await;
    process
}

#[tokio::test]
async fn a_code_of_the_batch_lives_like_one_of_the_stream() {
    let shop = migrated("batch_codes").await;
    let config = format!("{}{BATCH_ARM}", shop.config());
    // Customer 5 is the stream's, 11 the batch's, 4 is held out; an intent rule waits for events.
    let more = "insert into customers values (5, 'premium');
        insert into inventory values (1, 8, 40, 60);
        insert into orders select 200 + n, 5, 1, 8, 1, 1, 'paid', null, now() - interval '3 days'
        from generate_series(1, 2) n";
    shop.source().await.batch_execute(more).await.unwrap();
    let intent = "insert into promotion_rule (name, trigger) values ('intent', 'intent')";
    shop.sink().await.batch_execute(intent).await.unwrap();
    let process = run(&shop, &config).await;
    until("the stream's code", async || {
        count(
            &shop,
            "select count(*) from promotion where dispatched_at is not null",
        )
        .await
            == 1
    })
    .await;
    for (on_hand, cause) in [(0, None), (40, Some("stock"))] {
        let change = format!("update inventory set on_hand = {on_hand} where product_id = 7");
        shop.source().await.batch_execute(&change).await.unwrap();
        until("the tuple to follow its stock", async || {
            let sql =
                "select cause from promotion_eligibility where customer_id = 11 and rule_id = 1";
            texts(&shop.sink().await, sql)
                .await
                .first()
                .map(String::as_str)
                == cause
        })
        .await;
    }
    let output = batch(&config, &["--date", "today"]).output;
    assert!(
        output.contains("4 tuples eligible under 2 rules; 1 codes issued"),
        "{output}"
    );
    until("both codes to be dispatched", async || {
        count(
            &shop,
            "select count(*) from promotion where state = 'dispatched'",
        )
        .await
            == 2
    })
    .await;
    let sink = shop.sink().await;
    let sql = "select format('%s %s %s', source, customer_id, rule_id) from promotion order by 1";
    assert_eq!(texts(&sink, sql).await, ["batch 11 1", "stream 5 1"]);
    // The night before could not have issued it: what it answers is when the stream saw the tuple.
    let sql = "select format('%s %s', e.cause, p.caused_at = e.since)
               from promotion p join promotion_eligibility e using (rule_id, customer_id, store_id, product_id)
               where p.source = 'batch'";
    assert_eq!(texts(&sink, sql).await, ["stock t"]);
    let code = &texts(&sink, "select code from promotion where source = 'batch'").await[0];
    let records = read_topic(&kafka_brokers(), &topics::promotions(&shop.prefix));
    let values = records
        .iter()
        .map(|record| serde_json::from_slice::<Value>(record.value.as_deref().unwrap()).unwrap());
    let published = values
        .into_iter()
        .find(|value| value["code"] == code.as_str())
        .unwrap();
    assert_eq!(published["source"], "batch");
    assert_eq!(published["why"]["cause"], "batch");
    assert_eq!(published["why"]["on_hand"], 40);

    // The other day's run finds it in its cooldown; the stream tells why it does not issue one.
    let output = batch(&config, &["--date", "yesterday"]).output;
    assert!(output.contains("; 0 codes issued"), "{output}");
    let explain = ["rules", "explain", "--customer", "11", "--product", "7"];
    let output = Tidewater::run(&explain, &config).output;
    assert!(output.contains("eligible, but no code: arm"), "{output}");

    let order =
        format!("insert into orders values (300, 11, 1, 7, 1, 9, 'placed', '{code}', now())");
    shop.source().await.batch_execute(&order).await.unwrap();
    until("the redemption", async || {
        count(
            &shop,
            "select count(*) from promotion where redeemed_order_id = 300",
        )
        .await
            == 1
    })
    .await;
    let verified = Tidewater::run(&["verify"], &config);
    assert_eq!(
        verified.code(),
        Some(0),
        "{}{}",
        verified.output,
        verified.log
    );
    assert_eq!(process.terminate().code(), Some(0));
}

#[tokio::test]
async fn a_live_code_of_one_keeps_the_other_from_issuing() {
    let shop = migrated("either").await;
    let all_batch = format!(
        "{}[retail.arms]\nstream = 0\nbatch = 100\nholdout = 0\n",
        shop.config()
    );
    let rule = "update promotion_rule set cooldown = '0'";
    let sink = shop.sink().await;
    sink.batch_execute(rule).await.unwrap();
    // While the lock of the limits is held, the batch waits, and then counts what was issued under it.
    sink.batch_execute("begin; select pg_advisory_xact_lock(x'7469646569737375'::bigint)")
        .await
        .unwrap();
    let waiting = Tidewater::start(&["batch", "--date", "today"], &all_batch);
    until("the batch to wait", async || {
        let sql = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                   where d.datname = current_database() and locktype = 'advisory' and not granted";
        count(&shop, sql).await == 1
    })
    .await;
    let issue = "insert into promotion
            (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, discount_percent,
             issued_at, valid_until)
        values (gen_random_uuid(), 1, 11, 1, 7, 1, 'A', 15, now(), now() + interval '1 day'); commit";
    sink.batch_execute(issue).await.unwrap();
    let ended = waiting.wait(std::time::Duration::from_mins(1));
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    assert!(
        ended.output.contains("; 0 codes issued"),
        "{}",
        ended.output
    );

    // The other way round: the batch was first, and the stream has everybody.
    sink.batch_execute("truncate promotion, promotion_outbox, promotion_delivery")
        .await
        .unwrap();
    let output = batch(&all_batch, &["--date", "yesterday"]).output;
    assert!(output.contains("; 1 codes issued"), "{output}");
    let process = run(&shop, &shop.config()).await;
    until("the batch's code to be dispatched", async || {
        count(
            &shop,
            "select count(*) from promotion where state = 'dispatched' and source = 'batch'",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(process.terminate().code(), Some(0));
    assert_eq!(count(&shop, "select count(*) from promotion").await, 1);
}

#[tokio::test]
async fn a_code_waits_until_the_stream_has_seen_what_the_batch_saw() {
    let shop = migrated("waits").await;
    let config = format!("{}{BATCH_ARM}", shop.config());
    // The stream is up to date with a shop that has no habit; then it stops, and the habit comes.
    shop.source()
        .await
        .batch_execute("delete from orders where order_id = 101")
        .await
        .unwrap();
    let mut process = Tidewater::start(&["replicate"], &shop.source_config());
    streaming(&mut process).await;
    let aggregate = Tidewater::start(&["aggregate"], &config);
    until("the first evaluation", async || {
        count(&shop, "select count(*) from sink_identity where evaluated_at is not null and applied_until() is not null").await == 1
    })
    .await;
    assert_eq!(process.terminate().code(), Some(0));
    let order = "insert into orders values (101, 11, 1, 7, 1, 12.50, 'delivered', null, now() - interval '5 days')";
    shop.source().await.batch_execute(order).await.unwrap();
    let output = batch(&config, &["--date", "today"]).output;
    assert!(
        output.contains("1 tuples eligible under 1 rules; 1 codes issued"),
        "{output}"
    );
    // A second code, which is the stream's and not eligible, is withdrawn: so the outbox has been looked at.
    let other = "insert into promotion
            (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, discount_percent,
             issued_at, valid_until)
        values (gen_random_uuid(), 1, 5, 1, 7, 1, 'A', 15, now(), now() + interval '1 day');
        insert into promotion_outbox (promotion_id, why, created_at)
        select promotion_id, '{}', now() from promotion where code = 'A'";
    shop.sink().await.batch_execute(other).await.unwrap();
    until("the other to be withdrawn", async || {
        count(
            &shop,
            "select count(*) from promotion where state = 'withdrawn'",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(
        count(
            &shop,
            "select count(*) from promotion where state = 'issued' and source = 'batch'"
        )
        .await,
        1
    );
    let process = shop.replicator().await;
    until("the code to be dispatched", async || {
        count(
            &shop,
            "select count(*) from promotion where state = 'dispatched' and source = 'batch'",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(process.terminate().code(), Some(0));
    assert_eq!(aggregate.terminate().code(), Some(0));
}
