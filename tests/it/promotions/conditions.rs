//! Every condition of eligibility, on both sides of its boundary.

use super::shop::{Question, Shop};

/// What is changed in a shop whose only tuple is eligible, and whether it then still is.
const CASES: &[(&str, bool)] = &[
    ("select", true),
    // The rule runs: enabled, and starts_at <= T < ends_at, where T is the whole minute.
    ("update promotion_rule set enabled = false", false),
    ("update promotion_rule set starts_at = t()", true),
    (
        "update promotion_rule set starts_at = t() + interval '1 us'",
        false,
    ),
    ("update promotion_rule set ends_at = t()", false),
    (
        "update promotion_rule set ends_at = t() + interval '1 us'",
        true,
    ),
    // The customer's row is present, with the rule's tier exactly.
    ("update customer_image set tier = 'standard'", false),
    ("update customer_image set tier = 'Premium'", false),
    ("update customer_image set tier = null", false),
    ("update customer_image set present = false", false),
    ("delete from customer_image", false),
    ("update promotion_rule set tier = 'standard'", false),
    // Consent belongs to issuing.
    ("update customer_image set contact_allowed = false", true),
    // At least habit_orders uncancelled orders with placed_at > T - habit_window.
    (
        "update order_image set counted_at = t() - interval '28 days' where order_id = 2",
        false,
    ),
    (
        "update order_image set counted_at = t() - interval '28 days' + interval '1 us' where order_id = 2",
        true,
    ),
    (
        "update order_image set counted_at = t() + interval '3 days' where order_id = 2",
        true,
    ),
    (
        "update order_image set cancelled = true where order_id = 2",
        false,
    ),
    (
        "update order_image set counted_at = null where order_id = 2",
        false,
    ),
    (
        "update order_image set customer_id = 8 where order_id = 2",
        false,
    ),
    (
        "update order_image set customer_id = null where order_id = 2",
        false,
    ),
    (
        "update order_image set product_id = 3 where order_id = 2",
        false,
    ),
    (
        "update promotion_rule set habit_orders = 1; delete from order_image where order_id = 2",
        true,
    ),
    ("update promotion_rule set habit_orders = 3", false),
    (
        "update promotion_rule set habit_orders = 3; select put_order(3, 7, 1, 2, 0, t())",
        true,
    ),
    // Two orders within the window, though a hundred older ones exist.
    (
        "select put_order(n, 7, 1, 2, 1, t() - interval '40 days') from generate_series(3, 99) n",
        true,
    ),
    // The level is present and at least on_hand_min.
    ("select put_level(1, 2, null)", false),
    ("delete from inventory_image", false),
    (
        "update promotion_rule set days_of_cover_min = 0; select put_level(1, 2, 5)",
        true,
    ),
    (
        "update promotion_rule set days_of_cover_min = 0; select put_level(1, 2, 4)",
        false,
    ),
    (
        "update promotion_rule set days_of_cover_min = 0, on_hand_min = 0; select put_level(1, 2, 0)",
        true,
    ),
    (
        "update promotion_rule set days_of_cover_min = 0, on_hand_min = 0; select put_level(1, 2, -1)",
        false,
    ),
    // on_hand * H >= 24 * days_of_cover_min * U: with U = 1 in 168 hours two units last 14 days; with
    // U = 10 it takes twenty.
    (
        "update promotion_rule set on_hand_min = 0; select put_level(1, 2, 2)",
        true,
    ),
    (
        "update promotion_rule set on_hand_min = 0; select put_level(1, 2, 1)",
        false,
    ),
    (
        "update order_image set quantity = 10 where order_id = 1; select put_level(1, 2, 20)",
        true,
    ),
    (
        "update order_image set quantity = 10 where order_id = 1; select put_level(1, 2, 19)",
        false,
    ),
    // Products of large numbers do not overflow.
    (
        "update order_image set quantity = 2147483647 where order_id = 1; update promotion_rule set days_of_cover_min = 2147483647; select put_level(1, 2, 2147483647)",
        false,
    ),
    (
        "update promotion_rule set demand_window = '3650 days'; select put_level(1, 2, 2147483647)",
        true,
    ),
];

#[tokio::test]
async fn every_condition_turns_at_its_boundary() {
    let mut shop = Shop::with_one_eligible_tuple("eligible").await;
    for (change, eligible) in CASES {
        let found = shop.try_out(change, Question::Eligible).await;
        let expected: &[&str] = if *eligible { &["1 7 1 2"] } else { &[] };
        assert_eq!(found, expected, "after: {change}");
    }
}

/// U and H of the pair. T is 08:30, so the window of 168 hours begins at 08:00 seven days before.
const DEMAND: &[(&str, &str)] = &[
    ("select", "units 1 hours 168"),
    // The hour in which the window begins counts whole, the one before not at all.
    (
        "update order_image set counted_at = '2026-11-16 08:00:00Z' where order_id = 2",
        "units 2 hours 168",
    ),
    (
        "update order_image set counted_at = '2026-11-16 07:59:59.999999Z' where order_id = 2",
        "units 1 hours 168",
    ),
    // From the first hour with sales on, at least 24 and at most the window.
    (
        "delete from order_image where order_id = 2",
        "units 1 hours 48",
    ),
    (
        "delete from order_image where order_id = 2; update order_image set counted_at = '2026-11-22 07:10:00Z'",
        "units 1 hours 25",
    ),
    (
        "delete from order_image where order_id = 2; update order_image set counted_at = '2026-11-22 08:00:00Z'",
        "units 1 hours 24",
    ),
    (
        "delete from order_image where order_id = 2; update order_image set counted_at = '2026-11-23 08:10:00Z'",
        "units 1 hours 24",
    ),
    (
        "delete from order_image where order_id = 2; update order_image set counted_at = '2026-11-24 08:10:00Z'",
        "units 1 hours 24",
    ),
    (
        "update order_image set counted_at = '2026-11-16 09:00:00Z' where order_id = 2",
        "units 2 hours 167",
    ),
    // The window if there is none: no orders, cancelled ones, and those of no unit.
    ("delete from order_image", "units 0 hours 168"),
    (
        "update order_image set cancelled = true",
        "units 0 hours 168",
    ),
    ("update order_image set quantity = 0", "units 0 hours 168"),
    (
        "update order_image set quantity = 0 where order_id = 2",
        "units 1 hours 48",
    ),
    (
        "update promotion_rule set demand_window = '24 hours'",
        "units 0 hours 24",
    ),
    (
        "update promotion_rule set demand_window = '30 days'",
        "units 2 hours 216",
    ),
];

#[tokio::test]
async fn demand_is_counted_in_whole_hours() {
    let mut shop = Shop::with_one_eligible_tuple("demand").await;
    for (change, demand) in DEMAND {
        let found = shop.try_out(change, Question::Conditions).await;
        assert_eq!(
            found,
            [format!("1 1/2 {demand} holds t")],
            "after: {change}"
        );
    }
}

#[tokio::test]
async fn a_rule_that_does_not_run_has_no_conditions() {
    let mut shop = Shop::with_one_eligible_tuple("idle_rule").await;
    let sql = "insert into promotion_condition values (1, 1, 2, 9, 9, 24, true);
               insert into promotion_eligibility values (1, 7, 1, 2, 'time', null, t());
               update promotion_rule set enabled = false";
    assert!(shop.try_out(sql, Question::Conditions).await.is_empty());
    assert!(shop.try_out(sql, Question::Eligible).await.is_empty());
}

#[tokio::test]
async fn a_rule_that_could_not_be_evaluated_cannot_be_written() {
    let shop = Shop::open("bounds").await;
    for column in ["habit_window", "demand_window"] {
        for window in ["0", "25 hours", "1 month", "1 year", "-1 day", "3651 days"] {
            let sql = format!("update promotion_rule set {column} = '{window}'");
            assert!(shop.database.batch_execute(&sql).await.is_err(), "{sql}");
        }
    }
    for (column, value) in [
        ("valid_for", "0"),
        ("valid_for", "4000 days"),
        ("cooldown", "-1 hour"),
        ("cooldown", "4000 days"),
        ("rest_after_order", "4000 days"),
        ("intent_window", "4000 days"),
        ("trigger", "other"),
        ("starts_at", "null"),
    ] {
        let value = if value == "null" {
            value.to_owned()
        } else {
            format!("'{value}'")
        };
        let sql = format!("update promotion_rule set {column} = {value}");
        assert!(shop.database.batch_execute(&sql).await.is_err(), "{sql}");
    }
}
