//! Redemption: which order redeems a code, and why every other order that carries one does not.
//!
//! It is a state and not an event: it follows from the orders' images and the ledger alone, and is
//! settled anew whenever an order that carries a code, or a code that an order carries, has changed. So a
//! cancelled order frees its code for the next one, and a rebuild comes to the same end.
//!
//! ```text
//! orders, codes ─▶ lock the codes in the ledger ─▶ all orders that carry one, the given ones besides
//!                      ─▶ first without a reason redeems; every other one is refused, for its first reason
//! ```
//!
//! The codes' rows are locked in the order of their ids, and the orders read in a later statement: of two
//! transactions with orders of one code the second sees the first one's. Orders with a code that the ledger
//! does not know are settled one by one, since many may carry the same: a shop has other campaigns too.

use tokio_postgres::GenericClient;

use super::super::error::Error;
use super::super::statements::{Statements, column};
use super::super::time::Timestamp;
use super::super::touched::Unsettled;

/// Whoever is refused is so for the first of these that applies, in the order of the arms.
const SETTLE: &str = "
    with ledger as materialized (
        select promotion_id, code, customer_id, store_id, product_id, state, valid_until
        from promotion where code = any($2::text[])
    ), carrier as materialized (
        select o.order_id, o.promotion_code, p.promotion_id, o.dated_at,
               case when p.promotion_id is null or p.state = 'withdrawn' then 'unknown'
                    when o.customer_id is distinct from p.customer_id then 'other_customer'
                    when o.store_id is distinct from p.store_id then 'other_store'
                    when o.product_id is distinct from p.product_id then 'other_product'
                    when o.cancelled then 'cancelled'
                    when o.dated_at is null then 'undated'
                    when o.dated_at > p.valid_until then 'expired' end as reason
        from (select order_id from order_image where promotion_code = any($2)
              union select * from unnest($1::bigint[])) k
        join order_image o using (order_id)
        left join ledger p on p.code = o.promotion_code
        where o.promotion_code is not null and (o.present or o.counted_at is not null)
    ), redeeming as materialized (
        select distinct on (promotion_id) promotion_id, order_id, dated_at
        from carrier where reason is null
        order by promotion_id, dated_at, order_id
    ), refused as materialized (
        select c.order_id, c.promotion_code, c.promotion_id, coalesce(c.reason, 'used') as reason
        from carrier c
        where not exists (select from redeeming r where r.order_id = c.order_id)
    ), redeemed as (
        update promotion p set
            state = 'redeemed', redeemed_at = r.dated_at, redeemed_order_id = r.order_id
        from redeeming r
        where p.promotion_id = r.promotion_id
          and (p.state, p.redeemed_at, p.redeemed_order_id)
              is distinct from ('redeemed', r.dated_at, r.order_id)
        returning p.promotion_id
    ), freed as (
        update promotion p set
            state = case when p.dispatched_at is null then 'issued'
                         when p.valid_until < coalesce($3::timestamptz, clock_timestamp())
                             then 'expired'
                         else 'dispatched' end,
            redeemed_at = null, redeemed_order_id = null
        from ledger l
        where p.promotion_id = l.promotion_id and l.state = 'redeemed'
          and not exists (select from redeeming r where r.promotion_id = l.promotion_id)
        returning p.promotion_id
    ), settled as (
        delete from promotion_refusal f
        where (f.promotion_code = any($2) or f.order_id = any($1))
          and not exists (select from refused r where r.order_id = f.order_id)
    ), written as (
        insert into promotion_refusal as f (order_id, promotion_code, promotion_id, reason)
        select order_id, promotion_code, promotion_id, reason from refused order by order_id
        on conflict (order_id) do update set
            promotion_code = excluded.promotion_code, promotion_id = excluded.promotion_id,
            reason = excluded.reason
        where (f.promotion_code, f.promotion_id, f.reason)
              is distinct from (excluded.promotion_code, excluded.promotion_id, excluded.reason)
    )
    select (select count(*) from redeemed) as redeemed, (select count(*) from freed) as freed";

/// How many codes changed their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Codes that an order redeems, or another one than before.
    pub redeemed: u64,
    /// Codes that no order redeems any more.
    pub freed: u64,
}

/// Settles it in the open transaction that `client` is. `at` is the moment that tells whether a freed
/// code has expired; `None` for the sink's clock.
pub async fn settle(
    client: &impl GenericClient,
    statements: &Statements,
    at: Option<Timestamp>,
    unsettled: &Unsettled,
) -> Result<Settled, Error> {
    const LOCK: &str = "
        select code from promotion where code = any($1::text[])
        order by promotion_id for no key update";
    if unsettled.is_empty() {
        return Ok(Settled::default());
    }
    let codes: Vec<&str> = unsettled.codes.iter().map(String::as_str).collect();
    let rows = statements
        .query(client, "lock codes", LOCK, &[&codes])
        .await?;
    let known = rows
        .iter()
        .map(|row| column(row, "code"))
        .collect::<Result<Vec<String>, Error>>()?;
    if known.is_empty() && unsettled.orders.is_empty() {
        return Ok(Settled::default());
    }
    let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
        [&unsettled.orders, &known, &at];
    let rows = statements
        .query(client, "settle redemptions", SETTLE, &parameters)
        .await?;
    let count = |name| match rows.first() {
        Some(row) => column::<i64>(row, name).map(i64::unsigned_abs),
        None => Ok(0),
    };
    Ok(Settled {
        redeemed: count("redeemed")?,
        freed: count("freed")?,
    })
}
