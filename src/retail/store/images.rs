//! Last images: loaded for the keys of a batch, written back when the batch moved them.

use std::collections::{BTreeMap, BTreeSet};

use tokio_postgres::Row;

use super::super::customer::CustomerImage;
use super::super::error::Error;
use super::super::order::{OrderImage, OrderRow};
use super::super::sequence::Standing;
use super::super::stock::Level;
use super::super::touched::Pair;
use super::{Work, column};

impl Work<'_> {
    /// Levels of the pairs that were ever seen.
    pub(in super::super) async fn levels(
        &self,
        pairs: &BTreeSet<Pair>,
    ) -> Result<BTreeMap<Pair, Level>, Error> {
        const SQL: &str = "
            select i.store_id, i.product_id, i.on_hand, i.changed_at,
                   i.position, i.effective_at, i.partition
            from unnest($1::bigint[], $2::bigint[]) as k (store_id, product_id)
            join inventory_image i using (store_id, product_id)";
        if pairs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let (stores, products) = split(pairs.iter());
        let rows = self
            .query("load levels", SQL, &[&stores, &products])
            .await?;
        rows.iter().map(level).collect()
    }

    /// Orders that were ever seen.
    pub(in super::super) async fn orders(
        &self,
        ids: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, OrderImage>, Error> {
        const SQL: &str = "
            select o.order_id, o.present, o.customer_id, o.store_id, o.product_id, o.quantity,
                   o.unit_price, o.status, o.cancelled, o.promotion_code, o.placed_at,
                   o.counted_at is not null as counted, o.position, o.effective_at, o.partition
            from unnest($1::bigint[]) as k (order_id)
            join order_image o using (order_id)";
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<i64> = ids.iter().copied().collect();
        let rows = self.query("load orders", SQL, &[&ids]).await?;
        rows.iter().map(order).collect()
    }

    /// Customers that were ever seen.
    pub(in super::super) async fn customers(
        &self,
        ids: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, CustomerImage>, Error> {
        const SQL: &str = "
            select c.customer_id, c.present, c.tier, c.contact_allowed,
                   c.position, c.effective_at, c.partition
            from unnest($1::bigint[]) as k (customer_id)
            join customer_image c using (customer_id)";
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let ids: Vec<i64> = ids.iter().copied().collect();
        let rows = self.query("load customers", SQL, &[&ids]).await?;
        rows.iter().map(customer).collect()
    }

    /// Writes levels, given in key order.
    pub(in super::super) async fn write_levels(
        &self,
        levels: &[(Pair, &Level)],
    ) -> Result<(), Error> {
        const SQL: &str = "
            insert into inventory_image
                (store_id, product_id, on_hand, changed_at, position, effective_at, partition)
            select * from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::timestamptz[],
                                 $5::text[], $6::timestamptz[], $7::integer[])
            on conflict (store_id, product_id) do update set
                on_hand = excluded.on_hand, changed_at = excluded.changed_at,
                position = excluded.position, effective_at = excluded.effective_at";
        if levels.is_empty() {
            return Ok(());
        }
        let (stores, products) = split(levels.iter().map(|(pair, _)| pair));
        let on_hand: Vec<_> = levels.iter().map(|(_, level)| level.on_hand).collect();
        let changed: Vec<_> = levels.iter().map(|(_, level)| level.changed_at).collect();
        let position: Vec<_> = levels
            .iter()
            .map(|(_, level)| level.standing.position)
            .collect();
        let at: Vec<_> = levels
            .iter()
            .map(|(_, level)| level.standing.effective_at)
            .collect();
        let partition: Vec<_> = levels.iter().map(|(_, level)| level.partition).collect();
        self.execute(
            "write levels",
            SQL,
            &[
                &stores, &products, &on_hand, &changed, &position, &at, &partition,
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes orders, given in key order.
    pub(in super::super) async fn write_orders(
        &self,
        orders: &[(i64, &OrderImage)],
    ) -> Result<(), Error> {
        const SQL: &str = "
            insert into order_image
                (order_id, present, customer_id, store_id, product_id, quantity, unit_price,
                 status, promotion_code, placed_at, counted_at, cancelled,
                 position, effective_at, partition, dated_at)
            select * from unnest($1::bigint[], $2::boolean[], $3::bigint[], $4::bigint[],
                                 $5::bigint[], $6::integer[], $7::text[], $8::text[], $9::text[],
                                 $10::text[], $11::timestamptz[], $12::boolean[],
                                 $13::text[], $14::timestamptz[], $15::integer[],
                                 $16::timestamptz[])
            on conflict (order_id) do update set
                present = excluded.present, customer_id = excluded.customer_id,
                store_id = excluded.store_id, product_id = excluded.product_id,
                quantity = excluded.quantity, unit_price = excluded.unit_price,
                status = excluded.status, promotion_code = excluded.promotion_code,
                placed_at = excluded.placed_at, counted_at = excluded.counted_at,
                cancelled = excluded.cancelled, position = excluded.position,
                effective_at = excluded.effective_at, dated_at = excluded.dated_at";
        if orders.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = orders.iter().map(|(id, _)| *id).collect();
        let images = || orders.iter().map(|(_, image)| *image);
        let rows = || images().map(|image| &image.row);
        let present: Vec<_> = images().map(|image| image.present).collect();
        let customers: Vec<_> = rows().map(|row| row.customer_id).collect();
        let stores: Vec<_> = rows().map(|row| row.store_id).collect();
        let products: Vec<_> = rows().map(|row| row.product_id).collect();
        let quantities: Vec<_> = rows().map(|row| row.quantity).collect();
        let prices: Vec<_> = rows().map(|row| row.unit_price.as_deref()).collect();
        let statuses: Vec<_> = rows().map(|row| row.status.as_deref()).collect();
        let codes: Vec<_> = rows().map(|row| row.promotion_code.as_deref()).collect();
        let placed: Vec<_> = rows().map(|row| row.placed_at.as_deref()).collect();
        let counted = |image: &OrderImage| image.contribution().map(|order| order.placed_at);
        let counted: Vec<_> = images().map(counted).collect();
        let cancelled: Vec<_> = rows().map(|row| row.cancelled).collect();
        let position: Vec<_> = images().map(|image| image.standing.position).collect();
        let at: Vec<_> = images().map(|image| image.standing.effective_at).collect();
        let partition: Vec<_> = images().map(|image| image.partition).collect();
        let dated: Vec<_> = rows().map(OrderRow::dated_at).collect();
        self.execute(
            "write orders",
            SQL,
            &[
                &ids,
                &present,
                &customers,
                &stores,
                &products,
                &quantities,
                &prices,
                &statuses,
                &codes,
                &placed,
                &counted,
                &cancelled,
                &position,
                &at,
                &partition,
                &dated,
            ],
        )
        .await?;
        Ok(())
    }

    /// Writes customers, given in key order.
    pub(in super::super) async fn write_customers(
        &self,
        customers: &[(i64, &CustomerImage)],
    ) -> Result<(), Error> {
        const SQL: &str = "
            insert into customer_image
                (customer_id, present, tier, contact_allowed, position, effective_at, partition)
            select * from unnest($1::bigint[], $2::boolean[], $3::text[], $4::boolean[],
                                 $5::text[], $6::timestamptz[], $7::integer[])
            on conflict (customer_id) do update set
                present = excluded.present, tier = excluded.tier,
                contact_allowed = excluded.contact_allowed,
                position = excluded.position, effective_at = excluded.effective_at";
        if customers.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = customers.iter().map(|(id, _)| *id).collect();
        let images = || customers.iter().map(|(_, image)| *image);
        let present: Vec<_> = images().map(|image| image.present).collect();
        let tiers: Vec<_> = images().map(|image| image.tier.as_deref()).collect();
        let allowed: Vec<_> = images().map(|image| image.contact_allowed).collect();
        let position: Vec<_> = images().map(|image| image.standing.position).collect();
        let at: Vec<_> = images().map(|image| image.standing.effective_at).collect();
        let partition: Vec<_> = images().map(|image| image.partition).collect();
        self.execute(
            "write customers",
            SQL,
            &[&ids, &present, &tiers, &allowed, &position, &at, &partition],
        )
        .await?;
        Ok(())
    }
}

/// The two columns of pairs.
pub(super) fn split<'a>(pairs: impl Iterator<Item = &'a Pair>) -> (Vec<i64>, Vec<i64>) {
    pairs.map(|pair| (pair.store_id, pair.product_id)).unzip()
}

fn standing(row: &Row) -> Result<Standing, Error> {
    Ok(Standing {
        position: column(row, "position")?,
        effective_at: column(row, "effective_at")?,
    })
}

fn level(row: &Row) -> Result<(Pair, Level), Error> {
    let pair = Pair {
        store_id: column(row, "store_id")?,
        product_id: column(row, "product_id")?,
    };
    let level = Level {
        on_hand: column(row, "on_hand")?,
        standing: standing(row)?,
        changed_at: column(row, "changed_at")?,
        partition: column(row, "partition")?,
    };
    Ok((pair, level))
}

fn order(row: &Row) -> Result<(i64, OrderImage), Error> {
    let columns = OrderRow {
        customer_id: column(row, "customer_id")?,
        store_id: column(row, "store_id")?,
        product_id: column(row, "product_id")?,
        quantity: column(row, "quantity")?,
        unit_price: column(row, "unit_price")?,
        status: column(row, "status")?,
        cancelled: column(row, "cancelled")?,
        promotion_code: column(row, "promotion_code")?,
        placed_at: column(row, "placed_at")?,
    };
    let image = OrderImage {
        present: column(row, "present")?,
        counted: column(row, "counted")?,
        row: columns,
        standing: standing(row)?,
        partition: column(row, "partition")?,
    };
    Ok((column(row, "order_id")?, image))
}

fn customer(row: &Row) -> Result<(i64, CustomerImage), Error> {
    let image = CustomerImage {
        present: column(row, "present")?,
        tier: column(row, "tier")?,
        contact_allowed: column(row, "contact_allowed")?,
        standing: standing(row)?,
        partition: column(row, "partition")?,
    };
    Ok((column(row, "customer_id")?, image))
}
