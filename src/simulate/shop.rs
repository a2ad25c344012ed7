//! The shop's size, and what follows from an id alone: popularity, price, name.

use std::ops::RangeInclusive;

/// How large a shop is. Ids of each kind count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Stores, 1 to [`STORES_MAX`](Size::STORES_MAX).
    pub stores: u32,
    /// Products, 1 to [`PRODUCTS_MAX`](Size::PRODUCTS_MAX).
    pub products: u32,
    /// Customers, 1 to [`CUSTOMERS_MAX`](Size::CUSTOMERS_MAX).
    pub customers: u32,
    /// Weeks of past orders, at most [`WEEKS_MAX`](Size::WEEKS_MAX).
    pub weeks: u32,
}

impl Size {
    /// Most stores: with the most products it makes two million levels, which a process holds in memory.
    pub const STORES_MAX: u32 = 200;
    /// Most products.
    pub const PRODUCTS_MAX: u32 = 10_000;
    /// Most customers: with the most weeks it makes about five million past orders, held in memory
    /// while they are loaded.
    pub const CUSTOMERS_MAX: u32 = 200_000;
    /// Most weeks of past orders.
    pub const WEEKS_MAX: u32 = 26;

    pub(super) fn stores(self) -> RangeInclusive<i64> {
        1..=self.stores.into()
    }

    pub(super) fn products(self) -> RangeInclusive<i64> {
        1..=self.products.into()
    }

    pub(super) fn customers(self) -> RangeInclusive<i64> {
        1..=self.customers.into()
    }
}

impl Default for Size {
    fn default() -> Self {
        Size {
            stores: 8,
            products: 200,
            customers: 20_000,
            weeks: 5,
        }
    }
}

/// Where a product of a store is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pair {
    pub(super) store_id: i64,
    pub(super) product_id: i64,
}

impl Pair {
    /// Zipf: the n-th product sells 1/n as often as the first; stores differ less. Whole numbers, so
    /// that every machine draws the same.
    pub(super) fn popularity(self) -> u64 {
        let rank = |id: i64| u64::try_from(id).unwrap_or(1).max(1);
        let weight = 1_000_000_000_000 / (rank(self.product_id) * (rank(self.store_id) + 2));
        weight.max(1)
    }
}

/// Price of a product in hundredths, 1.99 to 49.98.
pub(super) fn price(product_id: i64) -> i64 {
    199 + (product_id * 7_919).rem_euclid(4_800)
}

/// What replenishment of a shelf aims at: one and a half weeks' sales.
pub(super) fn target_stock(week_units: i32) -> i32 {
    (week_units.saturating_mul(3) / 2).max(4)
}

/// How an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Status {
    Placed,
    Paid,
    Shipped,
    Delivered,
    Cancelled,
    Returned,
}

impl Status {
    /// As the orders table has it.
    pub(super) fn text(self) -> &'static str {
        match self {
            Status::Placed => "placed",
            Status::Paid => "paid",
            Status::Shipped => "shipped",
            Status::Delivered => "delivered",
            Status::Cancelled => "cancelled",
            Status::Returned => "returned",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Status> {
        let all = [
            Status::Placed,
            Status::Paid,
            Status::Shipped,
            Status::Delivered,
            Status::Cancelled,
            Status::Returned,
        ];
        all.into_iter().find(|status| status.text() == text)
    }

    /// Neither cancelled nor returned: it counts as a sale.
    pub(super) fn counts(self) -> bool {
        !matches!(self, Status::Cancelled | Status::Returned)
    }
}

/// Tier of a customer, as the customers table has it.
pub(super) fn tier(premium: bool) -> &'static str {
    if premium { "premium" } else { "standard" }
}
