//! Random histories: the model behind `verify` and the naive model give the same numbers.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tidewater::event::Position;
use tidewater::verify::model::{Model, Table};
use tidewater::verify::record::{Mark, Record as VerifyRecord};

use crate::model::{self, Aggregates, Habit, History, Record, Sales, StockHour, random};

const HISTORIES: u64 = 2_000;
const EVENTS: usize = 240;
const PARTITIONS: usize = 3;

/// Cases of the rules; a test that never meets one of them proves nothing about it.
pub(crate) const CASES: [&str; 37] = [
    "tombstone",
    "snapshot end",
    "snapshot starts over",
    "truncate",
    "truncate repeated",
    "read below its key",
    "read equal to its key",
    "read above its key",
    "read of a new key",
    "change below its partition",
    "change not above its key",
    "second half of a key change",
    "column not sent",
    "delete",
    "delete of an absent key",
    "key newer than a mark",
    "removed by a mark",
    "removed by a truncate",
    "clock stepped back",
    "read of a known level",
    "level unchanged",
    "level set by a read",
    "level appears",
    "level disappears",
    "level rises",
    "level falls",
    "level null",
    "level zero or less",
    "level changes in several hours",
    "status null",
    "store null",
    "product null",
    "quantity null",
    "price null or not finite",
    "placed_at null or infinite",
    "order cancelled",
    "customer null",
];

#[test]
fn the_model_of_verify_equals_the_naive_model() {
    let seed = random::seed();
    let mut cases: BTreeMap<&'static str, u64> = CASES.iter().map(|case| (*case, 0)).collect();
    for index in 0..HISTORIES {
        let mut rng = ChaCha8Rng::seed_from_u64(seed.wrapping_add(index));
        let inventory = random::inventory(&mut rng, PARTITIONS, EVENTS);
        let orders = random::orders(&mut rng, PARTITIONS, EVENTS);

        let mapping = tidewater::config::parse("", []).unwrap().retail.mapping;
        let mut model = Model::new(false, &mapping);
        for (table, records) in [(Table::Inventory, &inventory), (Table::Orders, &orders)] {
            for record in random::interleaved(random::lanes(records, PARTITIONS), &mut rng) {
                model.apply(table, &borrow(record)).unwrap();
            }
        }
        let (mut levels, mut sold) = (History::of(&inventory), History::of(&orders));
        let naive = Aggregates::of(&mut levels, &mut sold);
        assert_eq!(naive, aggregates(&model), "seed {seed}, history {index}");

        for (case, count) in levels.cases.into_iter().chain(sold.cases) {
            *cases.entry(case).or_default() += count;
        }
    }
    for (case, count) in &cases {
        println!("{count:>8}  {case}");
    }
    let missing: Vec<_> = cases.iter().filter(|(_, count)| **count == 0).collect();
    assert!(missing.is_empty(), "seed {seed}: never met {missing:?}");
}

fn borrow(record: &Record) -> VerifyRecord<'_> {
    VerifyRecord {
        partition: record.partition,
        offset: record.offset,
        key: record.key.as_deref(),
        value: record.value.as_deref(),
        mark: record.header("tidewater.mark").map(|_| Mark {
            position: record.header("tidewater.position").unwrap(),
            time_us: record.header("tidewater.ts_us").unwrap(),
        }),
    }
}

/// The model's rows as the naive model has them.
fn aggregates(model: &Model) -> Aggregates {
    let position = |position: Position| model::position(&position.to_string());
    let level = |level: Option<i32>| level.map(i64::from);
    let hours = model
        .stock
        .hours()
        .iter()
        .map(|(&[store, product, hour], row)| {
            let row = StockHour {
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
                last_change_at: row.last_change_us,
                position: position(row.position),
            };
            ((store, product, hour), row)
        });
    let sales = model
        .orders
        .sales()
        .into_iter()
        .map(|([store, product, hour], row)| {
            let row = Sales {
                orders: row.orders,
                units: row.units,
                revenue: row.revenue_micros,
                cancelled_orders: row.cancelled_orders,
                cancelled_units: row.cancelled_units,
                cancelled_revenue: row.cancelled_revenue_micros,
            };
            ((store, product, hour), row)
        });
    let habits = model
        .orders
        .habits()
        .into_iter()
        .map(|([customer, store, product], row)| {
            let (first_at, last_at) = (row.first_us, row.last_us);
            (
                (customer, store, product),
                Habit {
                    orders: row.orders,
                    units: row.units,
                    first_at,
                    last_at,
                },
            )
        });
    Aggregates {
        inventory_hourly: hours.collect(),
        sales_hourly: sales.collect(),
        purchase_habit: habits.collect(),
    }
}
