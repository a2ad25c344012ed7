//! Two instances that share the partitions, and a rebuild.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::connection::Database;

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

fn verify(feed: &Feed) {
    let verified = Tidewater::run(&["verify", "--sink-only"], &feed.config);
    assert_eq!(verified.code(), Some(0), "{}", verified.output);
    let compared = verified
        .output
        .lines()
        .filter(|line| line.contains("promotion"));
    println!("{}", compared.collect::<Vec<_>>().join("\n"));
}
