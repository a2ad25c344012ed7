//! Proof that batch = stream = explain: random shops are streamed by the real program, then stand still, and
//! are judged for many moments by all three.

use std::collections::{BTreeMap, BTreeSet};

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::connection::Database;
use tidewater::retail::batch::{self, Day, Options};
use tidewater::retail::evaluation::Policy;
use tidewater::retail::explain::{Question, explain};
use tidewater::retail::statements::Statements;
use tidewater::retail::sweep::Sweeper;
use tidewater::retail::time::Timestamp;

use super::{migrated, settings, texts};
use crate::commands::{Shop, streaming};
use crate::model::random::seed;
use crate::support::{Tidewater, caught_up, until};

const HISTORIES: u64 = 3;
const CHANGES: usize = 500;
const MOMENTS: usize = 12;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 1_440 * MINUTE;

/// What must have happened, with how to count it in the source or in the sink.
const IN_SOURCE: [(&str, &str); 12] = [
    (
        "cancelled or returned",
        "orders where status in ('cancelled', 'returned')",
    ),
    ("a status of null", "orders where status is null"),
    ("no customer", "orders where customer_id is null"),
    (
        "an unknown customer",
        "orders where customer_id not in (select customer_id from customers)",
    ),
    (
        "placed at null or infinity",
        "orders where placed_at is null or not isfinite(placed_at)",
    ),
    (
        "a price that is not finite",
        "orders where unit_price in ('NaN', 'Infinity')",
    ),
    (
        "a price of seven decimals",
        "orders where scale(unit_price) > 6",
    ),
    ("no quantity", "orders where quantity is null"),
    ("no level", "inventory where on_hand is null"),
    ("no tier", "customers where tier is null"),
    (
        "no word on contact",
        "customers where contact_allowed is null",
    ),
    (
        "placed in the future",
        "orders where isfinite(placed_at) and placed_at > now()",
    ),
];

/// Of a dozen rows that draw their last value among a few, none may have drawn nothing.
const RARE: &str = "
    insert into inventory values (2, 3, null, 0) on conflict (store_id, product_id) do update set on_hand = null;
    insert into customers values (4, null, null)
        on conflict (customer_id) do update set tier = null, contact_allowed = null";

const SETUP: &str = "
    truncate orders, customers, inventory;
    alter table orders alter unit_price type numeric;
    alter table customers alter tier drop not null, alter contact_allowed drop not null;
    alter table inventory alter on_hand drop not null";

#[tokio::test]
async fn batch_stream_and_explain_agree() {
    let seed = seed();
    let mut cases = BTreeMap::new();
    for index in 0..HISTORIES {
        let seed = seed.wrapping_add(index);
        one(
            ChaCha8Rng::seed_from_u64(seed),
            if index == 0 { RARE } else { "" },
            &format!("TIDEWATER_TEST_SEED={seed}"),
            &mut cases,
        )
        .await;
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
        assert!(*count > 0, "seed {seed}: never met {case}");
    }
}

/// One history, which ends with `last`.
async fn one(mut rng: ChaCha8Rng, last: &str, name: &str, cases: &mut BTreeMap<&'static str, i64>) {
    let shop = migrated("proof").await;
    let source = shop.source().await;
    source.batch_execute(SETUP).await.unwrap();
    let mut process = Tidewater::start(&["run"], &shop.config());
    streaming(&mut process).await;
    for _ in 0..CHANGES {
        let change = change(&mut rng);
        source
            .batch_execute(&change)
            .await
            .unwrap_or_else(|error| panic!("{change}: {error:?}"));
    }
    source.batch_execute(last).await.unwrap();
    caught_up(&source, &shop.slot).await;
    let sink = shop.sink().await;
    let now: Timestamp = source
        .query_one("select clock_timestamp()", &[])
        .await
        .unwrap()
        .get(0);
    until("everything to be applied", async || {
        let sql = "select coalesce(applied_until() > $1, false)";
        sink.query_one(sql, &[&now]).await.unwrap().get(0)
    })
    .await;
    assert_eq!(process.terminate().code(), Some(0));
    for (case, what) in IN_SOURCE {
        let sql = format!("select count(*) from {what}");
        *cases.entry(case).or_default() +=
            source.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0);
    }
    rules(&sink, &mut rng).await;
    let placed: Vec<Timestamp> = source
        .query(
            "select placed_at from orders where isfinite(placed_at) order by 1",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    for _ in 0..MOMENTS {
        let at = moment(&mut rng, now, &placed);
        judge(
            &shop,
            &sink,
            at,
            &format!("{name}, at {}", at.micros()),
            cases,
        )
        .await;
    }
}

/// Now, or where an order leaves a window, a minute either way.
fn moment(rng: &mut ChaCha8Rng, now: Timestamp, placed: &[Timestamp]) -> Timestamp {
    let at = if rng.random_range(0..3) == 0 {
        now.micros() + rng.random_range(-2 * DAY..3 * DAY)
    } else {
        let days = *[1, 7, 28].choose(rng).unwrap();
        placed.choose(rng).unwrap().micros() + days * DAY + rng.random_range(-1..=1) * MINUTE
    };
    Timestamp::from_micros(at).minute()
}

/// One change of the source.
fn change(rng: &mut ChaCha8Rng) -> String {
    let mut choose = |from: &[&'static str]| *from.choose(&mut *rng).unwrap();
    let (customer, store, product) = (
        choose(&["1", "2", "3", "4"]),
        choose(&["1", "2"]),
        choose(&["1", "2", "3"]),
    );
    let order = choose(&[
        "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12",
    ]);
    match choose(&[
        "order", "order", "order", "order", "level", "customer", "status", "delete",
    ]) {
        "order" => {
            let customer = choose(&[customer, customer, customer, customer, "null", "99"]);
            let quantity = choose(&["1", "2", "3", "0", "-1", "null"]);
            let price = choose(&[
                "2.50",
                "2.50",
                "2.50",
                "0.000001",
                "'NaN'",
                "'Infinity'",
                "0.0000001",
            ]);
            let status = choose(&[
                "'placed'",
                "'paid'",
                "'Cancelled'",
                "null",
                "'cancelled'",
                "'returned'",
            ]);
            let placed = choose(&[
                "now() - random() * interval '2 days'",
                "now() - random() * interval '9 days'",
                "now() - random() * interval '30 days'",
                "date_trunc('hour', now()) - interval '5 days'",
                "now() + interval '3 hours'",
                "'infinity'",
                "'-infinity'",
                "null",
            ]);
            format!("insert into orders select coalesce(max(order_id), 0) + 1, {customer}, {store}, {product}, {quantity},
                         {price}, {status}, null, {placed} from orders")
        }
        "level" => {
            let level = choose(&["null", "0", "3", "6", "20", "90", "-1"]);
            format!(
                "insert into inventory values ({store}, {product}, {level}, 0)
                     on conflict (store_id, product_id) do update set on_hand = excluded.on_hand"
            )
        }
        "customer" => {
            let (tier, contact) = (
                choose(&["'premium'", "'premium'", "'standard'", "null"]),
                choose(&["true", "false", "null"]),
            );
            format!("insert into customers values ({customer}, {tier}, {contact})
                     on conflict (customer_id) do update set tier = excluded.tier, contact_allowed = excluded.contact_allowed")
        }
        "status" => {
            let status = choose(&["'cancelled'", "'returned'", "'paid'", "null"]);
            format!("update orders set status = {status} where order_id % 12 + 1 = {order}")
        }
        _ => match choose(&["orders", "customers", "inventory"]) {
            "orders" => format!("delete from orders where order_id % 60 = {order}"),
            "customers" => {
                format!("delete from customers where customer_id = {customer} and random() < 0.3")
            }
            _ => format!(
                "delete from inventory where (store_id, product_id) = ({store}, {product}) and random() < 0.3"
            ),
        },
    }
}

/// Rules of every kind; one is over, one has not begun at most moments, one is off.
async fn rules(sink: &Database, rng: &mut ChaCha8Rng) {
    for id in 2..=7 {
        let mut choose = |from: &[i64]| *from.choose(&mut *rng).unwrap();
        let tier = ["premium", "premium", "standard"][usize::try_from(choose(&[0, 1, 2])).unwrap()];
        let sql = format!(
            "insert into promotion_rule
                 (name, tier, habit_orders, habit_window, demand_window, days_of_cover_min, on_hand_min,
                  trigger, enabled, starts_at, ends_at)
             values ('rule {id}', '{tier}', {}, interval '{} days', interval '{} days', {}, {}, '{}',
                     {id} <> 5, case when {id} = 6 then now() + interval '1 day' else '-infinity' end,
                     case when {id} = 7 then now() else 'infinity' end)",
            choose(&[1, 1, 2, 3]),
            choose(&[1, 7, 28]),
            choose(&[1, 7, 14]),
            choose(&[0, 0, 1, 3]),
            choose(&[0, 1, 5]),
            if id == 3 { "intent" } else { "stock" },
        );
        sink.batch_execute(&sql).await.unwrap();
    }
}

async fn judge(
    shop: &Shop,
    sink: &Database,
    at: Timestamp,
    name: &str,
    cases: &mut BTreeMap<&'static str, i64>,
) {
    let settings = settings(&shop.config());
    let policy = Policy {
        at: Some(at),
        ..Policy::new(&settings.retail)
    };
    let connection = &settings.sink.as_ref().unwrap().connection;
    let mut sweeper = Sweeper::connect(connection, policy.clone()).await.unwrap();
    sweeper.evaluate().await.unwrap();
    let options = Options {
        day: Day::Today,
        at: Some(at),
    };
    let summary = Box::pin(batch::run(&settings, &options)).await.unwrap();

    let figures =
        "concat_ws(' ', rule_id, customer_id, store_id, product_id, on_hand, t.units, hours,
                             t.last_at, contact_allowed)";
    let stream = format!(
        "select {figures} from promotion_eligibility e
         join promotion_condition using (rule_id, store_id, product_id)
         join customer_image using (customer_id)
         join (select customer_id, store_id, product_id, last_at from purchase_habit) t
             using (customer_id, store_id, product_id) order by 1"
    )
    .replace("t.units", "units");
    let streamed = texts(sink, &stream).await;
    let batched = texts(
        sink,
        &format!("select {figures} from batch_eligibility t order by 1"),
    )
    .await;
    assert_eq!(batched, streamed, "{name}");
    assert_eq!(summary.tuples, streamed.len() as u64, "{name}");

    let eligible: BTreeSet<String> = texts(
        sink,
        "select concat_ws(' ', rule_id, customer_id, store_id, product_id)
                                                  from promotion_eligibility",
    )
    .await
    .into_iter()
    .collect();
    let (explained, refused) = explained(connection, &policy).await;
    assert_eq!(explained, eligible, "{name}");
    *cases.entry("eligible").or_default() += i64::try_from(eligible.len()).unwrap();
    *cases.entry("explained and not eligible").or_default() += refused;

    // The day is what the stream's hours of it are.
    let day = format!("'{}'", summary.day);
    let hours = format!(
        "select concat_ws(' ', store_id, product_id, sum(units), sum(revenue)) from sales_hourly
         where (hour at time zone 'UTC')::date = {day} and orders > 0 group by store_id, product_id order by 1"
    );
    let daily = format!(
        "select concat_ws(' ', store_id, product_id, d.units, d.revenue) from inventory_daily d
         where day = {day} and exists (
             select from sales_hourly s where (s.store_id, s.product_id) = (d.store_id, d.product_id)
               and (hour at time zone 'UTC')::date = {day} and orders > 0) order by 1"
    );
    let sold = texts(sink, &hours).await;
    *cases.entry("sold today").or_default() += i64::try_from(sold.len()).unwrap();
    assert_eq!(texts(sink, &daily).await, sold, "{name}");
    let total = format!(
        "select coalesce(sum(units), 0)::text from sales_hourly where (hour at time zone 'UTC')::date = {day}"
    );
    assert_eq!(
        texts(sink, &total).await,
        [summary.units.to_string()],
        "{name}"
    );
    let levels = "select concat_ws(' ', store_id, product_id, on_hand) from inventory_image where on_hand is not null order by 1";
    let closing = format!(
        "select concat_ws(' ', store_id, product_id, closing) from inventory_daily where day = {day} and closing is not null order by 1"
    );
    assert_eq!(
        texts(sink, &closing).await,
        texts(sink, levels).await,
        "{name}"
    );
}

/// Every tuple that is explained to be eligible, and how many are not.
async fn explained(
    connection: &tidewater::connection::Connection,
    policy: &Policy,
) -> (BTreeSet<String>, i64) {
    let mut database = tidewater::connection::connect(connection).await.unwrap();
    let statements = Statements::default();
    let (mut eligible, mut refused) = (BTreeSet::new(), 0);
    for (customer_id, store_id, product_id) in
        (1..=4).flat_map(|c| (1..=2).flat_map(move |s| (1..=3).map(move |p| (c, s, p))))
    {
        let question = Question {
            customer_id,
            product_id,
            store_id: Some(store_id),
            rule_id: None,
        };
        let explanation = explain(&mut database, &statements, policy, question)
            .await
            .unwrap();
        for tuple in explanation.tuples {
            if tuple.eligible {
                let rule = tuple.rule_id;
                eligible.insert(format!("{rule} {customer_id} {store_id} {product_id}"));
            } else {
                refused += 1;
            }
        }
    }
    (eligible, refused)
}
