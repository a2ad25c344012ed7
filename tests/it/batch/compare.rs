//! Stream beside batch: every figure against one that was worked out by hand.

use serde_json::{Value, json};
use tidewater::config::settings::Arms;
use tidewater::connection::Database;
use tidewater::retail::arm::{Arm, arm_of};

use super::{BATCH_ARM, migrated};
use crate::commands::{Shop, refused};
use crate::support::{Ended, Tidewater};

const ARMS: Arms = Arms {
    stream: 50,
    batch: 45,
    holdout: 5,
};
const CUSTOMERS: i64 = 60;
/// Twenty days ago the arms got their shares; ten days later ends what the sink has applied.
const BEGINS: &str = "date_trunc('hour', now(), 'UTC') - interval '20 days'";

/// The customers of an arm, in their order.
fn members(arm: Arm) -> Vec<i64> {
    (1..=CUSTOMERS)
        .filter(|id| arm_of(ARMS, *id) == arm)
        .collect()
}

/// Members of stream, batch and holdout buy 3, 2 and 1 units; the first of each buys 6 more. Customers of
/// another tier, cancelled orders and orders of before buy a hundred, which nothing may count.
async fn fill(sink: &Database) {
    let mut orders = Vec::new();
    for (arm, units) in [(Arm::Stream, 3), (Arm::Batch, 2), (Arm::Holdout, 1)] {
        for (place, customer) in members(arm).into_iter().enumerate() {
            orders.push(format!("({customer}, {units}, '1 day'::interval, false)"));
            if place == 0 {
                orders.push(format!("({customer}, 6, '2 days', false)"));
            }
        }
    }
    let [last, ..] = members(Arm::Stream)[..] else {
        panic!("the stream has a customer")
    };
    orders.push(format!("({last}, 100, '3 days', true)"));
    orders.push(format!(
        "({}, 100, '-1 hour', false)",
        members(Arm::Stream)[2]
    ));
    orders.push("(1000, 100, '1 day', false)".to_owned());
    let script = format!(
        "insert into arm_share values ({BEGINS}, 50, 45, 5);
         insert into consumer_offset values
             ('t', 0, 0, gen_random_uuid(), null, {BEGINS} + interval '10 days', true);
         insert into customer_image
             select id, true, case when id < 1000 then 'premium' else 'basic' end, true, '1:0/1:1', now(), 0
             from (select generate_series(1, {CUSTOMERS}) as id union select 1000) c;
         insert into order_image (order_id, present, customer_id, store_id, product_id, quantity,
             unit_price, status, placed_at, counted_at, cancelled, position, effective_at, partition)
             select row_number() over (), true, o.customer_id, 1, 7, o.units, '10', 'paid', '',
                    {BEGINS} + o.after, o.cancelled, '1:0/1:1', now(), 0
             from (values {}) o (customer_id, units, after, cancelled);",
        orders.join(", ")
    );
    sink.batch_execute(&script).await.unwrap();
    let held = members(Arm::Holdout)[0];
    let stock = format!(
        "insert into promotion_condition values
             (1, 1, 7, 100, 14, 168, true), (1, 1, 8, 5, 0, 168, true), (1, 1, 9, 30, 0, 168, true);
         insert into promotion_eligibility
             select 1, c, 1, p, 'time', null, now() from (values ({held}, 8), ({held}, 9)) e (c, p);
         insert into inventory_hourly
             select 1, product, {BEGINS} + hours, opening, closing, 0, 100, greatest(closing - opening, 0),
                    greatest(opening - closing, 0), 0, 1, 0, 0, stockout_us, stockout_us, {BEGINS} + changed,
                    '1:0/1:1'
             from (values (7, '-2 hours'::interval, 4, 0, 0::bigint, '-90 minutes'::interval),
                          (7, '3 hours', 0, 5, 1800000000, '210 minutes'),
                          (8, '1 hour', 4, 0, 0, '75 minutes'))
                 h (product, hours, opening, closing, stockout_us, changed);"
    );
    sink.batch_execute(&stock).await.unwrap();
}

/// Two codes of the stream for product 7, one second and three after their causes, and one for product 8
/// that no change had caused; one of the batch for product 8, eight hours late; one that was withdrawn.
async fn issue(sink: &Database) {
    let (stream, batch) = (members(Arm::Stream), members(Arm::Batch));
    let script = format!(
        "insert into promotion (promotion_id, rule_id, customer_id, store_id, product_id, cycle, code, state,
             discount_percent, issued_at, valid_until, source, caused_at, redeemed_order_id)
         select gen_random_uuid(), 1, customer, 1, product, 1, code, state, 15, {BEGINS} + '12 hours',
                {BEGINS} + interval '36 hours', source, {BEGINS} + interval '12 hours' - late,
                case when state = 'redeemed' then 1 end
         from (values ({}, 7, 'a', 'redeemed', 'stream', '1 second'::interval),
                      ({}, 7, 'b', 'expired', 'stream', '3 seconds'),
                      ({}, 8, 'c', 'dispatched', 'stream', null),
                      ({}, 8, 'd', 'dispatched', 'batch', '8 hours'),
                      ({}, 9, 'e', 'withdrawn', 'stream', '1 hour'))
             p (customer, product, code, state, source, late)",
        stream[0], stream[1], stream[0], batch[0], stream[1]
    );
    sink.batch_execute(&script).await.unwrap();
}

fn compare(config: &str, arguments: &[&str]) -> Ended {
    Tidewater::run(&[&["compare"], arguments].concat(), config)
}

fn report(config: &str, arguments: &[&str]) -> Value {
    let ended = compare(config, &[arguments, &["--json"]].concat());
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    serde_json::from_str(&ended.output).unwrap()
}

/// Mean and variance of what the members buy.
fn demand(arm: Arm, units: f64) -> (f64, f64, f64) {
    let count = members(arm).len() as f64;
    let mean = units + 6.0 / count;
    let variance =
        ((units + 6.0 - mean).powi(2) + (count - 1.0) * (units - mean).powi(2)) / (count - 1.0);
    (count, mean, variance)
}

#[track_caller]
fn close(found: &Value, expected: f64) {
    let found = found.as_f64().unwrap_or(f64::NAN);
    assert!(
        (found - expected).abs() < 0.006,
        "{found}, and not {expected}"
    );
}

async fn filled(name: &str) -> Shop {
    let shop = migrated(name).await;
    let sink = shop.sink().await;
    fill(&sink).await;
    issue(&sink).await;
    shop
}

#[tokio::test]
async fn every_figure_is_the_one_that_was_worked_out_by_hand() {
    let shop = filled("compare").await;
    let report = report(&shop.config(), &[]);
    let arms = report["arms"].as_array().unwrap();
    let (held, held_mean, held_variance) = demand(Arm::Holdout, 1.0);
    for (figures, arm, units) in [
        (&arms[0], Arm::Stream, 3.0),
        (&arms[1], Arm::Batch, 2.0),
        (&arms[2], Arm::Holdout, 1.0),
    ] {
        let (count, mean, variance) = demand(arm, units);
        assert_eq!(figures["arm"], arm.name());
        assert_eq!(figures["customers"], json!(members(arm).len()));
        close(&figures["units_per_customer"], mean);
        if arm != Arm::Holdout {
            close(&figures["uplift_units"], (mean - held_mean) * count);
            let error = 1.96 * count * (variance / count + held_variance / held).sqrt();
            close(&figures["uplift_error_units"], error);
        }
    }
    let counts = |name: &str| json!(arms.iter().map(|arm| arm[name].clone()).collect::<Vec<_>>());
    assert_eq!(counts("percent"), json!([50, 45, 5]));
    assert_eq!(counts("codes"), json!([3, 1, 0]));
    assert_eq!(counts("timed_codes"), json!([2, 1, 0]));
    assert_eq!(counts("redeemed"), json!([1, 0, 0]));
    assert_eq!(
        counts("cause_to_code_p50_seconds"),
        json!([2.0, 28_800.0, null])
    );
    assert_eq!(counts("discount_cost"), json!([4.5, 0.0, 0.0]));
    assert_eq!(counts("products"), json!([2, 1, 1]));
    // 100 − 14 days of 14 units in 168 hours; 5; and 30, of which nobody was told.
    assert_eq!(counts("excess_units"), json!([77, 5, 30]));
    assert_eq!(counts("stockout_hours"), json!([242.25, 238.75, 0.0]));
}

#[tokio::test]
async fn the_models_are_those_that_are_documented() {
    let shop = filled("models").await;
    let report = report(&shop.config(), &["--response", "0.4"]);
    let models = report["models"].as_array().unwrap();
    let half_lives = [Some(1.0), Some(4.0), Some(24.0), None];
    assert_eq!(models.len(), half_lives.len());
    for (model, half_life) in models.iter().zip(half_lives) {
        assert_eq!(model["half_life_hours"].as_f64(), half_life);
        let chance = |hours: f64| 0.4 * half_life.map_or(1.0, |half| 0.5_f64.powf(hours / half));
        let stream = chance(1.0 / 3_600.0) + chance(3.0 / 3_600.0);
        // The first of the stream bought 3 and 6 units, the second 3, for 10 each.
        let units = 4.5 * chance(1.0 / 3_600.0) + 3.0 * chance(3.0 / 3_600.0);
        let arms = model["arms"].as_array().unwrap();
        close(&arms[0]["answers"], stream);
        close(&arms[0]["units"], units);
        close(&arms[0]["discount_cost"], 1.5 * units);
        close(&arms[0]["excess_units"], 72.0 - units + 5.0);
        // Of product 8 nobody of the batch has ever bought any.
        close(&arms[1]["units"], chance(8.0));
        close(&arms[1]["excess_units"], 5.0 - chance(8.0));
    }
}

#[tokio::test]
async fn people_read_it_and_bad_input_is_refused() {
    let shop = filled("compared").await;
    let config = format!("{}{BATCH_ARM}", shop.config());
    let text = compare(&config, &[]).output;
    for expected in [
        "cause to code, half within                     2.0 s               8.0 h                   -",
        "redeemed                                  1 (33.3 %)           0 (0.0 %)                   -",
        "a model, not a measurement: a code that comes at once is answered with a chance of 20 %",
        "half is left after 24 h",
        "interest stays",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("nobody is held out"), "{text}");
    for (arguments, part) in [
        (
            ["compare", "--since", "2000-01-01T00:00:00Z"],
            "the shares of the arms changed at 2",
        ),
        (
            ["compare", "--since", "yesterday"],
            "a moment in UTC is written like ",
        ),
        (
            ["compare", "--response", "1.5"],
            "a share is a number from 0 to 1",
        ),
    ] {
        refused(&arguments, &config, 2, &[part]);
    }
    refused(
        &["compare"],
        &shop.source_config(),
        2,
        &["the configuration has no [sink]"],
    );

    let alone = migrated("alone").await;
    let text = compare(&alone.config(), &[]).output;
    assert!(text.contains("nobody is held out"), "{text}");
    assert!(
        text.contains("one of stream and batch has no customers"),
        "{text}"
    );
}
