//! From the topics to the ledger and out again, through the binary.

use tidewater::connection::{Database, connect};
use tidewater::retail::evaluation::{Policy, Standing, State};
use tidewater::retail::statements::Statements;

use super::feed::{Feed, now_us};
use crate::support::{Tidewater, until};

pub(super) async fn sink(feed: &Feed) -> Database {
    let sink = feed.settings.sink.as_ref().unwrap();
    tidewater::retail::migrate(sink).await.unwrap();
    connect(&sink.connection).await.unwrap()
}

pub(super) async fn count(sink: &Database, sql: &str) -> i64 {
    sink.query_one(sql, &[]).await.unwrap().get(0)
}

const APPLIED: &str = "select coalesce(sum(next_offset), 0)::bigint from consumer_offset";
const ELIGIBLE: &str = "select count(*) from promotion_eligibility";
const CODES: &str = "select count(*) from promotion";

async fn state(feed: &Feed, sink: &Database) -> State {
    let policy = Policy::new(&feed.settings.retail);
    let standing = Standing::read(&**sink, &Statements::default(), &policy).await;
    standing.unwrap().state()
}

#[tokio::test]
async fn nothing_is_decided_on_half_known_or_old_state() {
    let mut feed = Feed::open("warming", "issue_max_lag = \"60s\"").await;
    let sink = sink(&feed).await;
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.flush();
    let _consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("nine records to be applied", async || {
        count(&sink, APPLIED).await == 9
    })
    .await;
    assert_eq!(state(&feed, &sink).await, State::WarmingUp);
    assert_eq!(count(&sink, ELIGIBLE).await, 0);

    feed.snapshot_ends();
    feed.flush();
    until("the first evaluation", async || {
        state(&feed, &sink).await == State::Behind
    })
    .await;
    assert_eq!(count(&sink, ELIGIBLE).await, 1);
    // A heartbeat comes back, but it left the source long ago.
    feed.heartbeat(120);
    until("the heartbeat", async || {
        count(&sink, "select count(applied_until()) from consumer_offset").await > 0
    })
    .await;
    // A batch that would issue a code on fresh state.
    feed.order("c", 3, [7, 1, 2], 47);
    feed.flush();
    until("the order", async || count(&sink, APPLIED).await == 11).await;
    assert_eq!(state(&feed, &sink).await, State::Behind);
    assert_eq!(count(&sink, CODES).await, 0);

    feed.heartbeat(0);
    until("the code", async || count(&sink, CODES).await == 1).await;
    assert_eq!(state(&feed, &sink).await, State::Issuing);
}

/// The ledger has when a code's cause had been committed, where that is what it waited for.
#[tokio::test]
async fn a_code_has_the_time_of_its_cause() {
    const CAUSED: &str = "
        select coalesce((extract(epoch from caused_at) * 1000000)::bigint, 0) from promotion
        order by issued_at desc limit 1";
    let mut feed = Feed::open("caused", "").await;
    let sink = sink(&feed).await;
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    feed.heartbeat(0);
    let _consumer = Tidewater::start(&["aggregate"], &feed.config);
    until("the code of the first evaluation", async || {
        feed.heartbeat(0);
        count(&sink, CODES).await == 1
    })
    .await;
    // The clock did that, or rather nobody knows what did.
    assert_eq!(count(&sink, CAUSED).await, 0);

    let again = async |feed: &mut Feed, cause: &dyn Fn(&mut Feed)| {
        let codes = count(&sink, CODES).await;
        let before = now_us();
        cause(feed);
        let after = now_us();
        until("a code", async || {
            feed.heartbeat(0);
            count(&sink, CODES).await > codes
        })
        .await;
        let caused = count(&sink, CAUSED).await;
        assert!(
            (before..=after).contains(&caused),
            "{before} {caused} {after}"
        );
    };
    let known = async |feed: &mut Feed, orders: i64| {
        let sql = "select count(*) from order_image where present";
        until("the orders", async || {
            feed.flush();
            count(&sink, sql).await == orders
        })
        .await;
    };
    let orders = count(&sink, "select count(*) from order_image where present").await;
    // Another product in the same store that is in stock at last.
    feed.order("c", 21, [7, 1, 3], 48);
    feed.order("c", 22, [7, 1, 3], 49);
    known(&mut feed, orders + 2).await;
    again(&mut feed, &|feed| feed.level("c", 1, 3, 90)).await;
    // Somebody whose second order makes it a habit.
    feed.customer("c", 8, "premium", true);
    feed.order("c", 31, [8, 1, 2], 48);
    known(&mut feed, orders + 3).await;
    again(&mut feed, &|feed| feed.order("c", 32, [8, 1, 2], 49)).await;
    // Somebody who becomes a premium customer.
    feed.customer("c", 9, "basic", true);
    feed.order("c", 41, [9, 1, 2], 48);
    feed.order("c", 42, [9, 1, 2], 49);
    known(&mut feed, orders + 6).await;
    again(&mut feed, &|feed| feed.customer("u", 9, "premium", true)).await;
}
