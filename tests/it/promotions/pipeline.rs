//! From the topics to the ledger and out again, through the binary.

use tidewater::connection::{Database, connect};
use tidewater::retail::evaluation::{Policy, Standing, State};
use tidewater::retail::statements::Statements;

use super::feed::Feed;
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
