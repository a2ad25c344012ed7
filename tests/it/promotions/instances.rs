//! Two instances that share the partitions, and a rebuild.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::connection::{Database, connect};
use tidewater::kafka::topics;

use super::feed::Feed;
use super::pipeline::{count, sink};
use crate::model::random::seed;
use crate::support::{Tidewater, until};

const CUSTOMERS: i64 = 400;

async fn text(sink: &Database, sql: &str) -> String {
    let row = sink.query_one(sql, &[]).await.unwrap();
    row.get::<_, Option<String>>(0).unwrap_or_default()
}

/// Stock, orders and customers of the same tuples come at once, each in a partition of another instance.
/// The last of them to be evaluated must see the others: a tuple that was missed would be there only
/// after a sweep, with cause `time`.
#[tokio::test]
async fn two_instances_neither_miss_a_tuple_nor_issue_a_code_twice() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut feed = Feed::open("instances", "batch_linger = \"1ms\"").await;
    let sink = sink(&feed).await;
    sink.batch_execute("update promotion_rule set daily_limit = 100000")
        .await
        .unwrap();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    let instances = [0, 1].map(|_| Tidewater::start(&["aggregate"], &feed.config));
    until("both to have partitions", async || {
        feed.heartbeat(0);
        count(&sink, "select count(distinct owner) from consumer_offset").await == 2
            && count(&sink, "select count(evaluated_at) from sink_identity").await == 1
            && count(&sink, "select count(applied_until()) from sink_identity").await == 1
    })
    .await;
    let offsets = "select sum(next_offset)::bigint from consumer_offset";
    let before = count(&sink, offsets).await;

    let mut sent = 0;
    for customer in 1..=CUSTOMERS {
        let tuple = [customer, customer % 3 + 1, customer % 7 + 1];
        let mut writes = [0, 1, 2, 3, 4];
        writes.shuffle(&mut rng);
        for write in writes {
            match write {
                0 => feed.level("u", tuple[1], tuple[2], 100_000 + customer),
                1 => feed.order("c", customer * 2, tuple, 48),
                2 => feed.order("c", customer * 2 + 1, tuple, 480),
                3 => feed.customer("c", customer, "premium", true),
                _ => feed.level("u", tuple[1], tuple[2], 100_000 - customer),
            }
            sent += 1;
        }
        if customer % rng.random_range(1..=20) == 0 {
            feed.heartbeat(0);
        }
    }
    feed.heartbeat(0);
    until("all of it to be applied", async || {
        count(&sink, offsets).await == before + sent
    })
    .await;
    let missed = text(
        &sink,
        "select string_agg(customer_id::text, ' ') from promotion_eligibility where cause = 'time'",
    )
    .await;
    assert_eq!(missed, "", "customers that only a sweep has found");
    assert_eq!(
        count(&sink, "select count(*) from promotion_eligibility").await,
        CUSTOMERS
    );
    let codes = "select format('%s codes of %s customers, highest cycle %s', count(*),
                               count(distinct customer_id), max(cycle)) from promotion";
    let expected = format!("{CUSTOMERS} codes of {CUSTOMERS} customers, highest cycle 1");
    assert_eq!(text(&sink, codes).await, expected);
    until("an empty outbox", async || {
        feed.heartbeat(0);
        count(&sink, "select count(*) from promotion_outbox").await == 0
    })
    .await;
    verify(&feed);

    // A rebuild folds everything again and gives nobody a second code.
    for instance in instances {
        assert_eq!(instance.terminate().code(), Some(0));
    }
    let ledger = "select md5(string_agg(p::text, ' ' order by promotion_id)) from promotion p";
    let eligible =
        "select md5(string_agg(concat_ws(' ', rule_id, customer_id, store_id, product_id),
                    ' ' order by customer_id)) from promotion_eligibility";
    let (codes_before, eligible_before) = (text(&sink, ledger).await, text(&sink, eligible).await);
    let rebuilt = Tidewater::run(&["rebuild"], &feed.config);
    assert_eq!(rebuilt.code(), Some(0), "{rebuilt:?}");
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("the first evaluation after the rebuild", async || {
        feed.heartbeat(0);
        count(
            &sink,
            "select count(applied_until()) from sink_identity where evaluated_at is not null",
        )
        .await
            == 1
    })
    .await;
    assert_eq!(text(&sink, eligible).await, eligible_before);
    assert_eq!(text(&sink, ledger).await, codes_before);
    verify(&feed);
    assert_eq!(consumer.terminate().code(), Some(0));
}

/// A partition of the customers and one of the orders that different instances own.
async fn apart(feed: &Feed, sink: &Database) -> Option<(i64, i64)> {
    let sql = "select c.partition::bigint, o.partition::bigint
               from consumer_offset c join consumer_offset o on c.owner <> o.owner
               where c.topic = $1 and o.topic = $2 limit 1";
    let topic = |table| topics::table(&feed.prefix, "public", table);
    let parameters = [topic("customers"), topic("orders")];
    let row = sink.query_opt(sql, &[&parameters[0], &parameters[1]]).await;
    row.unwrap().map(|row| (row.get(0), row.get(1)))
}

/// One instance has evaluated a new habit of a customer of the wrong tier, and is held up before its
/// commit; the other then applies his change of tier. Neither may miss the other's half.
#[tokio::test]
async fn a_habit_and_a_tier_that_come_at_once_are_not_missed() {
    let mut feed = Feed::open("at_once", "batch_linger = \"300ms\"").await;
    let sink = sink(&feed).await;
    // Customer and order ids that are even or odd lie in the partitions wanted.
    for id in [8, 9] {
        feed.customer("r", id, "standard", true);
    }
    feed.customer("r", 7, "premium", true);
    feed.level("r", 1, 2, 1_000);
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    let _instances = [0, 1].map(|_| Tidewater::start(&["aggregate"], &feed.config));
    until("partitions of different instances", async || {
        feed.heartbeat(0);
        apart(&feed, &sink).await.is_some()
            && count(
                &sink,
                "select count(applied_until()) from sink_identity
                             where evaluated_at is not null",
            )
            .await
                == 1
    })
    .await;
    let (customers, orders) = apart(&feed, &sink).await.unwrap();
    let (customer, order) = (8 + customers, orders);

    // Whoever would issue a code waits for this; customer 7 gets one with the same batch.
    let mut blocker = connect(&feed.settings.sink.as_ref().unwrap().connection)
        .await
        .unwrap();
    let hold = blocker.transaction().await.unwrap();
    hold.batch_execute("lock table promotion in access exclusive mode")
        .await
        .unwrap();
    let waits = |table: &str| {
        format!(
            "select count(*) from pg_locks where not granted and locktype = '{table}'
         and pid in (select pid from pg_stat_activity where datname = current_database()
                     and query like '%candidates%' or query like '%pg_advisory%'
                     or query like '%from promotion p%')"
        )
    };
    for (index, (id, hours)) in [(customer, 48), (customer, 480), (7, 48), (7, 480)]
        .into_iter()
        .enumerate()
    {
        feed.order("c", order + 2 * index as i64, [id, 1, 2], hours);
    }
    feed.flush();
    until("the batch of orders to be held up", async || {
        count(&sink, &waits("relation")).await > 0
    })
    .await;
    let tier = format!(
        "select count(*) from customer_image where customer_id = {customer} and tier = 'premium'"
    );
    feed.customer("u", customer, "premium", true);
    feed.flush();
    until("the change of tier to be applied, or to wait", async || {
        count(&sink, &tier).await == 1 || count(&sink, &waits("advisory")).await > 0
    })
    .await;
    hold.rollback().await.unwrap();
    let cause =
        format!("select max(cause) from promotion_eligibility where customer_id = {customer}");
    let all = format!(
        "select count(*) from purchase_habit join customer_image using (customer_id)
                       where customer_id = {customer} and tier = 'premium'"
    );
    until("both to be applied", async || count(&sink, &all).await == 1).await;
    assert_eq!(text(&sink, &cause).await, "tier");
}

fn verify(feed: &Feed) {
    let verified = Tidewater::run(&["verify", "--sink-only"], &feed.config);
    assert_eq!(verified.code(), Some(0), "{}", verified.output);
    let compared = verified
        .output
        .lines()
        .filter(|line| line.contains("promotion"));
    println!("{}", compared.collect::<Vec<_>>().join("\n"));
}
