//! Sales: what a batch adds to and takes from the rows of `sales_hourly`.

use std::collections::BTreeMap;

use super::money::Money;
use super::order::Contribution;
use super::time::Hour;
use super::touched::Pair;

/// What a batch adds to one row; negative where it takes back more than it adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SalesDelta {
    /// Orders that stand.
    pub orders: i64,
    /// Their units.
    pub units: i64,
    /// Their revenue.
    pub revenue: Money,
    /// Orders cancelled or returned.
    pub cancelled_orders: i64,
    /// Their units.
    pub cancelled_units: i64,
    /// Their revenue.
    pub cancelled_revenue: Money,
}

/// Deltas by key, in key order, which is the order that rows are locked in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sales {
    deltas: BTreeMap<(Pair, Hour), SalesDelta>,
}

impl Sales {
    /// An order's contribution enters.
    pub fn add(&mut self, contribution: &Contribution) {
        let key = (contribution.pair, contribution.placed_at.hour());
        let units = i64::from(contribution.units);
        self.count(
            key,
            contribution.cancelled,
            (1, units, contribution.revenue),
        );
    }

    /// An order's contribution leaves.
    pub fn take_back(&mut self, contribution: &Contribution) {
        let key = (contribution.pair, contribution.placed_at.hour());
        let units = i64::from(contribution.units);
        self.count(
            key,
            contribution.cancelled,
            (-1, -units, contribution.revenue.negated()),
        );
    }

    /// Orders, units and revenue of many contributions to one row leave.
    pub fn take_back_all(
        &mut self,
        pair: Pair,
        hour: Hour,
        cancelled: bool,
        (orders, units, revenue): (i64, i64, Money),
    ) {
        self.count(
            (pair, hour),
            cancelled,
            (-orders, -units, revenue.negated()),
        );
    }

    fn count(
        &mut self,
        key: (Pair, Hour),
        cancelled: bool,
        (orders, units, revenue): (i64, i64, Money),
    ) {
        let delta = self.deltas.entry(key).or_default();
        if cancelled {
            delta.cancelled_orders += orders;
            delta.cancelled_units += units;
            delta.cancelled_revenue = delta.cancelled_revenue.plus(revenue);
        } else {
            delta.orders += orders;
            delta.units += units;
            delta.revenue = delta.revenue.plus(revenue);
        }
    }

    /// The rows that the batch moves, in key order.
    pub fn rows(&self) -> impl Iterator<Item = (Pair, Hour, &SalesDelta)> {
        let moved = |delta: &SalesDelta| *delta != SalesDelta::default();
        self.deltas
            .iter()
            .filter(move |(_, delta)| moved(delta))
            .map(|(&(pair, hour), delta)| (pair, hour, delta))
    }
}

#[cfg(test)]
mod tests {
    use super::super::money::Price;
    use super::super::time::Timestamp;
    use super::*;

    fn contribution(at: i64, cancelled: bool, units: i32) -> Contribution {
        let Ok(Price::Finite(price)) = Price::parse("2.50") else {
            panic!()
        };
        Contribution {
            customer_id: Some(1),
            pair: Pair {
                store_id: 1,
                product_id: 2,
            },
            placed_at: Timestamp::from_micros(at),
            cancelled,
            units,
            revenue: price.times(units).unwrap(),
        }
    }

    #[test]
    fn an_order_that_moves_between_hours_leaves_one_and_enters_the_other() {
        let mut sales = Sales::default();
        sales.take_back(&contribution(0, false, 2));
        sales.add(&contribution(3_600_000_000, true, 3));
        let rows: Vec<_> = sales.rows().map(|(_, _, delta)| *delta).collect();
        assert_eq!((rows[0].orders, rows[0].units), (-1, -2));
        assert_eq!(rows[0].revenue.to_string(), "-5.000000");
        assert_eq!((rows[1].cancelled_orders, rows[1].cancelled_units), (1, 3));
        assert_eq!(rows[1].cancelled_revenue.to_string(), "7.500000");
    }

    #[test]
    fn what_enters_and_leaves_within_a_batch_moves_no_row() {
        let mut sales = Sales::default();
        sales.add(&contribution(0, false, 2));
        sales.take_back(&contribution(0, false, 2));
        assert_eq!(sales.rows().count(), 0);
    }
}
