//! Random histories through the pure fold, batch after batch, over a sink that is a few maps: the same numbers as
//! the naive model's, wherever the batches are cut.

use std::collections::{BTreeMap, BTreeSet};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::event::Position;
use tidewater::retail::change::{
    Change, Decoder, Keyed, Mark, Record as ReadRecord, Row, Table, Whole, WholeKind,
};
use tidewater::retail::field::Field;
use tidewater::retail::fold::{Fold, Images, Keys, Streamed};
use tidewater::retail::order::OrderImage;
use tidewater::retail::partition::PartitionId;
use tidewater::retail::sequence::{Origin, admit_whole};
use tidewater::retail::stock::{Level, StockHour as HourRow};
use tidewater::retail::touched::{Pair, Tuple};

use crate::histories::CASES;
use crate::model::{self, Aggregates, Habit, History, Record, Sales, StockHour, random};

const HISTORIES: u64 = 2_000;
const EVENTS: usize = 240;
const PARTITIONS: usize = 3;
const BATCH_MAX: usize = 60;

#[test]
fn the_pure_fold_equals_the_naive_model() {
    let seed = random::seed();
    let settings = tidewater::config::parse("", []).unwrap();
    let decoder = Decoder::new(&settings.retail.mapping);
    let mut cases: BTreeMap<&'static str, u64> = CASES.iter().map(|case| (*case, 0)).collect();
    for index in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index));
        let inventory = random::inventory(&mut rng, PARTITIONS, EVENTS);
        let orders = random::orders(&mut rng, PARTITIONS, EVENTS);
        let mut sink = Sink::default();
        let mut batch = Vec::new();
        let mut room = rng.random_range(1..=BATCH_MAX);
        for (table, record) in interleaved(&inventory, &orders, &mut rng) {
            match decoder.read(table, &borrow(record)).unwrap() {
                Some(Change::Keyed(change)) => batch.push(change),
                Some(Change::Whole(change)) => {
                    sink.fold(&std::mem::take(&mut batch));
                    sink.whole(&change);
                }
                None => {}
            }
            if batch.len() >= room {
                sink.fold(&std::mem::take(&mut batch));
                room = rng.random_range(1..=BATCH_MAX);
            }
        }
        sink.fold(&batch);

        let (mut levels, mut sold) = (History::of(&inventory), History::of(&orders));
        let naive = Aggregates::of(&mut levels, &mut sold);
        assert_eq!(naive, sink.aggregates(), "seed {seed}, history {index}");
        for (case, count) in levels.cases.into_iter().chain(sold.cases) {
            *cases.entry(case).or_default() += count;
        }
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
        assert!(*count > 0, "seed {seed}: never met {case}");
    }
}

/// What the sink's tables hold.
#[derive(Default)]
struct Sink {
    levels: BTreeMap<Pair, Level>,
    orders: BTreeMap<i64, OrderImage>,
    streamed: Streamed,
    hours: BTreeMap<(i64, i64, i64), HourRow>,
    sales: BTreeMap<(i64, i64, i64), Sales>,
    habits: BTreeMap<Tuple, Habit>,
}

impl Sink {
    /// Folds a batch, as a transaction of the consumer does.
    fn fold(&mut self, changes: &[Keyed]) {
        let keys = Keys::of(changes);
        let images = Images {
            levels: kept(&self.levels, &keys.pairs),
            orders: kept(&self.orders, &keys.orders),
            customers: BTreeMap::new(),
        };
        let mut fold = Fold::new(images, self.streamed.clone(), true);
        for change in changes {
            fold.apply(change);
        }
        self.streamed = fold.streamed().clone();
        self.levels.extend(
            fold.levels()
                .into_iter()
                .map(|(pair, level)| (pair, *level)),
        );
        let orders = fold.orders().into_iter();
        self.orders
            .extend(orders.map(|(id, image)| (id, image.clone())));
        for row in fold.hours() {
            self.merge(row);
        }
        for (pair, hour, delta) in fold.sales().rows() {
            let key = (pair.store_id, pair.product_id, hour.start().micros());
            let row = self.sales.entry(key).or_default();
            row.orders += delta.orders;
            row.units += delta.units;
            row.revenue += micros(&delta.revenue.to_string());
            row.cancelled_orders += delta.cancelled_orders;
            row.cancelled_units += delta.cancelled_units;
            row.cancelled_revenue += micros(&delta.cancelled_revenue.to_string());
            if (row.orders, row.cancelled_orders) == (0, 0) {
                self.sales.remove(&key);
            }
        }
        for tuple in fold.touched().tuples.keys() {
            self.habits.remove(tuple);
            if let Some(habit) = habit(&self.orders, *tuple) {
                self.habits.insert(*tuple, habit);
            }
        }
    }

    /// Removes the keys of a partition that the change reaches, each as a change of its own.
    fn whole(&mut self, change: &Whole) {
        let id = PartitionId {
            table: change.table,
            partition: change.stamp.partition,
        };
        let mut streamed = self.streamed.get(&id).copied();
        let news = admit_whole(&mut streamed, &change.stamp);
        let marker = (change.kind, change.stamp.origin) == (WholeKind::Truncate, Origin::Read);
        let reached = |partition: i32, position: Position| {
            let limit = change.stamp.position;
            news && partition == change.stamp.partition
                && (position < limit || marker && position == limit)
        };
        let pairs = self
            .levels
            .iter()
            .filter(|(_, level)| reached(level.partition, level.standing.position));
        let orders = self
            .orders
            .iter()
            .filter(|(_, image)| reached(image.partition, image.standing.position));
        let rows: Vec<Row> = match change.table {
            Table::Inventory => pairs
                .map(|(pair, _)| Row::Stock(*pair, Some(Field::Null)))
                .collect(),
            Table::Orders => orders.map(|(id, _)| Row::Order(*id, None)).collect(),
            Table::Customers => Vec::new(),
        };
        let stamp = change.stamp;
        let changes: Vec<Keyed> = rows.into_iter().map(|row| Keyed { stamp, row }).collect();
        self.fold(&changes);
        if let Some(position) = streamed {
            self.streamed.insert(id, position);
        }
    }

    /// Merges an hour's row by addition alone.
    fn merge(&mut self, new: &HourRow) {
        let key = (
            new.pair.store_id,
            new.pair.product_id,
            new.hour.start().micros(),
        );
        let Some(row) = self.hours.get_mut(&key) else {
            self.hours.insert(key, *new);
            return;
        };
        row.closing = new.closing;
        row.minimum = row.minimum.into_iter().chain(new.minimum).min();
        row.maximum = row.maximum.into_iter().chain(new.maximum).max();
        row.units_in += new.units_in;
        row.units_out += new.units_out;
        row.units_adjusted += new.units_adjusted;
        row.changes += new.changes;
        row.reads += new.reads;
        row.unit_us += new.unit_us;
        row.stockout_us += new.stockout_us;
        row.tracked_us += new.tracked_us;
        row.last_change_at = new.last_change_at;
        row.position = new.position;
    }

    /// Its rows as the naive model has them.
    fn aggregates(&self) -> Aggregates {
        let hours = self.hours.iter().map(|(key, row)| (*key, hour(row)));
        let habits = self.habits.iter().map(|(tuple, habit)| {
            let Pair {
                store_id,
                product_id,
            } = tuple.pair;
            ((tuple.customer_id, store_id, product_id), habit.clone())
        });
        Aggregates {
            inventory_hourly: hours.collect(),
            sales_hourly: self.sales.clone(),
            purchase_habit: habits.collect(),
        }
    }
}

fn kept<K: Ord + Copy, V: Clone>(images: &BTreeMap<K, V>, keys: &BTreeSet<K>) -> BTreeMap<K, V> {
    let image = |key: &K| Some((*key, images.get(key)?.clone()));
    keys.iter().filter_map(image).collect()
}

fn habit(orders: &BTreeMap<i64, OrderImage>, tuple: Tuple) -> Option<Habit> {
    let of_tuple = orders
        .values()
        .filter_map(OrderImage::contribution)
        .filter(|order| {
            !order.cancelled
                && order.customer_id == Some(tuple.customer_id)
                && order.pair == tuple.pair
        });
    let mut habit: Option<Habit> = None;
    for order in of_tuple {
        let at = order.placed_at.micros();
        let habit = habit.get_or_insert(Habit {
            orders: 0,
            units: 0,
            first_at: at,
            last_at: at,
        });
        habit.orders += 1;
        habit.units += i64::from(order.units);
        habit.first_at = habit.first_at.min(at);
        habit.last_at = habit.last_at.max(at);
    }
    habit
}

fn hour(row: &HourRow) -> StockHour {
    let level = |level: Option<i32>| level.map(i64::from);
    StockHour {
        opening: level(row.opening),
        closing: level(row.closing),
        minimum: level(row.minimum),
        maximum: level(row.maximum),
        units_in: row.units_in,
        units_out: row.units_out,
        units_adjusted: row.units_adjusted,
        changes: row.changes,
        reads: row.reads,
        unit_us: row.unit_us,
        stockout_us: row.stockout_us,
        tracked_us: row.tracked_us,
        last_change_at: row.last_change_at.micros(),
        position: model::position(&row.position.to_string()),
    }
}

/// Digits with six decimals, as millionths.
fn micros(text: &str) -> i128 {
    text.replace('.', "").parse().unwrap()
}

/// Both tables' records in a random order that keeps each partition's own.
fn interleaved<'a>(
    inventory: &'a [Record],
    orders: &'a [Record],
    rng: &mut ChaCha8Rng,
) -> Vec<(Table, &'a Record)> {
    let lanes = |table: Table, records: &'a [Record]| {
        let lanes = random::lanes(records, PARTITIONS).into_iter();
        lanes.map(move |lane| lane.into_iter().map(|record| (table, record)).collect())
    };
    let both = lanes(Table::Inventory, inventory).chain(lanes(Table::Orders, orders));
    random::interleaved(both.collect(), rng)
}

fn borrow(record: &Record) -> ReadRecord<'_> {
    ReadRecord {
        partition: record.partition,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        mark: record.header("tidewater.mark").map(|name| Mark {
            name: name.as_bytes(),
            position: record.header("tidewater.position").unwrap().as_bytes(),
            at_us: record.header("tidewater.ts_us").unwrap().as_bytes(),
        }),
    }
}
