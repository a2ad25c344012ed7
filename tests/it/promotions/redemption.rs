//! Which order redeems a code: orders and codes that change in any order give what the plain definition
//! gives, and the binary does the same from the topics.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::retail::promotion::redemption::settle;
use tidewater::retail::touched::Unsettled;

use super::feed::Feed;
use super::pipeline::{count, sink};
use super::shop::Shop;
use crate::model::random::seed;
use crate::support::{Tidewater, until};

const HISTORIES: u64 = 40;
const STEPS: usize = 100;
/// What must have happened; a test that never meets one of them proves nothing about it.
const CASES: [&str; 11] = [
    "redeemed",
    "redeemed by another order",
    "freed",
    "unknown",
    "other_customer",
    "other_store",
    "other_product",
    "cancelled",
    "undated",
    "expired",
    "used",
];

/// A code as the test knows it: for customer 1 or 2, store 1, product 1, valid until that hour.
#[derive(Clone, Debug)]
struct Code {
    customer: i64,
    valid_until: i64,
    withdrawn: bool,
}

#[derive(Clone, Debug)]
struct Order {
    code: String,
    customer: Option<i64>,
    store: i64,
    product: i64,
    cancelled: bool,
    /// Hours; `None` is infinity.
    placed: Option<i64>,
}

/// What is to be found: the order that redeems each code, and the reason of every other order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    redeemed: BTreeMap<String, i64>,
    refused: BTreeMap<i64, (String, String)>,
}

#[derive(Default)]
struct Naive {
    codes: BTreeMap<String, Code>,
    orders: BTreeMap<i64, Order>,
}

impl Naive {
    fn reason(&self, order: &Order) -> Option<&'static str> {
        let Some(code) = self.codes.get(&order.code).filter(|code| !code.withdrawn) else {
            return Some("unknown");
        };
        [
            (order.customer != Some(code.customer), "other_customer"),
            (order.store != 1, "other_store"),
            (order.product != 1, "other_product"),
            (order.cancelled, "cancelled"),
            (order.placed.is_none(), "undated"),
            (order.placed > Some(code.valid_until), "expired"),
        ]
        .into_iter()
        .find_map(|(applies, reason)| applies.then_some(reason))
    }

    fn outcome(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let mut orders: Vec<_> = self.orders.iter().collect();
        orders.sort_by_key(|(id, order)| (order.placed, **id));
        for (id, order) in orders {
            let reason = match self.reason(order) {
                None if outcome.redeemed.contains_key(&order.code) => "used",
                None => {
                    outcome.redeemed.insert(order.code.clone(), *id);
                    continue;
                }
                Some(reason) => reason,
            };
            let refusal = (order.code.clone(), reason.to_owned());
            outcome.refused.insert(*id, refusal);
        }
        outcome
    }
}

async fn found(shop: &Shop) -> Outcome {
    let mut outcome = Outcome::default();
    let sql = "select code, redeemed_order_id, redeemed_at = (
                   select dated_at from order_image where order_id = redeemed_order_id)
               from promotion where state = 'redeemed'";
    for row in &shop.database.query(sql, &[]).await.unwrap() {
        assert_eq!(row.get::<_, Option<bool>>(2), Some(true));
        outcome.redeemed.insert(row.get(0), row.get(1));
    }
    let sql = "select order_id, f.promotion_code, reason, f.promotion_id is not distinct from (
                   select promotion_id from promotion where code = f.promotion_code)
               from promotion_refusal f";
    for row in &shop.database.query(sql, &[]).await.unwrap() {
        assert!(row.get::<_, bool>(3));
        let refusal = (row.get(1), row.get(2));
        outcome.refused.insert(row.get(0), refusal);
    }
    outcome
}

fn hour(hours: i64) -> String {
    format!("t() + interval '{hours} hours'")
}

/// Changes one thing; gives the SQL that changes it and what has to be settled for it.
fn step(rng: &mut ChaCha8Rng, naive: &mut Naive) -> (String, Unsettled) {
    let name = format!("code-{}", rng.random_range(1..=4));
    let known = naive.codes.get_mut(&name);
    match (rng.random_range(0..10), known) {
        (0 | 1, None) if name != "code-4" => {
            let code = Code {
                customer: rng.random_range(1..=2),
                valid_until: rng.random_range(0..6),
                withdrawn: false,
            };
            let sql = format!(
                "select put_code(1, {}, 1, 1, t() - interval '1 day');
                 update promotion set code = '{name}', valid_until = {}, dispatched_at = t()
                 where code not like 'code-%'",
                code.customer,
                hour(code.valid_until),
            );
            naive.codes.insert(name.clone(), code);
            (sql, Unsettled::codes([name]))
        }
        (0, Some(code)) if !code.withdrawn && rng.random_bool(0.3) => {
            code.withdrawn = true;
            let sql = format!("update promotion set state = 'withdrawn' where code = '{name}'");
            (sql, Unsettled::codes([name]))
        }
        _ => change_order(rng, naive, name),
    }
}

fn change_order(rng: &mut ChaCha8Rng, naive: &mut Naive, code: String) -> (String, Unsettled) {
    let id = rng.random_range(1..=8);
    let mut unsettled = Unsettled::codes([code.clone()]);
    unsettled.orders.push(id);
    unsettled
        .codes
        .extend(naive.orders.get(&id).map(|order| order.code.clone()));
    if rng.random_bool(0.15) {
        naive.orders.remove(&id);
        let sql = format!(
            "update order_image set present = false, counted_at = null where order_id = {id}"
        );
        return (sql, unsettled);
    }
    let order = Order {
        code,
        customer: *[Some(1), Some(1), Some(2), Some(3), None]
            .choose(rng)
            .unwrap(),
        store: *[1, 1, 1, 1, 2].choose(rng).unwrap(),
        product: *[1, 1, 1, 1, 2].choose(rng).unwrap(),
        cancelled: rng.random_bool(0.15),
        placed: rng.random_bool(0.9).then(|| rng.random_range(-4..7)),
    };
    let customer = order
        .customer
        .map_or("null".to_owned(), |id| id.to_string());
    let placed = order.placed.map_or("null".to_owned(), hour);
    let sql = format!(
        "delete from order_image where order_id = {id};
         insert into order_image
             (order_id, present, customer_id, store_id, product_id, quantity, unit_price, status,
              promotion_code, placed_at, dated_at, cancelled, position, effective_at, partition)
         values ({id}, true, {customer}, {}, {}, 1, 'NaN', 'paid', '{}', 'x', {placed}, {},
                 '1:0/1:1', t(), 0)",
        order.store, order.product, order.code, order.cancelled,
    );
    naive.orders.insert(id, order);
    (sql, unsettled)
}

#[tokio::test]
async fn whatever_changes_the_outcome_is_that_of_the_plain_definition() {
    let seed = seed();
    let shop = Shop::open("redemption").await;
    let mut cases: BTreeMap<&str, u64> = CASES.iter().map(|case| (*case, 0)).collect();
    for index in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index));
        let mut naive = Naive::default();
        let wipe = "truncate promotion, promotion_outbox, promotion_delivery, promotion_refusal, order_image";
        shop.database.batch_execute(wipe).await.unwrap();
        let mut before = Outcome::default();
        for _ in 0..STEPS {
            let (sql, unsettled) = step(&mut rng, &mut naive);
            shop.database.batch_execute(&sql).await.unwrap();
            let at = shop.policy.at;
            let settled = settle(&*shop.database, &shop.statements, at, &unsettled).await;
            settled.unwrap();
            let outcome = naive.outcome();
            assert_eq!(
                found(&shop).await,
                outcome,
                "TIDEWATER_TEST_SEED={seed}, history {index}, after {sql}"
            );
            tally(&mut cases, &before, &outcome);
            before = outcome;
        }
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
    }
    let missing: Vec<_> = cases.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "seed {seed}: never met {missing:?}");
}

fn tally(cases: &mut BTreeMap<&str, u64>, before: &Outcome, outcome: &Outcome) {
    let mut met = |case: &str| *cases.get_mut(case).unwrap() += 1;
    for (_, reason) in outcome.refused.values() {
        met(reason);
    }
    for (code, order) in &outcome.redeemed {
        match before.redeemed.get(code) {
            None => met("redeemed"),
            Some(other) if other != order => met("redeemed by another order"),
            Some(_) => {}
        }
    }
    let freed = |code: &&String| !outcome.redeemed.contains_key(*code);
    before
        .redeemed
        .keys()
        .filter(freed)
        .for_each(|_| met("freed"));
}

#[tokio::test]
async fn a_freed_code_has_the_state_that_it_would_have_had() {
    let mut shop = Shop::open("freed").await;
    for (dispatched, valid_for, state) in [
        ("null", "1 hour", "issued"),
        ("moment()", "1 hour", "dispatched"),
        ("moment()", "-1 minute", "expired"),
    ] {
        let transaction = shop.database.transaction().await.unwrap();
        let sql = format!(
            "select put_code(1, 7, 1, 2, moment(), 'redeemed', '{valid_for}');
             update promotion set code = 'x', dispatched_at = {dispatched},
                 redeemed_at = t(), redeemed_order_id = 1"
        );
        transaction.batch_execute(&sql).await.unwrap();
        let codes = Unsettled::codes(["x".to_owned()]);
        let settled = settle(&transaction, &shop.statements, shop.policy.at, &codes).await;
        assert_eq!(settled.unwrap().freed, 1);
        let sql = "select state, redeemed_at is null and redeemed_order_id is null from promotion";
        let row = transaction.query_one(sql, &[]).await.unwrap();
        assert_eq!((row.get(0), row.get(1)), (state, true));
    }
}

const REDEEMED: &str = "select coalesce(max(redeemed_order_id), 0) from promotion";
const REFUSED: &str = "select coalesce(string_agg(format('%s %s', order_id, reason), ', '
                                                   order by order_id), '') from promotion_refusal";

async fn stands(sink: &tidewater::connection::Database, redeemed: i64, refused: &str) -> bool {
    let row = sink.query_one(REFUSED, &[]).await.unwrap();
    count(sink, REDEEMED).await == redeemed && row.get::<_, String>(0) == refused
}

#[tokio::test]
async fn an_order_redeems_its_code_and_a_cancelled_one_frees_it() {
    let mut feed = Feed::open("redeemed", "").await;
    let sink = sink(&feed).await;
    feed.one_eligible_tuple();
    feed.snapshot_almost_ends();
    feed.snapshot_ends();
    let consumer = Tidewater::start(&["aggregate"], &feed.config);
    let dispatched = "select count(*) from promotion where state = 'dispatched'";
    until("the code", async || {
        feed.heartbeat(0);
        count(&sink, dispatched).await == 1
    })
    .await;
    let code: String = sink
        .query_one("select code from promotion", &[])
        .await
        .unwrap()
        .get(0);
    // The customer's own two orders, a stranger's, and one with a code of some other campaign.
    feed.order_with_code(11, [7, 1, 2], "paid", &code);
    feed.order_with_code(12, [7, 1, 2], "paid", &code);
    feed.order_with_code(13, [8, 1, 2], "paid", &code);
    feed.order_with_code(14, [7, 1, 2], "paid", "WELCOME10");
    feed.flush();
    let first = "12 used, 13 other_customer, 14 unknown";
    until("order 11 to redeem", async || {
        stands(&sink, 11, first).await
    })
    .await;

    feed.order_with_code(11, [7, 1, 2], "cancelled", &code);
    feed.flush();
    let second = "11 cancelled, 13 other_customer, 14 unknown";
    until("order 12 to redeem", async || {
        stands(&sink, 12, second).await
    })
    .await;

    // The topics, folded by a model of its own, say the same; and so does a rebuild.
    let verified = Tidewater::run(&["verify", "--sink-only"], &feed.config);
    assert_eq!(verified.code(), Some(0), "{}", verified.output);
    assert_eq!(consumer.terminate().code(), Some(0));
    let rebuilt = Tidewater::run(&["rebuild"], &feed.config);
    assert_eq!(rebuilt.code(), Some(0), "{}", rebuilt.log);
    assert!(stands(&sink, 12, second).await);

    sink.batch_execute("update promotion set redeemed_order_id = 11")
        .await
        .unwrap();
    let verified = Tidewater::run(&["verify", "--sink-only"], &feed.config);
    assert!(
        verified.output.contains("redeemed_order_id=12"),
        "{}",
        verified.output
    );
}
