//! The statement that compares.
//!
//! - A customer's orders are those of the whole period, with codes or without; only customers of tiers that
//!   rules name take part, since nobody else can get a code.
//! - Stock is shared by all customers. So an arm's stock is that of the products in stores which its codes
//!   are for; those that both arms have codes for are in both.
//! - An answer in the model buys what the tuple's orders have been on average, at their average price.

/// The text of the statement for a moment, or null, and for a model's response. Columns: `since`, `until` and
/// `shares_since` as text, `arms` and `models` as JSON, those of a [`Comparison`](super::Comparison), and `mixed`,
/// whether shares changed within the period. What a column is made of is not computed where nobody selects it.
macro_rules! comparison {
    ($since:literal, $response:literal) => {
        concat!(
            r#"
    with share as materialized (
        select * from arm_share order by since desc limit 1
    ), period as materialized (
        select coalesce("#,
            $since,
            r#"::timestamptz, greatest(since, now() - interval '28 days')) as since,
               coalesce(applied_until(), now()) as until
        from share
    ), arm as materialized (
        select 1 as place, 'stream' as arm, 0 as low, stream as high from share
        union all select 2, 'batch', stream, stream + batch from share
        union all select 3, 'holdout', stream + batch, 100 from share
    ), member as materialized (
        select m.customer_id, a.arm
        from (select customer_id, arm_bucket(customer_id) as bucket from customer_image
              where present and tier in (select tier from promotion_rule)) m
        join arm a on m.bucket >= a.low and m.bucket < a.high
    ), bought as materialized (
        select o.customer_id, sum(o.quantity) as units
        from order_image o, period p
        where o.counted_at >= p.since and o.counted_at < p.until and not o.cancelled
          and o.customer_id is not null
        group by o.customer_id
    ), demand as (
        select m.arm, count(*) as customers, avg(coalesce(b.units, 0)) as mean,
               coalesce(var_samp(coalesce(b.units, 0)), 0) as variance
        from member m left join bought b using (customer_id)
        group by m.arm
    ), given as materialized (
        select g.source as arm, g.*, extract(epoch from issued_at - caused_at)::float8 as seconds
        from promotion g, period p
        where g.issued_at >= p.since and g.state <> 'withdrawn'
    ), code as (
        select arm, count(*) as codes, count(seconds) as timed,
               count(*) filter (where state = 'redeemed') as redeemed,
               percentile_cont(0.5) within group (order by seconds) as p50,
               percentile_cont(0.99) within group (order by seconds) as p99
        from given group by arm
    ), discount as (
        select g.arm, sum(o.quantity * o.unit_price::numeric * g.discount_percent / 100) as cost
        from given g
        join order_image o on o.order_id = g.redeemed_order_id and o.counted_at is not null
        group by g.arm
    ), product as materialized (
        select distinct arm, store_id, product_id from given
        union all
        select distinct 'holdout', e.store_id, e.product_id
        from promotion_eligibility e
        join member m on m.customer_id = e.customer_id and m.arm = 'holdout'
        where not exists (select from given g where g.store_id = e.store_id and g.product_id = e.product_id)
    ), excess as materialized (
        select d.arm, d.store_id, d.product_id, coalesce(x.units, 0) as units
        from product d
        cross join lateral (
            select greatest(0, max(div(c.on_hand::numeric * c.hours
                                       - 24::numeric * r.days_of_cover_min * c.units, c.hours))) as units
            from promotion_condition c join promotion_rule r using (rule_id)
            where c.store_id = d.store_id and c.product_id = d.product_id) x
    ), stockout as (
        -- A row's own figures end with its last change; its closing level lasts until the next row's hour.
        select d.arm,
               sum(case when h.hour >= bound.hour then h.stockout_us / 1e6 else 0 end
                   + case when h.closing <= 0 then extract(epoch from greatest(
                         h.next_hour - greatest(h.last_change_at, bound.hour), interval '0')) else 0 end)
                   / 3600 as hours
        from product d
        cross join (select date_trunc('hour', since, 'UTC') as hour, until from period) bound
        cross join lateral (
            select h.*, coalesce(lead(h.hour) over (order by h.hour), bound.until) as next_hour
            from inventory_hourly h
            where h.store_id = d.store_id and h.product_id = d.product_id and h.hour < bound.until
              and h.hour >= coalesce((
                  select max(k.hour) from inventory_hourly k
                  where k.store_id = d.store_id and k.product_id = d.product_id and k.hour <= bound.hour),
                  '-infinity')) h
        group by d.arm
    ), stock as (
        select arm, count(*) as products, sum(units) as excess from excess group by arm
    ), figures as (
        select a.place, a.arm, a.high - a.low as percent, coalesce(d.customers, 0) as customers,
               coalesce(c.codes, 0) as codes, coalesce(c.timed, 0) as timed,
               coalesce(c.redeemed, 0) as redeemed, c.p50, c.p99, d.mean,
               case when a.arm <> 'holdout' then (d.mean - held.mean) * d.customers end as uplift,
               case when a.arm <> 'holdout' and least(held.customers, d.customers) > 1
                    then 1.96 * d.customers
                         * sqrt(d.variance / d.customers + held.variance / held.customers)
               end as error,
               coalesce(n.cost, 0) as cost, coalesce(s.products, 0) as products,
               coalesce(s.excess, 0) as excess, coalesce(o.hours, 0) as stockout_hours
        from arm a
        left join demand d using (arm)
        left join code c using (arm)
        left join discount n using (arm)
        left join stock s using (arm)
        left join stockout o using (arm)
        left join demand held on held.arm = 'holdout'
        where a.high > a.low or c.codes > 0
    ), half_life (place, hours) as (
        values (1, 1), (2, 4), (3, 24), (4, null::integer)
    ), answer as (
        select h.place, h.hours, g.arm, g.store_id, g.product_id, habit.units, habit.price,
               g.discount_percent, "#,
            $response,
            r#"::float8 * coalesce(power(0.5, greatest(g.seconds, 0) / 3600 / h.hours), 1) as chance
        from given g
        cross join half_life h
        cross join lateral (
            select coalesce(avg(o.quantity), 1)::float8 as units,
                   coalesce(avg(o.unit_price::numeric), 0)::float8 as price
            from order_image o
            where o.store_id = g.store_id and o.product_id = g.product_id
              and o.customer_id = g.customer_id and o.counted_at is not null and not o.cancelled) habit
        where g.seconds is not null
    ), sold as (
        select place, hours, arm, store_id, product_id, sum(chance) as answers,
               sum(chance * units) as units,
               sum(chance * units * price * discount_percent / 100) as cost
        from answer group by place, hours, arm, store_id, product_id
    ), modelled as (
        select h.place, h.hours, e.arm, sum(coalesce(s.answers, 0)) as answers,
               sum(coalesce(s.units, 0)) as units, sum(coalesce(s.cost, 0)) as cost,
               sum(greatest(0, e.units::float8 - coalesce(s.units, 0))) as excess
        from excess e
        cross join half_life h
        left join sold s on (s.place, s.arm, s.store_id, s.product_id)
                          = (h.place, e.arm, e.store_id, e.product_id)
        where e.arm <> 'holdout'
        group by h.place, h.hours, e.arm
    )
    select to_char(p.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since,
        to_char(p.until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as until,
        (select to_char(since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                         from share where isfinite(since)) as shares_since,
        coalesce((select json_agg(json_build_object(
            'arm', arm, 'percent', percent, 'customers', customers, 'codes', codes,
            'timed_codes', timed, 'redeemed', redeemed,
            'redeemed_share', round(redeemed::numeric / nullif(codes, 0), 4),
            'cause_to_code_p50_seconds', p50, 'cause_to_code_p99_seconds', p99,
            'units_per_customer', round(mean, 6), 'uplift_units', round(uplift, 2),
            'uplift_error_units', round(error, 2), 'discount_cost', round(cost, 2),
            'products', products, 'excess_units', excess,
            'stockout_hours', round(stockout_hours, 3)) order by place) from figures), '[]') as arms,
        coalesce((select json_agg(model order by place) from (
            select m.place, json_build_object('half_life_hours', m.hours, 'arms', json_agg(
                json_build_object('arm', m.arm, 'answers', m.answers, 'units', m.units,
                                  'discount_cost', m.cost, 'excess_units', m.excess)
                order by m.arm = 'batch')) as model
            from modelled m group by m.place, m.hours) models), '[]') as models,
        (select p.since < s.since from share s) as mixed
    from period p"#
        )
    };
}

pub(crate) use comparison;
