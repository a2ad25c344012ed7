//! Aggregates: hour rows merged by addition, habits counted anew under the pair's lock.

use std::collections::BTreeSet;

use super::super::error::Error;
use super::super::sales::{Sales, SalesDelta};
use super::super::stock::StockHour;
use super::super::touched::{Pair, Touched, Tuple};
use super::images::split;
use super::{Work, column};

const WRITE_HOURS: &str = "
    insert into inventory_hourly as h
        (store_id, product_id, hour, opening, closing, minimum, maximum,
         units_in, units_out, units_adjusted, changes, reads,
         unit_us, stockout_us, tracked_us, last_change_at, position)
    select * from unnest($1::bigint[], $2::bigint[], $3::timestamptz[],
                         $4::integer[], $5::integer[], $6::integer[], $7::integer[],
                         $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[],
                         $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
                         $16::timestamptz[], $17::text[])
    on conflict (store_id, product_id, hour) do update set
        closing = excluded.closing,
        minimum = least(h.minimum, excluded.minimum),
        maximum = greatest(h.maximum, excluded.maximum),
        units_in = h.units_in + excluded.units_in,
        units_out = h.units_out + excluded.units_out,
        units_adjusted = h.units_adjusted + excluded.units_adjusted,
        changes = h.changes + excluded.changes,
        reads = h.reads + excluded.reads,
        unit_us = h.unit_us + excluded.unit_us,
        stockout_us = h.stockout_us + excluded.stockout_us,
        tracked_us = h.tracked_us + excluded.tracked_us,
        last_change_at = excluded.last_change_at,
        position = excluded.position";

const LOCK_SALES: &str = "
    insert into sales_hourly as s
        (store_id, product_id, hour, orders, units, revenue,
         cancelled_orders, cancelled_units, cancelled_revenue)
    select k.store_id, k.product_id, k.hour, 0, 0, 0, 0, 0, 0
    from unnest($1::bigint[], $2::bigint[], $3::timestamptz[])
        as k (store_id, product_id, hour)
    order by k.store_id, k.product_id, k.hour
    on conflict (store_id, product_id, hour) do update set orders = s.orders where false";

const ADD_SALES: &str = "
    update sales_hourly s set
        orders = s.orders + d.orders,
        units = s.units + d.units,
        revenue = s.revenue + d.revenue::numeric,
        cancelled_orders = s.cancelled_orders + d.cancelled_orders,
        cancelled_units = s.cancelled_units + d.cancelled_units,
        cancelled_revenue = s.cancelled_revenue + d.cancelled_revenue::numeric
    from unnest($1::bigint[], $2::bigint[], $3::timestamptz[],
                $4::bigint[], $5::bigint[], $6::text[],
                $7::bigint[], $8::bigint[], $9::text[])
        as d (store_id, product_id, hour, orders, units, revenue,
              cancelled_orders, cancelled_units, cancelled_revenue)
    where s.store_id = d.store_id and s.product_id = d.product_id and s.hour = d.hour";

const REMOVE_SALES: &str = "
    delete from sales_hourly s
    using unnest($1::bigint[], $2::bigint[], $3::timestamptz[])
        as k (store_id, product_id, hour)
    where s.store_id = k.store_id and s.product_id = k.product_id and s.hour = k.hour
      and s.orders = 0 and s.cancelled_orders = 0";

/// Takes the row locks of pairs in key order, and inserts those that are new.
pub(crate) const LOCK_PAIRS: &str = "
    insert into store_product (store_id, product_id)
    select k.store_id, k.product_id
    from unnest($1::bigint[], $2::bigint[]) as k (store_id, product_id)
    order by k.store_id, k.product_id
    on conflict (store_id, product_id) do update set store_id = excluded.store_id
    where false";

/// Key of the lock between changes of customers and changes of habits.
const CUSTOMERS_LOCK: i64 = 0x7469_6465_6375_7374;

impl Work<'_> {
    /// Merges a batch's rows into `inventory_hourly`. A key's hours belong to one partition, so no
    /// other instance writes them.
    pub(in super::super) async fn write_stock_hours(
        &self,
        hours: &[StockHour],
    ) -> Result<(), Error> {
        if hours.is_empty() {
            return Ok(());
        }
        let (stores, products) = split(hours.iter().map(|row| &row.pair));
        let hour: Vec<_> = hours.iter().map(|row| row.hour).collect();
        let level = |read: fn(&StockHour) -> Option<i32>| hours.iter().map(read).collect();
        let levels: [Vec<_>; 4] = [
            level(|row| row.opening),
            level(|row| row.closing),
            level(|row| row.minimum),
            level(|row| row.maximum),
        ];
        let [opening, closing, minimum, maximum] = &levels;
        let sum = |read: fn(&StockHour) -> i64| hours.iter().map(read).collect();
        let sums: [Vec<i64>; 8] = [
            sum(|row| row.units_in),
            sum(|row| row.units_out),
            sum(|row| row.units_adjusted),
            sum(|row| row.changes),
            sum(|row| row.reads),
            sum(|row| row.unit_us),
            sum(|row| row.stockout_us),
            sum(|row| row.tracked_us),
        ];
        let [
            units_in,
            units_out,
            adjusted,
            changes,
            reads,
            unit_us,
            stockout_us,
            tracked_us,
        ] = &sums;
        let last: Vec<_> = hours.iter().map(|row| row.last_change_at).collect();
        let position: Vec<_> = hours.iter().map(|row| row.position).collect();
        self.execute(
            "write inventory_hourly",
            WRITE_HOURS,
            &[
                &stores,
                &products,
                &hour,
                opening,
                closing,
                minimum,
                maximum,
                units_in,
                units_out,
                adjusted,
                changes,
                reads,
                unit_us,
                stockout_us,
                tracked_us,
                &last,
                &position,
            ],
        )
        .await?;
        Ok(())
    }

    /// Adds a batch's deltas to `sales_hourly`. Instances share these rows, so all of them are
    /// locked in key order first (missing ones inserted as zero), then added to, then those that
    /// came to nothing are removed.
    pub(in super::super) async fn write_sales(&self, sales: &Sales) -> Result<(), Error> {
        let rows: Vec<_> = sales.rows().collect();
        if rows.is_empty() {
            return Ok(());
        }
        let (stores, products) = split(rows.iter().map(|(pair, _, _)| pair));
        let hours: Vec<_> = rows.iter().map(|(_, hour, _)| *hour).collect();
        self.execute(
            "lock sales_hourly",
            LOCK_SALES,
            &[&stores, &products, &hours],
        )
        .await?;
        let sum =
            |read: fn(&SalesDelta) -> i64| rows.iter().map(|(_, _, delta)| read(delta)).collect();
        let sums: [Vec<i64>; 4] = [
            sum(|delta| delta.orders),
            sum(|delta| delta.units),
            sum(|delta| delta.cancelled_orders),
            sum(|delta| delta.cancelled_units),
        ];
        let [orders, units, cancelled_orders, cancelled_units] = &sums;
        let revenue: Vec<_> = rows.iter().map(|(_, _, delta)| delta.revenue).collect();
        let cancelled: Vec<_> = rows
            .iter()
            .map(|(_, _, delta)| delta.cancelled_revenue)
            .collect();
        self.execute(
            "add to sales_hourly",
            ADD_SALES,
            &[
                &stores,
                &products,
                &hours,
                orders,
                units,
                &revenue,
                cancelled_orders,
                cancelled_units,
                &cancelled,
            ],
        )
        .await?;
        if rows
            .iter()
            .any(|(_, _, delta)| delta.orders < 0 || delta.cancelled_orders < 0)
        {
            self.execute(
                "clear sales_hourly",
                REMOVE_SALES,
                &[&stores, &products, &hours],
            )
            .await?;
        }
        Ok(())
    }

    /// Takes the row lock of every pair that the batch may evaluate, in key order and in one pass,
    /// inserting the pairs that are new: those it touched, and those where a touched customer has a
    /// habit.
    pub(in super::super) async fn lock_pairs(&self, touched: &Touched) -> Result<(), Error> {
        self.lock_customers(touched).await?;
        let mut pairs: BTreeSet<Pair> = touched.pairs.keys().copied().collect();
        pairs.extend(self.habit_pairs(touched).await?);
        if pairs.is_empty() {
            return Ok(());
        }
        let (stores, products) = split(pairs.iter());
        self.execute("lock store_product", LOCK_PAIRS, &[&stores, &products])
            .await?;
        Ok(())
    }

    /// Keeps batches that change customers and batches that change habits of other instances apart,
    /// from here to the commit. Otherwise one could miss a habit that the other is about to add, and
    /// the other the customer's new tier. It comes before the pairs' locks, so that nobody who holds
    /// one of those waits here.
    async fn lock_customers(&self, touched: &Touched) -> Result<(), Error> {
        const CUSTOMERS: &str = "select pg_advisory_xact_lock($1)";
        const HABITS: &str = "select pg_advisory_xact_lock_shared($1)";
        let sql = if !touched.customers.is_empty() {
            CUSTOMERS
        } else if !touched.tuples.is_empty() {
            HABITS
        } else {
            return Ok(());
        };
        self.query("lock customers and habits", sql, &[&CUSTOMERS_LOCK])
            .await?;
        Ok(())
    }

    async fn habit_pairs(&self, touched: &Touched) -> Result<Vec<Pair>, Error> {
        const SQL: &str = "
            select distinct store_id, product_id from purchase_habit
            where customer_id = any($1::bigint[])";
        if touched.customers.is_empty() {
            return Ok(Vec::new());
        }
        let customers: Vec<i64> = touched.customers.keys().copied().collect();
        let rows = self
            .query("find habits of customers", SQL, &[&customers])
            .await?;
        let pair = |row| {
            Ok(Pair {
                store_id: column(row, "store_id")?,
                product_id: column(row, "product_id")?,
            })
        };
        rows.iter().map(pair).collect()
    }

    /// Counts the habits of the touched tuples anew from the kept images. The pairs' locks are
    /// held, and each statement sees what other instances committed before it. One outer join finds the
    /// counted and the gone: the server expects few rows of an array, and would compare two such sets
    /// row by row.
    pub(in super::super) async fn write_habits(&self, touched: &Touched) -> Result<(), Error> {
        const SQL: &str = "
            with touched as materialized (
                select * from unnest($1::bigint[], $2::bigint[], $3::bigint[])
                    as k (customer_id, store_id, product_id)
            ), counted as materialized (
                select t.customer_id, t.store_id, t.product_id, count(o.order_id) as orders,
                       sum(o.quantity) as units,
                       min(o.counted_at) as first_at, max(o.counted_at) as last_at
                from touched t
                left join order_image o
                  on o.customer_id = t.customer_id and o.store_id = t.store_id
                 and o.product_id = t.product_id
                 and o.counted_at is not null and not o.cancelled
                group by t.customer_id, t.store_id, t.product_id
            ), gone as (
                delete from purchase_habit h using counted c
                where c.orders = 0 and h.customer_id = c.customer_id
                  and h.store_id = c.store_id and h.product_id = c.product_id
            )
            insert into purchase_habit as h
                (customer_id, store_id, product_id, orders, units, first_at, last_at)
            select customer_id, store_id, product_id, orders, units, first_at, last_at
            from counted where orders > 0
            on conflict (customer_id, store_id, product_id) do update set
                orders = excluded.orders, units = excluded.units,
                first_at = excluded.first_at, last_at = excluded.last_at
            where (h.orders, h.units, h.first_at, h.last_at)
                  is distinct from
                  (excluded.orders, excluded.units, excluded.first_at, excluded.last_at)";
        if touched.tuples.is_empty() {
            return Ok(());
        }
        let customers: Vec<_> = touched
            .tuples
            .keys()
            .map(|tuple| tuple.customer_id)
            .collect();
        let (stores, products) = split(touched.tuples.keys().map(|Tuple { pair, .. }| pair));
        self.execute(
            "write purchase_habit",
            SQL,
            &[&customers, &stores, &products],
        )
        .await?;
        Ok(())
    }
}
