//! The whole way of the example: every kind of change, codes, the batch, the proofs.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tidewater::connection::Database;
use tidewater::retail::batch::{self, Day, Options};
use tidewater::retail::evaluation::Policy;
use tidewater::retail::sweep::Sweeper;
use tidewater::retail::time::Timestamp;

use super::shop::{assert_same, change};
use super::{Wholesale, succeeds, texts, verified};
use crate::commands::streaming;
use crate::model::random::seed;
use crate::support::{Tidewater, until};

const CHANGES: usize = 700;

#[tokio::test]
async fn a_wholesaler_s_tables_are_streamed_and_proved() {
    let seed = seed();
    println!("TIDEWATER_TEST_SEED={seed}");
    let wholesale = Wholesale::open("wholesale").await;
    let config = wholesale.config();
    succeeds(&["migrate"], &config);
    let (source, sink) = (wholesale.source().await, wholesale.sink().await);
    let rule = "update promotion_rule set name = 'class A', tier = 'A', habit_orders = 1, days_of_cover_min = 1";
    sink.batch_execute(rule).await.unwrap();
    let mut process = Tidewater::start(&["run"], &config);
    streaming(&mut process).await;
    live(&source, &mut ChaCha8Rng::seed_from_u64(seed)).await;
    wholesale.applied().await;
    assert_same(&source, &sink, "'X', 'R'").await;

    redeemed(&source, &sink).await;
    wholesale.applied().await;
    assert_same(&source, &sink, "'X', 'R'").await;
    verified(&config);
    let doctor = succeeds(&["doctor"], &config).output;
    for part in [
        "erp.Stock has Depot, Article no., Qty",
        "sales.order_lines has line_no, member_no, depot, article, pieces, price, st, placed, voucher",
        "crm.members has member_no, class, may_write",
        " 0 errors",
    ] {
        assert!(doctor.contains(part), "no {part} in {doctor}");
    }
    let explain = ["rules", "explain", "--customer", "901", "--product", "9"];
    let explained = succeeds(&explain, &config).output;
    assert!(
        explained.contains("store 9, product 9: eligible") && explained.contains("901 is A"),
        "{explained}"
    );
    assert_eq!(process.terminate().code(), Some(0));
    batch_agrees(&config, &sink).await;
}

/// Changes of every kind; each of the tables is emptied once, and filled again.
async fn live(source: &Database, rng: &mut ChaCha8Rng) {
    for index in 0..CHANGES {
        let change = match index {
            100 => "delete from sales.order_lines where depot < 9; \
                    create table kept as table sales.order_lines; truncate sales.order_lines; \
                    insert into sales.order_lines overriding system value table kept; drop table kept"
                .to_owned(),
            150 => "create table kept as select * from erp.\"Stock\" where \"Depot\" = 9; truncate erp.\"Stock\"; \
                    insert into erp.\"Stock\" table kept; drop table kept"
                .to_owned(),
            200 => "truncate crm.members; insert into crm.members values (901, 'keeper', 'A', true)".to_owned(),
            _ => change(rng),
        };
        source
            .batch_execute(&change)
            .await
            .unwrap_or_else(|error| panic!("{change}: {error:?}"));
    }
}

/// A code is issued, redeemed through the voucher's column, freed by a void line and refused on it.
async fn redeemed(source: &Database, sink: &Database) {
    const CODE: &str = "
        select code from promotion where (customer_id, store_id, product_id) = (901, 9, 9) and state = 'dispatched'";
    until("a code to be dispatched", async || {
        texts(sink, CODE).await.len() == 1
    })
    .await;
    let code = texts(sink, CODE).await.remove(0);
    let insert = "insert into sales.order_lines (member_no, depot, article, pieces, price, voucher)
                  values (901, 9, 9, 1, 5, $1) returning line_no";
    let line: i64 = source.query_one(insert, &[&code]).await.unwrap().get(0);
    until("the code to be redeemed", async || {
        let redeemed =
            "select redeemed_order_id::text from promotion where code = $1 and state = 'redeemed'";
        let row = sink.query_opt(redeemed, &[&code]).await.unwrap();
        row.is_some_and(|row| row.get::<_, String>(0) == line.to_string())
    })
    .await;
    let void = "update sales.order_lines set st = 'X' where line_no = $1";
    source.execute(void, &[&line]).await.unwrap();
    until("the void line to be refused", async || {
        let refused = "select order_id || ' ' || reason from promotion_refusal";
        texts(sink, refused).await == [format!("{line} cancelled")]
    })
    .await;
}

/// Batch and stream find the same tuples for one moment, with the same figures.
async fn batch_agrees(config: &str, sink: &Database) {
    let settings = tidewater::config::parse(config, []).unwrap();
    let now = sink.query_one("select clock_timestamp()", &[]).await;
    let at = now.unwrap().get::<_, Timestamp>(0).minute();
    let policy = Policy {
        at: Some(at),
        ..Policy::new(&settings.retail)
    };
    let connection = &settings.sink.as_ref().unwrap().connection;
    let mut sweeper = Sweeper::connect(connection, policy).await.unwrap();
    sweeper.evaluate().await.unwrap();
    let options = Options {
        day: Day::Today,
        at: Some(at),
    };
    Box::pin(batch::run(&settings, &options)).await.unwrap();
    let figures = |units: &str| {
        format!(
            "concat_ws(' ', rule_id, customer_id, store_id, product_id, on_hand, {units}, hours, last_at, \
             contact_allowed)"
        )
    };
    let stream = format!(
        "select {} from promotion_eligibility
         join promotion_condition c using (rule_id, store_id, product_id)
         join customer_image using (customer_id)
         join (select customer_id, store_id, product_id, last_at from purchase_habit) habit
             using (customer_id, store_id, product_id)",
        figures("c.units")
    );
    let batch = format!("select {} from batch_eligibility", figures("units"));
    let streamed = texts(sink, &stream).await;
    println!("{} tuples are eligible", streamed.len());
    assert!(streamed.len() > 1, "{streamed:?}");
    assert!(
        streamed
            .iter()
            .any(|tuple| tuple.starts_with("1 901 9 9 500 ")),
        "{streamed:?}"
    );
    assert_eq!(texts(sink, &batch).await, streamed);
    let levels = "select concat_ws(' ', store_id, product_id, on_hand) from inventory_image where on_hand is not null";
    let closing = "select concat_ws(' ', store_id, product_id, closing) from inventory_daily where closing is not null";
    assert_eq!(texts(sink, closing).await, texts(sink, levels).await);
}
