//! Conditions: the stock side of each rule for each pair.
//!
//! `U` is what the pair sold in the rule's demand window, `H` the hours that the demand was observed
//! for, and the stock side holds iff `on_hand >= on_hand_min` and `on_hand * H >= 24 * cover * U`: days
//! of cover without a division.

use super::error::Error;
use super::evaluation::Evaluation;
use super::touched::Pair;

const WRITE_CONDITIONS: &str = "
    with pair as materialized (
        select * from unnest($2::bigint[], $3::bigint[]) as k (store_id, product_id)
    ), running as materialized (
        select r.rule_id, r.on_hand_min, r.days_of_cover_min, clock.hour,
               clock.hour - r.demand_window as since,
               (extract(epoch from r.demand_window) / 3600)::bigint as window_hours
        from promotion_rule r,
             (select date_trunc('hour', $1::timestamptz, 'UTC')) clock (hour)
        where r.enabled and r.starts_at <= $1 and $1 < r.ends_at
    ), computed as materialized (
        select r.rule_id, k.store_id, k.product_id, i.on_hand, sold.units, seen.hours,
               coalesce(i.on_hand >= r.on_hand_min
                        and i.on_hand::numeric * seen.hours
                            >= 24::numeric * r.days_of_cover_min * sold.units, false)
                   as holds
        from pair k
        cross join running r
        left join inventory_image i using (store_id, product_id)
        cross join lateral (
            select coalesce(sum(s.units), 0)::bigint as units from sales_hourly s
            where s.store_id = k.store_id and s.product_id = k.product_id
              and s.hour >= r.since) sold
        left join lateral (
            select s.hour from sales_hourly s
            where s.store_id = k.store_id and s.product_id = k.product_id and s.units > 0
            order by s.hour limit 1) first on true
        cross join lateral (
            select case when first.hour is null then r.window_hours
                        else least(greatest(
                            (extract(epoch from r.hour - first.hour) / 3600)::bigint, 24),
                            r.window_hours) end as hours) seen
    ), before as materialized (
        select c.rule_id, c.store_id, c.product_id, c.holds
        from pair join promotion_condition c using (store_id, product_id)
    ), gone as (
        delete from promotion_condition c using before b
        where c.rule_id = b.rule_id and c.store_id = b.store_id
          and c.product_id = b.product_id
          and b.rule_id not in (select rule_id from running)
    ), written as (
        insert into promotion_condition as c
            (rule_id, store_id, product_id, on_hand, units, hours, holds)
        select rule_id, store_id, product_id, on_hand, units, hours, holds
        from computed order by rule_id, store_id, product_id
        on conflict (rule_id, store_id, product_id) do update set
            on_hand = excluded.on_hand, units = excluded.units,
            hours = excluded.hours, holds = excluded.holds
        where (c.on_hand, c.units, c.hours, c.holds)
              is distinct from
              (excluded.on_hand, excluded.units, excluded.hours, excluded.holds)
    )
    select distinct store_id, product_id
    from computed c full join before b using (rule_id, store_id, product_id)
    where coalesce(c.holds, false) <> coalesce(b.holds, false)
    order by store_id, product_id";

impl Evaluation<'_> {
    /// Computes the conditions of these pairs anew under every rule that runs, and drops those of
    /// rules that do not. Returns the pairs where some rule's stock side began or ceased to hold.
    pub async fn write_conditions(&self, pairs: &[Pair]) -> Result<Vec<Pair>, Error> {
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let stores: Vec<i64> = pairs.iter().map(|pair| pair.store_id).collect();
        let products: Vec<i64> = pairs.iter().map(|pair| pair.product_id).collect();
        let rows = self
            .query(
                "write promotion_condition",
                WRITE_CONDITIONS,
                &[&self.minute(), &stores, &products],
            )
            .await?;
        rows.iter().map(Pair::of).collect()
    }
}
