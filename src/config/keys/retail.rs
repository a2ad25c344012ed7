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
        "retail.inventory.table",
        "public.inventory",
        "schema.table",
        "source table of stock levels, keyed by store and product",
    ),
    key(
        "retail.inventory.columns.store_id",
        "store_id",
        "the name of a column",
        "its column of the store, in its key",
    ),
    key(
        "retail.inventory.columns.product_id",
        "product_id",
        "the name of a column",
        "its column of the product, in its key",
    ),
    key(
        "retail.inventory.columns.on_hand",
        "on_hand",
        "the name of a column",
        "its column of the level",
    ),
    key(
        "retail.orders.table",
        "public.orders",
        "schema.table",
        "source table of orders, keyed by their id",
    ),
    key(
        "retail.orders.columns.order_id",
        "order_id",
        "the name of a column",
        "its column of the id, its key",
    ),
    key(
        "retail.orders.columns.customer_id",
        "customer_id",
        "the name of a column",
        "its column of who ordered",
    ),
    key(
        "retail.orders.columns.store_id",
        "store_id",
        "the name of a column",
        "its column of the store",
    ),
    key(
        "retail.orders.columns.product_id",
        "product_id",
        "the name of a column",
        "its column of the product",
    ),
    key(
        "retail.orders.columns.quantity",
        "quantity",
        "the name of a column",
        "its column of the units",
    ),
    key(
        "retail.orders.columns.unit_price",
        "unit_price",
        "the name of a column",
        "its column of the price of one",
    ),
    key(
        "retail.orders.columns.status",
        "status",
        "the name of a column",
        "its column of the status",
    ),
    key(
        "retail.orders.columns.placed_at",
        "placed_at",
        "the name of a column",
        "its column of when it was placed",
    ),
    key(
        "retail.orders.columns.promotion_code",
        "promotion_code",
        "the name of a column, or \"\" if there is none",
        "its column of the code that redeems; without one no code is ever redeemed",
    ),
    key(
        "retail.orders.status.cancelled",
        "[\"cancelled\"]",
        "a list of statuses, each exactly as it is in the column",
        "statuses of orders that are cancelled; null and whatever is in neither list counts as sold",
    ),
    key(
        "retail.orders.status.returned",
        "[\"returned\"]",
        "a list of statuses, each exactly as it is in the column",
        "statuses of orders that are returned; null and whatever is in neither list counts as sold",
    ),
    key(
        "retail.customers.table",
        "public.customers",
        "schema.table",
        "source table of customers, keyed by their id",
    ),
    key(
        "retail.customers.columns.customer_id",
        "customer_id",
        "the name of a column",
        "its column of the id, its key",
    ),
    key(
        "retail.customers.columns.tier",
        "tier",
        "the name of a column",
        "its column of what rules have as tier",
    ),
    key(
        "retail.customers.columns.contact_allowed",
        "contact_allowed",
        "the name of a column, or \"\" if there is none",
        "its column of whether codes may be sent; without one they may, to everybody",
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
