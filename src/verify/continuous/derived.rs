//! What the sink derives from its images, derived again for a range of stores and products.
//!
//! The statements give the keys that differ; both sides are of one snapshot.

use tokio_postgres::Transaction;

use super::{Chunk, Derived, Range};
use crate::connection::Database;
use crate::verify::Error;
use crate::verify::rows::query;

/// Two branches, since orders that are cancelled are in an index of their own.
const SALES: &str = concat!(
    "
    with counted as (
        select store_id, product_id, counted_at, quantity, unit_price::numeric as price, false as cancelled
        from order_image where counted_at is not null and not cancelled and ",
    in_range!(""),
    "
        union all
        select store_id, product_id, counted_at, quantity, unit_price::numeric, true
        from order_image where counted_at is not null and cancelled and ",
    in_range!(""),
    "
    ), expected as (
        select store_id, product_id, date_trunc('hour', counted_at, 'UTC') as hour,
               count(*) filter (where not cancelled) as orders,
               coalesce(sum(quantity) filter (where not cancelled), 0) as units,
               coalesce(sum(quantity * price) filter (where not cancelled), 0) as revenue,
               count(*) filter (where cancelled) as cancelled_orders,
               coalesce(sum(quantity) filter (where cancelled), 0) as cancelled_units,
               coalesce(sum(quantity * price) filter (where cancelled), 0) as cancelled_revenue
        from counted group by 1, 2, 3
    ), found as (
        select * from sales_hourly where ",
    in_range!(""),
    "
    )
    select format('store_id=%s, product_id=%s, hour=%s', store_id, product_id, hour) as key
    from expected e full join found f using (store_id, product_id, hour)
    where (e.orders, e.units, e.revenue, e.cancelled_orders, e.cancelled_units, e.cancelled_revenue)
          is distinct from
          (f.orders, f.units, f.revenue, f.cancelled_orders, f.cancelled_units, f.cancelled_revenue)"
);

const HABITS: &str = concat!(
    "
    with expected as (
        select customer_id, store_id, product_id, count(*) as orders, sum(quantity) as units,
               min(counted_at) as first_at, max(counted_at) as last_at
        from order_image
        where counted_at is not null and not cancelled and customer_id is not null and ",
    in_range!(""),
    "
        group by 1, 2, 3
    ), found as (
        select * from purchase_habit where ",
    in_range!(""),
    "
    )
    select format('customer_id=%s, store_id=%s, product_id=%s', customer_id, store_id, product_id) as key
    from expected e full join found f using (customer_id, store_id, product_id)
    where (e.orders, e.units, e.first_at, e.last_at) is distinct from
          (f.orders, f.units, f.first_at, f.last_at)"
);

/// An hour begins at the level that the one before has ended at, and the last ends at the level of now.
const HOURS: &str = concat!(
    "
    with hours as (
        select store_id, product_id, hour, opening, closing, last_change_at,
               lag(closing) over pair as before, lead(hour) over pair is null as is_last
        from inventory_hourly where ",
    in_range!(""),
    "
        window pair as (partition by store_id, product_id order by hour)
    ), last as (
        select * from hours where is_last
    ), level as (
        select store_id, product_id, on_hand, changed_at
        from inventory_image where changed_at is not null and ",
    in_range!(""),
    "
    )
    select format('store_id=%s, product_id=%s, hour=%s', store_id, product_id, hour) as key
    from hours where opening is distinct from before
    union
    select format('store_id=%s, product_id=%s, hour=%s', store_id, product_id, hour)
    from last h full join level l using (store_id, product_id)
    where (h.closing, h.last_change_at) is distinct from (l.on_hand, l.changed_at)"
);

/// Compares the next rows.
pub(super) async fn chunk(
    sink: &mut Database,
    derived: Derived,
    range: Range,
    rows_max: i64,
) -> Result<Chunk, Error> {
    let statement = match derived {
        Derived::Hours => HOURS,
        Derived::Sales => SALES,
        Derived::Habits => HABITS,
    };
    let transaction = begin(sink).await?;
    let range = bounded(&transaction, derived.table(), range, rows_max).await?;
    let rows = count(&transaction, derived.table(), &range).await?;
    let wrong = keys(&transaction, statement, &range).await?;
    Ok(Chunk::of(&range, rows, wrong))
}

/// A snapshot of the sink.
pub(super) async fn begin(sink: &mut Database) -> Result<Transaction<'_>, Error> {
    sink.build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(query("beginning a transaction"))
}

/// The range up to the pair in which its rows become more than `rows_max`.
pub(super) async fn bounded(
    sink: &Transaction<'_>,
    table: &str,
    mut range: Range,
    rows_max: i64,
) -> Result<Range, Error> {
    let sql = format!(
        "select store_id, product_id from {table}
         where (store_id, product_id) > ($1::bigint, $2::bigint)
         order by store_id, product_id offset $3 limit 1"
    );
    let [store, product] = parts(&range.above);
    let row = sink
        .query_opt(&sql, &[&store, &product, &rows_max])
        .await
        .map_err(query("looking for a chunk's end"))?;
    if let Some(row) = row {
        range.upto = vec![row.get(0), row.get(1)];
    }
    Ok(range)
}

/// How many rows the table has in the range.
pub(super) async fn count(
    sink: &Transaction<'_>,
    table: &str,
    range: &Range,
) -> Result<u64, Error> {
    let sql = format!(
        concat!("select count(*) from {} where ", in_range!("")),
        table
    );
    let [above_store, above_product] = parts(&range.above);
    let [store, product] = parts(&range.upto);
    let row = sink
        .query_one(&sql, &[&above_store, &above_product, &store, &product])
        .await
        .map_err(query("counting rows"))?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}

/// The keys that a statement finds in the range.
pub(super) async fn keys(
    sink: &Transaction<'_>,
    statement: &str,
    range: &Range,
) -> Result<Vec<String>, Error> {
    let [above_store, above_product] = parts(&range.above);
    let [store, product] = parts(&range.upto);
    let rows = sink
        .query(statement, &[&above_store, &above_product, &store, &product])
        .await
        .map_err(query("comparing a chunk"))?;
    Ok(rows.iter().map(|row| row.get("key")).collect())
}

fn parts(key: &[i64]) -> [i64; 2] {
    key.first_chunk().copied().unwrap_or_default()
}
