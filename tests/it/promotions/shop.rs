//! A sink with a small shop in it, written straight into its tables, evaluated at a fixed moment.

use tidewater::config::settings::{Arms, Sink as SinkSettings};
use tidewater::connection::{Connection, Database, connect};
use tidewater::retail::code::Codes;
use tidewater::retail::eligibility::PairCauses;
use tidewater::retail::evaluation::{Evaluation, Policy};
use tidewater::retail::statements::Statements;
use tidewater::retail::time::Timestamp;
use tidewater::retail::touched::{Pair, Touched};
use tokio_postgres::Transaction;

use crate::model::micros;
use crate::support::postgres_database;

/// The moment of every evaluation, within the minute T.
pub(super) const NOW: &str = "2026-11-23T08:30:20.000000Z";

/// A migrated sink.
pub(super) struct Shop {
    pub(super) connection: Connection,
    pub(super) database: Database,
    pub(super) statements: Statements,
    pub(super) policy: Policy,
}

/// Aggregates follow from the images by their plain definitions.
const DERIVE: &str = "
    delete from sales_hourly;
    insert into sales_hourly
    select store_id, product_id, date_trunc('hour', counted_at, 'UTC'),
           count(*) filter (where not cancelled),
           coalesce(sum(quantity) filter (where not cancelled), 0), 0,
           count(*) filter (where cancelled),
           coalesce(sum(quantity) filter (where cancelled), 0), 0
    from order_image where counted_at is not null group by 1, 2, 3;
    delete from purchase_habit;
    insert into purchase_habit
    select customer_id, store_id, product_id, count(*), sum(quantity),
           min(counted_at), max(counted_at)
    from order_image where counted_at is not null and not cancelled and customer_id is not null
    group by 1, 2, 3;
    insert into store_product
    select store_id, product_id from inventory_image
    union select store_id, product_id from order_image
    order by 1, 2
    on conflict do nothing;";

/// Functions that write one row each. Times are relative to `t()`, the whole minute.
const FIXTURES: &str = "
    create function t() returns timestamptz immutable language sql
        return timestamptz '2026-11-23 08:30:00Z';
    create function moment() returns timestamptz immutable language sql
        return timestamptz '2026-11-23 08:30:20Z';
    create function put_level(store bigint, product bigint, units integer) returns void
    language sql as $$
        insert into inventory_image values (store, product, units, '1:0/1:1', t(), t(), 0)
        on conflict (store_id, product_id) do update set on_hand = units $$;
    create function put_customer(customer bigint, tier text, contact boolean default true)
    returns void language sql as $$
        insert into customer_image values (customer, true, tier, contact, '1:0/1:1', t(), 0) $$;
    create function put_order(id bigint, customer bigint, store bigint, product bigint,
                              units integer, at timestamptz) returns void
    language sql as $$
        insert into order_image values
            (id, true, customer, store, product, units, '1', 'paid', null, at::text, at, false,
             '1:0/1:1', t(), 0) $$;
    create function put_code(rule bigint, customer bigint, store bigint, product bigint,
                             at timestamptz, as_state text default 'dispatched',
                             valid_for interval default '24 hours') returns void
    language sql as $$
        insert into promotion
            (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, state,
             discount_percent, issued_at, valid_until)
        select gen_random_uuid(), rule, customer, store, product,
               coalesce(max(cycle), 0) + 1, gen_random_uuid()::text, as_state, 15, at,
               at + valid_for
        from promotion
        where rule_id = rule and customer_id = customer and store_id = store
          and product_id = product $$;
    create function intent() returns void language sql as $$
        update promotion_rule set trigger = 'intent' $$;
    create function put_event(customer bigint, store bigint, product bigint, at timestamptz)
    returns void language sql as $$
        insert into shopper_event
            (event_id, type, customer_id, store_id, product_id, occurred_at, received_at)
        values (gen_random_uuid(),
                case when product is null then 'store_entered' else 'cart_added' end,
                customer, store, product, at, moment()) $$;
    insert into consumer_offset values
        ('orders', 0, 0, gen_random_uuid(), null, moment(), true),
        ('inventory', 0, 0, gen_random_uuid(), null, moment(), true);
    update sink_identity set evaluated_at = t();";

impl Shop {
    /// A sink with the default rule and nothing in it.
    pub(super) async fn open(name: &str) -> Shop {
        let connection = postgres_database(name).await;
        tidewater::retail::migrate(&SinkSettings {
            connection: connection.clone(),
        })
        .await
        .unwrap();
        let database = connect(&connection).await.unwrap();
        database.batch_execute(FIXTURES).await.unwrap();
        Shop {
            connection,
            database,
            statements: Statements::default(),
            policy: policy(),
        }
    }

    /// A shop with one eligible tuple: customer 7, who twice bought one of product 2 in store 1, where
    /// there are plenty.
    pub(super) async fn with_one_eligible_tuple(name: &str) -> Shop {
        let shop = Shop::open(name).await;
        let sql = "
            select put_level(1, 2, 100), put_customer(7, 'premium'),
                   put_order(1, 7, 1, 2, 1, t() - interval '2 days'),
                   put_order(2, 7, 1, 2, 1, t() - interval '9 days')";
        shop.database.batch_execute(sql).await.unwrap();
        shop
    }

    /// Does `change`, evaluates everything, and asks `question`; then all of it is undone.
    pub(super) async fn try_out(&mut self, change: &str, question: Question) -> Vec<String> {
        let transaction = self.database.transaction().await.unwrap();
        transaction.batch_execute(change).await.unwrap();
        derive(&transaction).await;
        let evaluation = evaluate(&transaction, &self.statements, &self.policy).await;
        let sql = match question {
            Question::Conditions => {
                "select format('%s %s/%s units %s hours %s holds %s', rule_id, \
                 store_id, product_id, units, hours, holds) from promotion_condition order by 1"
            }
            Question::Eligible => {
                "select concat_ws(' ', rule_id, customer_id, store_id, product_id) \
                 from promotion_eligibility order by 1"
            }
            Question::Codes => {
                issue(&evaluation).await;
                "select concat_ws(' ', promotion_id, code) from promotion \
                 where issued_at = moment() and state = 'issued' order by 1"
            }
            Question::Issued => {
                issue(&evaluation).await;
                "select concat_ws(' ', rule_id, customer_id, store_id, product_id, cycle) \
                 from promotion where issued_at = moment() and state = 'issued' order by 1"
            }
        };
        let rows = transaction.query(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// What to look at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    Conditions,
    Eligible,
    Issued,
    Codes,
}

async fn issue(evaluation: &Evaluation<'_>) {
    let tuples = evaluation.issuable(1_000).await.unwrap();
    evaluation
        .issue(&tuples, &Touched::default())
        .await
        .unwrap();
}

pub(super) fn policy() -> Policy {
    Policy {
        customer_limit: 2,
        issue_max_lag_seconds: 60.0,
        day_zone: "UTC".to_owned(),
        arms: Arms::default(),
        codes: Codes::new("secret"),
        at: Some(now()),
    }
}

pub(super) fn now() -> Timestamp {
    Timestamp::from_micros(micros(NOW).unwrap())
}

pub(super) async fn derive(transaction: &Transaction<'_>) {
    transaction.batch_execute(DERIVE).await.unwrap();
}

/// Evaluates every pair.
async fn evaluate<'a>(
    transaction: &'a Transaction<'a>,
    statements: &'a Statements,
    policy: &'a Policy,
) -> Evaluation<'a> {
    let evaluation = Evaluation::begin(transaction, statements, policy)
        .await
        .unwrap();
    let pairs = pairs(transaction).await;
    evaluation.write_conditions(&pairs).await.unwrap();
    let causes = PairCauses::by_time(&pairs, &[]);
    evaluation.evaluate_pairs(&causes).await.unwrap();
    evaluation
}

pub(super) async fn pairs(transaction: &Transaction<'_>) -> Vec<Pair> {
    let sql = "select store_id, product_id from store_product order by 1, 2 for update";
    let rows = transaction.query(sql, &[]).await.unwrap();
    let pair = |row: &tokio_postgres::Row| Pair {
        store_id: row.get(0),
        product_id: row.get(1),
    };
    rows.iter().map(pair).collect()
}
