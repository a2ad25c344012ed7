//! One batch, folded in memory: images in, images and rows out. Pure.
//!
//! Changes come in the order in which their partitions have them; how two partitions interleave is
//! of no consequence, since no key is in both.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Keyed, Row, Table};
use super::customer::{Customer, CustomerImage};
use super::field::Field;
use super::habit;
use super::order::{Order, OrderColumns, OrderImage};
use super::partition::PartitionId;
use super::sales::Sales;
use super::sequence::Stamp;
use super::stock::{Effect, Level, Stock, StockHour};
use super::touched::{Pair, Touched, Unsettled};
use crate::event::Position;

/// Keys of a batch, by table.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    /// Pairs whose level changes.
    pub pairs: BTreeSet<Pair>,
    /// Orders.
    pub orders: BTreeSet<i64>,
    /// Customers.
    pub customers: BTreeSet<i64>,
}

impl Keys {
    /// The keys of `changes`.
    pub fn of(changes: &[Keyed]) -> Keys {
        let mut keys = Keys::default();
        for change in changes {
            match change.row {
                Row::Stock(pair, _) => keys.pairs.insert(pair),
                Row::Order(id, _) => keys.orders.insert(id),
                Row::Customer(id, _) => keys.customers.insert(id),
            };
        }
        keys
    }
}

/// The last images of a batch's keys; a key that was never seen has none.
#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Stock levels.
    pub levels: BTreeMap<Pair, Level>,
    /// Orders.
    pub orders: BTreeMap<i64, OrderImage>,
    /// Customers.
    pub customers: BTreeMap<i64, CustomerImage>,
}

/// Last streamed position applied, by partition.
pub type Streamed = BTreeMap<PartitionId, Position>;

/// A batch being folded, and in the end what it writes.
#[derive(Debug)]
pub struct Fold {
    retract_deleted: bool,
    streamed: Streamed,
    stock: BTreeMap<Pair, Stock>,
    hours: Vec<StockHour>,
    orders: BTreeMap<i64, Order>,
    customers: BTreeMap<i64, Customer>,
    sales: Sales,
    touched: Touched,
    repeats: u64,
}

impl Fold {
    /// Begins on the images of the batch's keys. `streamed` is where the partitions stand.
    pub fn new(images: Images, streamed: Streamed, retract_deleted: bool) -> Fold {
        let Images {
            levels,
            orders,
            customers,
        } = images;
        let stock = |(pair, level)| (pair, Stock::new(pair, Some(level)));
        let order = |(id, image)| (id, Order::new(id, Some(image)));
        let customer = |(id, image)| (id, Customer::new(id, Some(image)));
        Fold {
            retract_deleted,
            streamed,
            stock: levels.into_iter().map(stock).collect(),
            hours: Vec::new(),
            orders: orders.into_iter().map(order).collect(),
            customers: customers.into_iter().map(customer).collect(),
            sales: Sales::default(),
            touched: Touched::default(),
            repeats: 0,
        }
    }

    /// Applies one change.
    pub fn apply(&mut self, change: &Keyed) {
        let table = match change.row {
            Row::Stock(..) => Table::Inventory,
            Row::Order(..) => Table::Orders,
            Row::Customer(..) => Table::Customers,
        };
        let partition = PartitionId {
            table,
            partition: change.stamp.partition,
        };
        let mut streamed = self.streamed.get(&partition).copied();
        let effect = match &change.row {
            Row::Stock(pair, level) => self.stock(*pair, *level, &change.stamp, &mut streamed),
            Row::Order(id, row) => self.order(*id, row.as_ref(), &change.stamp, &mut streamed),
            Row::Customer(id, columns) => {
                let customer = self
                    .customers
                    .entry(*id)
                    .or_insert_with(|| Customer::new(*id, None));
                let effect = customer.apply(columns.clone(), &change.stamp, &mut streamed);
                if effect == Effect::Changed {
                    self.touched
                        .customer(*id, change.stamp.position, change.stamp.at);
                }
                effect
            }
        };
        if let Some(position) = streamed {
            self.streamed.insert(partition, position);
        }
        self.repeats += u64::from(effect == Effect::Repeat);
    }

    fn stock(
        &mut self,
        pair: Pair,
        level: Option<Field<i32>>,
        stamp: &Stamp,
        streamed: &mut Option<Position>,
    ) -> Effect {
        let stock = self
            .stock
            .entry(pair)
            .or_insert_with(|| Stock::new(pair, None));
        let mut on_hand = None;
        if let Some(level) = level {
            on_hand = stock.on_hand();
            level.write(&mut on_hand);
        }
        let effect = stock.apply(on_hand, stamp, streamed, &mut self.hours);
        if effect == Effect::Changed {
            self.touched.stock(pair, stamp.position, stamp.at);
        }
        effect
    }

    fn order(
        &mut self,
        order_id: i64,
        columns: Option<&OrderColumns>,
        stamp: &Stamp,
        streamed: &mut Option<Position>,
    ) -> Effect {
        let order = self
            .orders
            .entry(order_id)
            .or_insert_with(|| Order::new(order_id, None));
        let (effect, moved) = order.apply(columns.cloned(), stamp, streamed, self.retract_deleted);
        if let Some(before) = &moved.before {
            self.sales.take_back(before);
        }
        if let Some(after) = &moved.after {
            self.sales.add(after);
        }
        habit::touch(&moved, stamp, &mut self.touched);
        effect
    }

    /// Levels to write, in key order.
    pub fn levels(&self) -> Vec<(Pair, &Level)> {
        self.stock.values().filter_map(Stock::changed).collect()
    }

    /// Rows to merge into `inventory_hourly`.
    pub fn hours(&self) -> &[StockHour] {
        &self.hours
    }

    /// Orders to write, in key order.
    pub fn orders(&self) -> Vec<(i64, &OrderImage)> {
        self.orders.values().filter_map(Order::changed).collect()
    }

    /// Customers to write, in key order.
    pub fn customers(&self) -> Vec<(i64, &CustomerImage)> {
        self.customers
            .values()
            .filter_map(Customer::changed)
            .collect()
    }

    /// Deltas to add to `sales_hourly`.
    pub fn sales(&self) -> &Sales {
        &self.sales
    }

    /// What was touched.
    pub fn touched(&self) -> &Touched {
        &self.touched
    }

    /// Orders whose redemption, or refusal, may have turned.
    pub fn unsettled(&self) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for (order_id, codes) in self.orders.values().filter_map(Order::codes) {
            let mut codes = codes.peekable();
            if codes.peek().is_some() {
                unsettled.orders.push(order_id);
                unsettled.codes.extend(codes.cloned());
            }
        }
        unsettled
    }

    /// Changes that were seen before.
    pub fn repeats(&self) -> u64 {
        self.repeats
    }

    /// Where the partitions stand after it.
    pub fn streamed(&self) -> &Streamed {
        &self.streamed
    }
}
