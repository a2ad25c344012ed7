//! The sink's rows as the naive model has them.

use std::collections::{BTreeMap, BTreeSet};

use tidewater::connection::Database;
use tokio_postgres::Row;

use crate::model::{Aggregates, Habit, Sales, StockHour, position};

type Key = (i64, i64, i64);

fn key(row: &Row) -> Key {
    (row.get(0), row.get(1), row.get(2))
}

/// A row of keys, three numbers for what was sold and three for what was cancelled.
pub(super) fn sale(row: &Row) -> (Key, Sales) {
    let money = |index| row.get::<_, String>(index).parse().unwrap();
    let sales = Sales {
        orders: row.get(3),
        units: row.get(4),
        revenue: money(5),
        cancelled_orders: row.get(6),
        cancelled_units: row.get(7),
        cancelled_revenue: money(8),
    };
    (key(row), sales)
}

fn hour(row: &Row) -> (Key, StockHour) {
    let hour = StockHour {
        opening: row.get(3),
        closing: row.get(4),
        minimum: row.get(5),
        maximum: row.get(6),
        units_in: row.get(7),
        units_out: row.get(8),
        units_adjusted: row.get(9),
        changes: row.get(10),
        reads: row.get(11),
        unit_us: row.get(12),
        stockout_us: row.get(13),
        tracked_us: row.get(14),
        last_change_at: row.get(15),
        position: position(row.get(16)),
    };
    (key(row), hour)
}

fn habit(row: &Row) -> (Key, Habit) {
    let habit = Habit {
        orders: row.get(3),
        units: row.get(4),
        first_at: row.get(5),
        last_at: row.get(6),
    };
    (key(row), habit)
}

/// All three tables.
pub(super) async fn aggregates(sink: &Database) -> Aggregates {
    let hours = "
        select store_id, product_id, (extract(epoch from hour) * 1000000)::bigint,
               opening::bigint, closing::bigint, minimum::bigint, maximum::bigint,
               units_in, units_out, units_adjusted, changes, reads, unit_us, stockout_us, tracked_us,
               (extract(epoch from last_change_at) * 1000000)::bigint, position
        from inventory_hourly";
    let sales = "
        select store_id, product_id, (extract(epoch from hour) * 1000000)::bigint,
               orders, units, (revenue * 1000000)::numeric(38,0)::text,
               cancelled_orders, cancelled_units, (cancelled_revenue * 1000000)::numeric(38,0)::text
        from sales_hourly";
    let habits = "
        select customer_id, store_id, product_id, orders, units,
               (extract(epoch from first_at) * 1000000)::bigint,
               (extract(epoch from last_at) * 1000000)::bigint
        from purchase_habit";
    Aggregates {
        inventory_hourly: sink
            .query(hours, &[])
            .await
            .unwrap()
            .iter()
            .map(hour)
            .collect(),
        sales_hourly: sink
            .query(sales, &[])
            .await
            .unwrap()
            .iter()
            .map(sale)
            .collect(),
        purchase_habit: sink
            .query(habits, &[])
            .await
            .unwrap()
            .iter()
            .map(habit)
            .collect(),
    }
}

/// Panics with the first rows that differ.
pub(super) fn assert_same(what: &str, naive: &Aggregates, found: &Aggregates) {
    let mut wrong = rows_that_differ(
        "inventory_hourly",
        &naive.inventory_hourly,
        &found.inventory_hourly,
    );
    wrong.extend(rows_that_differ(
        "sales_hourly",
        &naive.sales_hourly,
        &found.sales_hourly,
    ));
    wrong.extend(rows_that_differ(
        "purchase_habit",
        &naive.purchase_habit,
        &found.purchase_habit,
    ));
    let first: Vec<String> = wrong.iter().take(5).cloned().collect();
    assert!(
        wrong.is_empty(),
        "{what}: {} rows differ\n{}",
        wrong.len(),
        first.join("\n")
    );
}

fn rows_that_differ<T: PartialEq + std::fmt::Debug>(
    table: &str,
    naive: &BTreeMap<Key, T>,
    found: &BTreeMap<Key, T>,
) -> Vec<String> {
    let keys: BTreeSet<&Key> = naive.keys().chain(found.keys()).collect();
    keys.into_iter()
        .filter(|key| naive.get(key) != found.get(key))
        .map(|key| {
            format!(
                "{table} {key:?}\n  naive {:?}\n  found {:?}",
                naive.get(key),
                found.get(key)
            )
        })
        .collect()
}

/// Everything that a rebuild derives anew, and the ledger, which it must leave alone, as text.
pub(super) async fn dump(sink: &Database) -> Vec<(&'static str, String)> {
    let mut dump = Vec::new();
    for table in [
        "inventory_hourly",
        "sales_hourly",
        "purchase_habit",
        "promotion",
    ] {
        let sql = format!(
            "select coalesce(string_agg(t::text, e'\n' order by t::text), '') from {table} t"
        );
        dump.push((table, sink.query_one(&sql, &[]).await.unwrap().get(0)));
    }
    dump
}
