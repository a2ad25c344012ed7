//! Arms: who issues whose codes, in the sink as in the program.

use tidewater::config::settings::Arms;
use tidewater::retail::arm;

use super::feed::Feed;
use super::pipeline::{count, sink};
use super::shop::{Question, Shop};
use crate::support::{Tidewater, until};

#[tokio::test]
async fn the_sinks_buckets_are_the_programs() {
    let shop = Shop::open("buckets").await;
    let sql = "select id, arm_bucket(id) from generate_series(-500, 20000) id
               union all select id, arm_bucket(id)
               from (values (9223372036854775807), (-9223372036854775808)) one (id)";
    let rows = shop.database.query(sql, &[]).await.unwrap();
    assert_eq!(rows.len(), 20_503);
    for row in rows {
        let customer = row.get(0);
        assert_eq!(arm::bucket(customer), row.get::<_, i32>(1), "{customer}");
    }
}

#[tokio::test]
async fn the_stream_issues_to_its_arm_alone_and_counts_the_codes_of_both() {
    let mut shop = Shop::with_one_eligible_tuple("arms").await;
    // Customer 7 is in bucket 59.
    for (stream, batch, issued) in [
        (60, 40, 1),
        (59, 41, 0),
        (0, 100, 0),
        (59, 0, 0),
        (100, 0, 1),
    ] {
        shop.policy.arms = Arms {
            stream,
            batch,
            holdout: 100 - stream - batch,
        };
        let codes = shop.try_out("select", Question::Issued).await;
        assert_eq!(codes.len(), issued, "{:?}", shop.policy.arms);
    }
    for (change, issued) in [
        // Live, in its cooldown, and one of two in a day: whoever issued it.
        (
            "select put_code(1, 7, 1, 2, moment() - interval '1 hour')",
            0,
        ),
        (
            "select put_code(1, 7, 1, 2, moment() - interval '71 hours')",
            0,
        ),
        (
            "select put_code(1, 7, 1, 2, moment() - interval '73 hours')",
            1,
        ),
        (
            "select put_code(1, 7, 3, 3, moment()), put_code(1, 7, 4, 4, moment())",
            0,
        ),
    ] {
        let change = format!("{change}; update promotion set source = 'batch'");
        let codes = shop.try_out(&change, Question::Issued).await;
        assert_eq!(codes.len(), issued, "after: {change}");
    }
}

#[tokio::test]
async fn verify_finds_a_code_that_the_arms_do_not_allow() {
    let arms = "[retail.arms]\nstream = 60\nbatch = 20\nholdout = 20";
    let mut feed = Feed::open("arms", arms).await;
    let sink = sink(&feed).await;
    feed.one_eligible_tuple();
    // Customers 8 and 6 are in buckets 82 and 72: holdout and batch.
    for (customer, product) in [(8, 3), (6, 4)] {
        feed.level("r", 1, product, 100);
        feed.customer("r", customer, "premium", true);
        feed.order("r", customer * 10, [customer, 1, product], 48);
        feed.order("r", customer * 10 + 1, [customer, 1, product], 480);
    }
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("the code", async || {
        feed.heartbeat(0);
        let dispatched = "select count(*) from promotion where dispatched_at is not null";
        count(&sink, dispatched).await == 1
    })
    .await;
    assert_eq!(consumer.terminate().code(), Some(0));
    let eligible = "select count(*) from promotion_eligibility";
    assert_eq!(count(&sink, eligible).await, 3);
    let to = "select customer_id from promotion where source = 'stream'";
    assert_eq!(count(&sink, to).await, 7);
    let shares = "select count(*) from arm_share where since > '-infinity' and stream = 60";
    assert_eq!(count(&sink, shares).await, 1);

    let verify = || Tidewater::run(&["verify", "--sink-only"], &feed.config);
    let clean = verify();
    assert_eq!(clean.code(), Some(0), "{}{}", clean.output, clean.log);
    for (customer, found) in [
        (
            6,
            "issued by the stream, and customer 6 is in the batch arm",
        ),
        (
            8,
            "issued by the stream, and customer 8 is in the holdout arm",
        ),
    ] {
        let change = format!("update promotion set customer_id = {customer}");
        sink.batch_execute(&change).await.unwrap();
        let ended = verify();
        assert_eq!(ended.code(), Some(3), "{}", ended.output);
        assert!(ended.output.contains(found), "{}", ended.output);
    }
    // What was issued before the shares were these is not judged by them.
    let change = "update arm_share set since = clock_timestamp() where stream = 60";
    sink.batch_execute(change).await.unwrap();
    assert_eq!(verify().code(), Some(0));
}
