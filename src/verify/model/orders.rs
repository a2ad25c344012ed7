//! Orders: last images, and what they add up to when they are grouped.

use std::collections::HashMap;

use super::super::history::{Action, Cause, Entry, Keyed};
use super::sent::Sent;
use super::time::{self, Moment};
use super::{Change, HOUR_US, or_last};
use crate::config::mapping::Mapping;
use crate::event::Position;

/// Last image of one order, its columns as the source wrote them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// Who bought.
    pub customer: Option<i64>,
    /// Where.
    pub store: Option<i64>,
    /// What.
    pub product: Option<i64>,
    /// How many.
    pub quantity: Option<i32>,
    /// The source's digits.
    pub unit_price: Option<String>,
    /// The source's text.
    pub status: Option<String>,
    /// Whether the owner of the table calls that cancelled or returned.
    pub cancelled: bool,
    /// Code the order carries.
    pub promotion_code: Option<String>,
    /// The event's text, `infinity` included.
    pub placed_at: Option<String>,
    /// Deleted at the source, and kept in the aggregates because the shop purges old orders.
    pub purged: bool,
}

/// What an order adds to the aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Store.
    pub store: i64,
    /// Product.
    pub product: i64,
    /// Units.
    pub units: i64,
    /// Units × price, in millionths.
    pub revenue_micros: i128,
    /// When it was placed.
    pub placed_us: i64,
}

/// One row of `sales_hourly`; its key is store, product and hour. Revenues are in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SalesHour {
    /// Orders neither cancelled nor returned.
    pub orders: i64,
    /// Their units.
    pub units: i64,
    /// Their revenue.
    pub revenue_micros: i128,
    /// Orders cancelled or returned.
    pub cancelled_orders: i64,
    /// Their units.
    pub cancelled_units: i64,
    /// Their revenue.
    pub cancelled_revenue_micros: i128,
}

/// One row of `purchase_habit`; its key is customer, store and product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Habit {
    /// Uncancelled orders.
    pub orders: i64,
    /// Their units.
    pub units: i64,
    /// The first one's `placed_at`.
    pub first_us: i64,
    /// The last one's `placed_at`.
    pub last_us: i64,
}

impl Order {
    /// Neither cancelled nor returned.
    pub fn uncancelled(&self) -> bool {
        !self.cancelled
    }

    /// When it was placed; `None` when that is null or infinite.
    pub fn placed_us(&self) -> Option<i64> {
        match time::parse(self.placed_at.as_deref()?)? {
            Moment::At(placed_us) => Some(placed_us),
            Moment::Infinite => None,
        }
    }

    /// What it adds to the aggregates; `None` when a part it needs is null or not finite.
    pub fn counted(&self) -> Option<Counted> {
        let (store, product) = (self.store?, self.product?);
        let units = i64::from(self.quantity?);
        let price = price_micros(self.unit_price.as_deref()?)?;
        let placed_us = self.placed_us()?;
        let revenue_micros = price.checked_mul(i128::from(units)).filter(fits)?;
        Some(Counted {
            store,
            product,
            units,
            revenue_micros,
            placed_us,
        })
    }
}

/// Millionths; `None` for `NaN`, infinities, more than six decimals, and more than 38 digits.
fn price_micros(digits: &str) -> Option<i128> {
    let (magnitude, sign) = digits
        .strip_prefix('-')
        .map_or((digits, 1), |rest| (rest, -1));
    let (whole, decimals) = magnitude.split_once('.').unwrap_or((magnitude, ""));
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if decimals.len() > 6 || whole.is_empty() || !plain(whole) || !plain(decimals) {
        return None;
    }
    let micros = format!("{whole}{decimals:0<6}")
        .parse::<i128>()
        .ok()
        .filter(fits)?;
    Some(sign * micros)
}

/// Whether an amount in millionths fits numeric(38,6).
fn fits(micros: &i128) -> bool {
    micros.unsigned_abs() < 10_u128.pow(38)
}

/// Every order ever seen.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    orders: Keyed<i64, Order>,
    keep_deleted: bool,
}

struct After {
    customer_id: Option<Option<i64>>,
    store_id: Option<Option<i64>>,
    product_id: Option<Option<i64>>,
    quantity: Option<Option<i32>>,
    unit_price: Option<Option<String>>,
    status: Option<Option<String>>,
    promotion_code: Option<Option<String>>,
    placed_at: Option<Option<String>>,
}

impl After {
    fn read(sent: &Sent<'_>) -> Result<After, String> {
        let after = After {
            customer_id: sent.integer("customer_id")?,
            store_id: sent.integer("store_id")?,
            product_id: sent.integer("product_id")?,
            quantity: sent.integer("quantity")?,
            unit_price: sent.text("unit_price")?,
            status: sent.text("status")?,
            promotion_code: sent.text("promotion_code")?,
            placed_at: sent.text("placed_at")?,
        };
        let placed = after.placed_at.as_ref().and_then(Option::as_deref);
        if placed.is_some_and(|text| time::parse(text).is_none()) {
            return Err("the moment of its placement is no timestamp".to_owned());
        }
        Ok(after)
    }

    fn over(&self, last: Option<&Order>, mapping: &Mapping) -> Order {
        let status = or_last(&self.status, last.map(|last| &last.status));
        let of_status = |status: &String| mapping.cancelled.iter().any(|other| other == status);
        Order {
            cancelled: status.as_ref().is_some_and(of_status),
            status,
            customer: or_last(&self.customer_id, last.map(|last| &last.customer)),
            store: or_last(&self.store_id, last.map(|last| &last.store)),
            product: or_last(&self.product_id, last.map(|last| &last.product)),
            quantity: or_last(&self.quantity, last.map(|last| &last.quantity)),
            unit_price: or_last(&self.unit_price, last.map(|last| &last.unit_price)),
            promotion_code: or_last(&self.promotion_code, last.map(|last| &last.promotion_code)),
            placed_at: or_last(&self.placed_at, last.map(|last| &last.placed_at)),
            purged: false,
        }
    }
}

impl Orders {
    pub(super) fn new(keep_deleted: bool) -> Self {
        Orders {
            orders: Keyed::default(),
            keep_deleted,
        }
    }

    pub(super) fn apply(&mut self, change: &Change<'_>, mapping: &Mapping) -> Result<(), String> {
        let action: Action<i64> = change.keyed(|key| key.id("order_id"))?;
        let after = change.after(After::read)?;
        let keep_deleted = self.keep_deleted;
        let row = |last: Option<&Order>| match &after {
            Some(after) => Some(after.over(last, mapping)),
            None => last.filter(|_| keep_deleted).map(|last| Order {
                purged: true,
                ..last.clone()
            }),
        };
        self.orders
            .apply(change.at, action, row, |_, _, _, _: Cause| ());
        Ok(())
    }

    /// Every key ever seen with its last state.
    pub fn entries(&self) -> impl Iterator<Item = (&i64, &Entry<Order>)> {
        self.orders.entries()
    }

    /// The orders that the source has, and those that it purged and the aggregates keep.
    pub fn present(&self) -> impl Iterator<Item = (&i64, &Order)> {
        let rows = self.orders.rows();
        rows.filter(|(_, order)| !order.purged || order.counted().is_some())
    }

    /// The orders that enter the aggregates.
    pub(super) fn counted(&self) -> impl Iterator<Item = (&Order, Counted)> {
        self.orders
            .rows()
            .filter_map(|(_, order)| Some((order, order.counted()?)))
    }

    /// The rows of `sales_hourly` by store, product and hour.
    pub fn sales(&self) -> HashMap<[i64; 3], SalesHour> {
        let mut hours: HashMap<[i64; 3], SalesHour> = HashMap::new();
        for (order, counted) in self.counted() {
            let hour = counted.placed_us.div_euclid(HOUR_US) * HOUR_US;
            let row = hours
                .entry([counted.store, counted.product, hour])
                .or_default();
            if order.uncancelled() {
                row.orders += 1;
                row.units += counted.units;
                row.revenue_micros += counted.revenue_micros;
            } else {
                row.cancelled_orders += 1;
                row.cancelled_units += counted.units;
                row.cancelled_revenue_micros += counted.revenue_micros;
            }
        }
        hours
    }

    /// The rows of `purchase_habit` by customer, store and product.
    pub fn habits(&self) -> HashMap<[i64; 3], Habit> {
        let mut habits: HashMap<[i64; 3], Habit> = HashMap::new();
        for (order, counted) in self.counted().filter(|(order, _)| order.uncancelled()) {
            let Some(customer) = order.customer else {
                continue;
            };
            let placed = counted.placed_us;
            let row = habits
                .entry([customer, counted.store, counted.product])
                .or_insert(Habit {
                    orders: 0,
                    units: 0,
                    first_us: placed,
                    last_us: placed,
                });
            row.orders += 1;
            row.units += counted.units;
            row.first_us = row.first_us.min(placed);
            row.last_us = row.last_us.max(placed);
        }
        habits
    }

    /// Position of the last streamed change applied from the partition.
    pub fn streamed(&self, partition: i32) -> Option<Position> {
        self.orders.streamed(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_or_nothing() {
        for (digits, micros) in [
            ("12.50", Some(12_500_000)),
            ("-0.000001", Some(-1)),
            ("7", Some(7_000_000)),
            ("0.1234567", None),
            ("NaN", None),
            ("Infinity", None),
            ("-Infinity", None),
            ("", None),
        ] {
            assert_eq!(price_micros(digits), micros, "{digits:?}");
        }
    }
}
