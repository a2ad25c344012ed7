//! Conditions and eligible tuples, decided again for a range of stores and products.
//!
//! The consumer decides when something changes, and everything once a minute; what turns with the clock alone, or
//! with a rule that somebody edits, is right again after the next sweep. So a row is right if it is what comes out
//! for one of the last minutes, and one that is not is looked at again once a sweep has ended that began later.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use super::derived::{begin, bounded, count, keys};
use super::{Chunk, Decided, Range};
use crate::connection::Database;
use crate::verify::Error;
use crate::verify::rows::query;

/// How often the sink is asked for its last sweep.
const POLL: Duration = Duration::from_secs(1);
/// How long a sweep is waited for. Without one, what was found is told.
const SWEEP_WITHIN: Duration = Duration::from_mins(3);

/// Minutes, and the rules that ran at each of them.
macro_rules! rules {
    () => {
        "minute as materialized (
            select date_trunc('minute', now()) - back * interval '1 minute' as at
            from generate_series(0, 2) as back
        ), rule as materialized (
            select r.* from promotion_rule r
            where enabled and starts_at <= (select min(at) from minute)
              and ends_at > (select max(at) from minute)
        )"
    };
}

const CONDITIONS: &str = concat!(
    "with ",
    rules!(),
    ", pair as materialized (
        select i.store_id, i.product_id from inventory_image i
        where i.on_hand is not null and ",
    in_range!("i."),
    "
        union
        select c.store_id, c.product_id from promotion_condition c where ",
    in_range!("c."),
    "
    ), level as materialized (
        select p.*, i.on_hand,
               (select min(s.hour) from sales_hourly s
                where (s.store_id, s.product_id) = (p.store_id, p.product_id) and s.units > 0) as first
        from pair p left join inventory_image i using (store_id, product_id)
    ), figure as materialized (
        select r.rule_id, l.store_id, l.product_id, l.on_hand, r.on_hand_min, r.days_of_cover_min,
               (select coalesce(sum(s.units), 0) from sales_hourly s
                where (s.store_id, s.product_id) = (l.store_id, l.product_id)
                  and s.hour >= date_trunc('hour', m.at, 'UTC') - r.demand_window) as units,
               case when l.first is null then extract(epoch from r.demand_window) / 3600
                    else least(extract(epoch from r.demand_window) / 3600,
                               greatest(24, extract(epoch from date_trunc('hour', m.at, 'UTC') - l.first) / 3600))
               end as hours
        from level l cross join rule r cross join minute m
    ), expected as (
        select f.*, coalesce(f.on_hand >= f.on_hand_min
                             and f.on_hand * f.hours >= 24 * f.days_of_cover_min * f.units, false) as holds
        from figure f
    )
    select format('rule_id=%s, store_id=%s, product_id=%s', rule_id, store_id, product_id) as key
    from expected e left join promotion_condition c using (rule_id, store_id, product_id)
    group by rule_id, store_id, product_id, c.rule_id
    having case when c.rule_id is null then bool_and(e.holds)
                else not bool_or((c.on_hand, c.units, c.hours, c.holds)
                                 is not distinct from (e.on_hand, e.units, e.hours, e.holds)) end"
);

const ELIGIBILITY: &str = concat!(
    "with ",
    rules!(),
    ", expected as (
        select r.rule_id, h.customer_id, h.store_id, h.product_id,
               r.habit_orders <= (
                   select count(*) from order_image o
                   where o.store_id = h.store_id and o.product_id = h.product_id
                     and o.customer_id = h.customer_id and o.counted_at is not null
                     and not o.cancelled and o.counted_at > m.at - r.habit_window) as often
        from rule r
        join promotion_condition c using (rule_id)
        join purchase_habit h using (store_id, product_id)
        join customer_image k using (customer_id)
        cross join minute m
        where c.holds and k.present and k.tier = r.tier and ",
    in_range!("h."),
    "
    ), due as (
        select rule_id, customer_id, store_id, product_id, bool_and(often) as always
        from expected group by 1, 2, 3, 4 having bool_or(often)
    ), found as (
        select e.rule_id, e.customer_id, e.store_id, e.product_id, true as found
        from promotion_eligibility e where ",
    in_range!("e."),
    "
    )
    select format('rule_id=%s, customer_id=%s, store_id=%s, product_id=%s',
                  rule_id, customer_id, store_id, product_id) as key
    from due full join found using (rule_id, customer_id, store_id, product_id)
    where case when found then always is null else always end"
);

/// Compares the next rows.
pub(super) async fn chunk(
    sink: &mut Database,
    decided: Decided,
    range: Range,
    rows_max: i64,
) -> Result<Chunk, Error> {
    let statement = match decided {
        Decided::Conditions => CONDITIONS,
        Decided::Eligibility => ELIGIBILITY,
    };
    let transaction = begin(sink).await?;
    let range = bounded(&transaction, decided.table(), range, rows_max).await?;
    let rows = count(&transaction, decided.table(), &range).await?;
    let mut wrong = keys(&transaction, statement, &range).await?;
    drop(transaction);
    if !wrong.is_empty() {
        await_sweep(sink).await?;
        let transaction = begin(sink).await?;
        let still = keys(&transaction, statement, &range).await?;
        let still: HashSet<String> = still.into_iter().collect();
        wrong.retain(|key| still.contains(key));
    }
    Ok(Chunk::of(&range, rows, wrong))
}

/// Waits until everything was decided as of a minute that begins after now.
async fn await_sweep(sink: &Database) -> Result<(), Error> {
    const NOW: &str = "select clock_timestamp()::text";
    const SWEPT: &str = "
        select coalesce(evaluated_at > $1::text::timestamptz, false) from sink_identity";
    let row = sink
        .query_one(NOW, &[])
        .await
        .map_err(query("reading the time"))?;
    let (now, deadline): (String, _) = (row.get(0), Instant::now() + SWEEP_WITHIN);
    while Instant::now() < deadline {
        let row = sink
            .query_one(SWEPT, &[&now])
            .await
            .map_err(query("asking for the last sweep"))?;
        if row.get(0) {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}
