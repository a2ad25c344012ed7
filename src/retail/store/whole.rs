//! Changes of all keys of one partition: truncates and the ends of snapshots.
//!
//! Too many keys to fold in memory, and rare: the fold is the same, written in SQL.

use tokio_postgres::Row;

use super::super::change::{Table, Whole, WholeKind};
use super::super::error::Error;
use super::super::money::{Money, Price};
use super::super::sales::Sales;
use super::super::sequence::Origin;
use super::super::time::Timestamp;
use super::super::touched::{Pair, Touched, Unsettled};
use super::{Work, column};
use crate::event::Position;

/// Which keys of the partition become absent.
#[derive(Clone, Copy)]
struct Reach {
    /// Keys below it.
    below: Position,
    /// Keys at exactly that position too.
    inclusive: bool,
}

impl Reach {
    fn of(whole: &Whole) -> Reach {
        let position = whole.stamp.position;
        match (whole.kind, whole.stamp.origin) {
            // A key that was read above it has been filled again since.
            (WholeKind::Truncate, Origin::Streamed) => Reach {
                below: position,
                inclusive: false,
            },
            // A snapshot's marker is compared like a read, which equality lets in.
            (WholeKind::Truncate, Origin::Read) => Reach {
                below: position,
                inclusive: true,
            },
            (WholeKind::SnapshotEnd, _) => Reach {
                below: position,
                inclusive: false,
            },
        }
    }
}

impl Work<'_> {
    /// Applies it to the images and aggregates. With `retract_deleted` off, orders that a snapshot
    /// no longer finds stay in the aggregates, as deleted ones do; a truncate takes all out.
    pub(in super::super) async fn apply_whole(
        &self,
        whole: &Whole,
        retract_deleted: bool,
        touched: &mut Touched,
    ) -> Result<(), Error> {
        let reach = Reach::of(whole);
        match whole.table {
            Table::Inventory => self.levels_gone(whole, reach, touched).await,
            Table::Orders => {
                let truncated = whole.stamp.origin == Origin::Streamed;
                self.orders_gone(whole, reach, retract_deleted || truncated, touched)
                    .await
            }
            Table::Customers => self.customers_gone(whole, reach, touched).await,
        }
    }

    /// The orders of a partition that carry a code, or did when they were last seen.
    pub(in super::super) async fn carriers(&self, partition: i32) -> Result<Unsettled, Error> {
        const SQL: &str = "
            select order_id, promotion_code from order_image
            where partition = $1 and promotion_code is not null";
        let rows = self
            .query("find a partition's orders with codes", SQL, &[&partition])
            .await?;
        let mut unsettled = Unsettled::default();
        for row in &rows {
            unsettled.orders.push(column(row, "order_id")?);
            unsettled.codes.insert(column(row, "promotion_code")?);
        }
        Ok(unsettled)
    }

    async fn levels_gone(
        &self,
        whole: &Whole,
        reach: Reach,
        touched: &mut Touched,
    ) -> Result<(), Error> {
        const SQL: &str = "
            with seen as materialized (
                select store_id, product_id, on_hand, changed_at,
                       greatest(effective_at, $3::timestamptz) as at
                from inventory_image
                where partition = $1
                  and (position_below(position, $4::text)
                       or ($5::boolean and position = $4))
            ), gone as (
                update inventory_image i set
                    on_hand = null, position = $2::text, effective_at = s.at,
                    changed_at = case when s.on_hand is null then s.changed_at else s.at end
                from seen s
                where i.store_id = s.store_id and i.product_id = s.product_id
            ), present as (
                select store_id, product_id, on_hand, at, hour,
                       (extract(epoch from at - greatest(changed_at, hour)) * 1000000)::bigint
                           as span
                from seen, lateral (select date_trunc('hour', at, 'UTC') as hour) h
                where on_hand is not null
            )
            insert into inventory_hourly as h
                (store_id, product_id, hour, opening, closing, minimum, maximum,
                 units_in, units_out, units_adjusted, changes, reads,
                 unit_us, stockout_us, tracked_us, last_change_at, position)
            select store_id, product_id, hour, on_hand, null, on_hand, on_hand,
                   0, 0, - on_hand::bigint,
                   case when $6::boolean then 0 else 1 end, case when $6 then 1 else 0 end,
                   on_hand * span, case when on_hand <= 0 then span else 0 end, span, at, $2
            from present
            order by store_id, product_id
            on conflict (store_id, product_id, hour) do update set
                closing = null,
                minimum = least(h.minimum, excluded.minimum),
                maximum = greatest(h.maximum, excluded.maximum),
                units_adjusted = h.units_adjusted + excluded.units_adjusted,
                changes = h.changes + excluded.changes,
                reads = h.reads + excluded.reads,
                unit_us = h.unit_us + excluded.unit_us,
                stockout_us = h.stockout_us + excluded.stockout_us,
                tracked_us = h.tracked_us + excluded.tracked_us,
                last_change_at = excluded.last_change_at,
                position = excluded.position
            returning h.store_id, h.product_id";
        let stamp = &whole.stamp;
        let read = stamp.origin == Origin::Read;
        let rows = self
            .query(
                "remove a partition's levels",
                SQL,
                &[
                    &stamp.partition,
                    &stamp.position,
                    &stamp.at,
                    &reach.below,
                    &reach.inclusive,
                    &read,
                ],
            )
            .await?;
        for row in &rows {
            touched.stock(pair(row)?, stamp.position, stamp.at);
        }
        Ok(())
    }

    async fn orders_gone(
        &self,
        whole: &Whole,
        reach: Reach,
        retract: bool,
        touched: &mut Touched,
    ) -> Result<(), Error> {
        const SQL: &str = "
            update order_image set
                present = false, position = $2::text,
                effective_at = greatest(effective_at, $3::timestamptz),
                counted_at = case when $6::boolean then null else counted_at end
            where partition = $1
              and (position_below(position, $4::text)
                   or ($5::boolean and position = $4))";
        let stamp = &whole.stamp;
        if retract {
            self.retract_orders(whole, reach, touched).await?;
        }
        self.execute(
            "remove a partition's orders",
            SQL,
            &[
                &stamp.partition,
                &stamp.position,
                &stamp.at,
                &reach.below,
                &reach.inclusive,
                &retract,
            ],
        )
        .await?;
        Ok(())
    }

    async fn retract_orders(
        &self,
        whole: &Whole,
        reach: Reach,
        touched: &mut Touched,
    ) -> Result<(), Error> {
        const SUMS: &str = "
            select store_id, product_id, date_trunc('hour', counted_at, 'UTC') as hour, cancelled,
                   count(*) as orders, sum(quantity)::bigint as units,
                   sum(quantity * unit_price::numeric)::text as revenue
            from order_image
            where partition = $1 and counted_at is not null
              and (position_below(position, $2::text)
                   or ($3::boolean and position = $2))
            group by store_id, product_id, hour, cancelled";
        const TUPLES: &str = "
            select distinct customer_id, store_id, product_id
            from order_image
            where partition = $1 and counted_at is not null
              and (position_below(position, $2::text)
                   or ($3::boolean and position = $2))";
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&whole.stamp.partition, &reach.below, &reach.inclusive];
        let mut sales = Sales::default();
        for row in &self
            .query("sum a partition's orders", SUMS, &parameters)
            .await?
        {
            let hour: Timestamp = column(row, "hour")?;
            sales.take_back_all(
                pair(row)?,
                hour.hour(),
                column(row, "cancelled")?,
                (column(row, "orders")?, column(row, "units")?, revenue(row)?),
            );
        }
        for row in &self
            .query("find a partition's tuples", TUPLES, &parameters)
            .await?
        {
            touched.order(
                column(row, "customer_id")?,
                pair(row)?,
                whole.stamp.position,
                whole.stamp.at,
            );
        }
        self.write_sales(&sales).await
    }

    async fn customers_gone(
        &self,
        whole: &Whole,
        reach: Reach,
        touched: &mut Touched,
    ) -> Result<(), Error> {
        const SQL: &str = "
            with seen as materialized (
                select customer_id, present from customer_image
                where partition = $1
                  and (position_below(position, $4::text)
                       or ($5::boolean and position = $4))
            )
            update customer_image c set
                present = false, position = $2::text,
                effective_at = greatest(effective_at, $3::timestamptz)
            from seen
            where c.customer_id = seen.customer_id
            returning c.customer_id, seen.present";
        let stamp = &whole.stamp;
        let rows = self
            .query(
                "remove a partition's customers",
                SQL,
                &[
                    &stamp.partition,
                    &stamp.position,
                    &stamp.at,
                    &reach.below,
                    &reach.inclusive,
                ],
            )
            .await?;
        for row in &rows {
            if column(row, "present")? {
                touched.customer(column(row, "customer_id")?, stamp.position, stamp.at);
            }
        }
        Ok(())
    }
}

fn pair(row: &Row) -> Result<Pair, Error> {
    Ok(Pair {
        store_id: column(row, "store_id")?,
        product_id: column(row, "product_id")?,
    })
}

/// A sum of counted orders' revenue: at most six decimals, as each of them has.
fn revenue(row: &Row) -> Result<Money, Error> {
    let text: String = column(row, "revenue")?;
    match Price::parse(&text) {
        Ok(Price::Finite(money)) => Ok(money),
        Ok(Price::NonFinite) | Err(_) => Err(Error::Damaged {
            what: "order_image.unit_price",
        }),
    }
}
