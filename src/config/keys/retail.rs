//! `[retail]`: the keys of the shop, its aggregates and its codes.

use super::{Key, key};

/// Every key of the section.
pub(super) const KEYS: &[Key] = &[
    key(
        "retail.group",
        "tidewater",
        "1 to 200 characters",
        "consumer group",
    ),
    key(
        "retail.inventory_table",
        "public.inventory",
        "schema.table",
        "source table of stock levels",
    ),
    key(
        "retail.orders_table",
        "public.orders",
        "schema.table",
        "source table of orders",
    ),
    key(
        "retail.customers_table",
        "public.customers",
        "schema.table",
        "source table of customers",
    ),
    key(
        "retail.on_delete",
        "retract",
        "retract, keep",
        "what a deleted order does to the aggregates",
    ),
    key(
        "retail.customer_limit",
        "2",
        "0 to 1000",
        "codes of a customer in 24 hours over all rules",
    ),
    key(
        "retail.issue_max_lag",
        "60s",
        "1s to 5m",
        "no code is issued on state older than this",
    ),
    key(
        "retail.day_zone",
        "UTC",
        "a time zone such as Europe/Berlin",
        "time zone that days begin in",
    ),
    Key {
        secret: true,
        ..key(
            "retail.code_secret",
            "tidewater",
            "1 to 1000 characters",
            "key that codes are made with",
        )
    },
    key(
        "retail.batch_records_max",
        "20000",
        "1 to 1000000",
        "most records of one sink transaction",
    ),
    key(
        "retail.batch_linger",
        "20ms",
        "0ms to 10s",
        "how long the first record of a batch waits for more",
    ),
    key(
        "retail.arms.stream",
        "100",
        "0 to 100",
        "percent of the customers whose codes the stream issues",
    ),
    key(
        "retail.arms.batch",
        "0",
        "0 to 100",
        "percent of the customers whose codes tidewater batch issues",
    ),
    key(
        "retail.arms.holdout",
        "0",
        "0 to 100; the three are 100 in all",
        "percent of the customers who get no code",
    ),
];
