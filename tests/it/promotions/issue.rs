//! Every condition of issuing, on both sides of its boundary, and the order in which limits bite.

use super::shop::{Question, Shop};

/// What is changed in a shop whose only tuple gets a code, and the cycle of the code that it then gets.
const CASES: &[(&str, Option<i32>)] = &[
    ("select", Some(1)),
    // Eligible, under a rule of trigger stock that runs.
    ("update customer_image set tier = 'standard'", None),
    ("update promotion_rule set trigger = 'intent'", None),
    // Due: an event of the customer in the store, about the product or about none, in (now - intent_window, now + 1 min].
    ("select intent(), put_event(7, 1, 2, moment())", Some(1)),
    ("select intent(), put_event(7, 1, null, moment())", Some(1)),
    ("select intent(), put_event(7, 1, 3, moment())", None),
    ("select intent(), put_event(7, 2, 2, moment())", None),
    ("select intent(), put_event(8, 1, 2, moment())", None),
    (
        "select intent(), put_event(7, 1, 2, moment() - interval '15 minutes')",
        None,
    ),
    (
        "select intent(), put_event(7, 1, 2, moment() - interval '15 minutes' + interval '1 us')",
        Some(1),
    ),
    (
        "select intent(), put_event(7, 1, null, moment() + interval '1 minute')",
        Some(1),
    ),
    (
        "select intent(), put_event(7, 1, null, moment() + interval '1 minute 1 us')",
        None,
    ),
    // One about the store that has made a code due makes no other due; one about the product may.
    (
        "select intent(), put_event(7, 1, null, moment()); update shopper_event set promotion_id = gen_random_uuid()",
        None,
    ),
    // The customer may be contacted.
    ("update customer_image set contact_allowed = false", None),
    // No live code: now <= valid_until. Without a cooldown, so that only this decides.
    (
        "update promotion_rule set cooldown = '0'; select put_code(1, 7, 1, 2, moment() - interval '1 hour', 'dispatched', '1 hour')",
        None,
    ),
    (
        "update promotion_rule set cooldown = '0'; select put_code(1, 7, 1, 2, moment() - interval '1 hour', 'issued', '1 hour')",
        None,
    ),
    (
        "update promotion_rule set cooldown = '0'; select put_code(1, 7, 1, 2, moment() - interval '1 hour', 'dispatched', '59 minutes 59.999999 seconds')",
        Some(2),
    ),
    (
        "update promotion_rule set cooldown = '0'; select put_code(1, 7, 1, 2, moment() - interval '1 hour', 'redeemed', '1 day')",
        Some(2),
    ),
    // The last one is older than cooldown, from issued_at.
    (
        "select put_code(1, 7, 1, 2, moment() - interval '72 hours')",
        None,
    ),
    (
        "select put_code(1, 7, 1, 2, moment() - interval '72 hours 1 us')",
        Some(2),
    ),
    // last_at <= now - rest_after_order.
    (
        "update order_image set counted_at = moment() - interval '24 hours' where order_id = 1",
        Some(1),
    ),
    (
        "update order_image set counted_at = moment() - interval '24 hours' + interval '1 us' where order_id = 1",
        None,
    ),
    (
        "select put_order(3, 7, 1, 2, 1, t() + interval '1 day')",
        None,
    ),
    ("select put_order(3, 7, 1, 3, 1, t())", Some(1)),
    // Fewer than codes_max codes since the last order: those with issued_at > last_at.
    (
        "update order_image set counted_at = t() - interval '20 days'; select put_code(1, 7, 1, 2, t() - interval '10 days'), put_code(1, 7, 1, 2, t() - interval '5 days')",
        None,
    ),
    (
        "update order_image set counted_at = t() - interval '10 days'; select put_code(1, 7, 1, 2, t() - interval '10 days'), put_code(1, 7, 1, 2, t() - interval '5 days')",
        Some(3),
    ),
    // Withdrawn codes raise the cycle and count for nothing else.
    (
        "update order_image set counted_at = t() - interval '20 days'; select put_code(1, 7, 1, 2, t() - interval '10 days', 'withdrawn'), put_code(1, 7, 1, 2, t() - interval '5 days')",
        Some(3),
    ),
    (
        "select put_code(1, 7, 1, 2, moment() - interval '1 second', 'withdrawn')",
        Some(2),
    ),
    // Another tuple's codes are no cooldown of this one.
    (
        "insert into promotion_rule (rule_id, name) values (2, 'other'); update promotion_rule set enabled = rule_id = 1; select put_code(2, 7, 1, 2, moment() - interval '30 hours')",
        Some(1),
    ),
    // The rule's codes of the day.
    ("update promotion_rule set daily_limit = 0", None),
    ("update promotion_rule set daily_limit = 1", Some(1)),
    (
        "update promotion_rule set daily_limit = 1; select put_code(1, 9, 9, 9, '2026-11-23 00:00:00Z', 'expired')",
        None,
    ),
    (
        "update promotion_rule set daily_limit = 1; select put_code(1, 9, 9, 9, '2026-11-22 23:59:59.999999Z', 'expired')",
        Some(1),
    ),
    (
        "update promotion_rule set daily_limit = 1; select put_code(1, 9, 9, 9, t(), 'withdrawn')",
        Some(1),
    ),
    (
        "insert into promotion_rule (rule_id, name, enabled) values (2, 'other', false); update promotion_rule set daily_limit = 1; select put_code(2, 9, 9, 9, t(), 'expired')",
        Some(1),
    ),
    // The customer's codes of 24 hours, over all rules.
    (
        "select put_code(1, 7, 8, n, moment() - interval '23:59:59.999999') from generate_series(1, 2) n",
        None,
    ),
    (
        "select put_code(1, 7, 8, n, moment() - interval '24 hours', 'expired') from generate_series(1, 2) n",
        Some(1),
    ),
    (
        "select put_code(1, 7, 8, n, moment(), 'withdrawn') from generate_series(1, 2) n",
        Some(1),
    ),
    (
        "select put_code(1, 7, 8, n, moment(), 'redeemed') from generate_series(1, 2) n",
        None,
    ),
    (
        "insert into promotion_rule (rule_id, name, enabled) values (2, 'other', false); select put_code(1, 7, 8, 1, t()), put_code(2, 7, 8, 2, t())",
        None,
    ),
    ("select put_code(1, 7, 8, 1, t())", Some(1)),
    // Live codes of the pair stay within the excess: (100 * 168 - 24 * 14 * 1) / 168 = 98.
    (
        "select put_code(1, n, 1, 2, t()) from generate_series(101, 197) n",
        Some(1),
    ),
    (
        "select put_code(1, n, 1, 2, t()) from generate_series(101, 198) n",
        None,
    ),
    (
        "select put_code(1, n, 1, 2, t(), 'expired') from generate_series(101, 198) n",
        Some(1),
    ),
    (
        "select put_code(1, n, 1, 3, t()) from generate_series(101, 198) n",
        Some(1),
    ),
    // Eligible without excess: exactly the days of cover.
    (
        "update promotion_rule set on_hand_min = 0; select put_level(1, 2, 2)",
        None,
    ),
    (
        "update promotion_rule set on_hand_min = 0; select put_level(1, 2, 3)",
        Some(1),
    ),
    // 3 * 167 - 24 * 14 * 1 = 165, less than one unit in 167 hours.
    (
        "delete from order_image where order_id = 2; select put_order(2, 7, 1, 2, 0, t() - interval '9 days'); update order_image set counted_at = '2026-11-16 09:00:00Z' where order_id = 1; update promotion_rule set on_hand_min = 0; select put_level(1, 2, 3)",
        None,
    ),
];

#[tokio::test]
async fn every_condition_of_issuing_turns_at_its_boundary() {
    let mut shop = Shop::with_one_eligible_tuple("issue").await;
    for (change, cycle) in CASES {
        let found = shop.try_out(change, Question::Issued).await;
        let expected: Vec<String> = cycle
            .iter()
            .map(|cycle| format!("1 7 1 2 {cycle}"))
            .collect();
        assert_eq!(found, expected, "after: {change}");
    }
}

#[tokio::test]
async fn days_begin_in_their_zone() {
    let mut shop = Shop::with_one_eligible_tuple("zone").await;
    let change = "update promotion_rule set daily_limit = 1;
                  select put_code(1, 9, 9, 9, '2026-11-22 23:30:00Z', 'expired')";
    assert_eq!(shop.try_out(change, Question::Issued).await.len(), 1);
    shop.policy.day_zone = "Europe/Berlin".to_owned();
    assert!(shop.try_out(change, Question::Issued).await.is_empty());
}

/// Four customers who bought twice of four products, all premium, each product with another excess.
const FOUR: &str = "
    delete from order_image; delete from inventory_image; delete from customer_image;
    select put_customer(n, 'premium'), put_level(1, n, 10 * n::integer)
    from generate_series(1, 4) n;
    select put_order(c * 100 + p * 10 + n, c, 1, p, 0, t() - interval '2 days' - c * interval '1 hour')
    from generate_series(1, 4) c, generate_series(1, 4) p, generate_series(1, 2) n;";

#[tokio::test]
async fn limits_bite_in_the_order_of_issue() {
    let mut shop = Shop::with_one_eligible_tuple("order").await;
    let mut check = async |change: &str, expected: &[&str]| {
        let change = format!("{FOUR} {change}");
        let found = shop.try_out(&change, Question::Issued).await;
        assert_eq!(found, expected, "after: {change}");
    };
    // Excess 40 of product 4 first; of equal excess the customer whose last order is the oldest.
    check("update promotion_rule set daily_limit = 1", &["1 4 1 4 1"]).await;
    check(
        "update promotion_rule set daily_limit = 3",
        &["1 2 1 4 1", "1 3 1 4 1", "1 4 1 4 1"],
    )
    .await;
    // Equal in both: by customer.
    check(
        "update order_image set counted_at = t() - interval '2 days'; update promotion_rule set daily_limit = 2",
        &["1 1 1 4 1", "1 2 1 4 1"],
    )
    .await;
    // Two of each customer: the two products with most excess.
    check(
        "select",
        &[
            "1 1 1 3 1",
            "1 1 1 4 1",
            "1 2 1 3 1",
            "1 2 1 4 1",
            "1 3 1 3 1",
            "1 3 1 4 1",
            "1 4 1 3 1",
            "1 4 1 4 1",
        ],
    )
    .await;
    // Room for two codes on product 4, so that the others take product 3 and 2.
    check(
        "select put_code(1, n, 1, 4, t()) from generate_series(101, 138) n",
        &[
            "1 1 1 2 1",
            "1 1 1 3 1",
            "1 2 1 2 1",
            "1 2 1 3 1",
            "1 3 1 3 1",
            "1 3 1 4 1",
            "1 4 1 3 1",
            "1 4 1 4 1",
        ],
    )
    .await;
}

#[tokio::test]
async fn codes_and_ids_follow_from_the_tuple() {
    let mut shop = Shop::with_one_eligible_tuple("code").await;
    shop.database
        .batch_execute(
            "update sink_identity set namespace = '6ba7b812-9dad-11d1-80b4-00c04fd430c8'",
        )
        .await
        .unwrap();
    let id = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, b"[1,7,1,2,1]");
    let [first, second] = [0, 1].map(|attempt| shop.policy.codes.code(&id, attempt));
    let found = shop.try_out("select", Question::Codes).await;
    assert_eq!(found, [format!("{id} {first}")]);
    // Another promotion has the code already: the id's next one is taken instead.
    let change = format!(
        "insert into promotion values (gen_random_uuid(), 1, 9, 9, 9, 1, '{first}', 'expired', 15, \
         t() - interval '9 days', null, t(), null, null)"
    );
    let found = shop.try_out(&change, Question::Codes).await;
    assert_eq!(found, [format!("{id} {second}")]);
}
