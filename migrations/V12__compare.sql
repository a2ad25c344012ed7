-- Codes of the batch know since when they could have been there, and inventory_hourly_full() of one key reads
-- that key alone.

comment on column promotion.caused_at is
    'Commit time of the change that made the tuple eligible at once before the code was issued, or when the event occurred that made it due; null if time or a rule did, or an earlier change. Of the batch: when the stream saw it become eligible, unless an earlier batch has issued codes since.';

create or replace function inventory_hourly_full(
    from_hour timestamptz, until_hour timestamptz, as_of timestamptz default applied_until())
returns table (
    store_id bigint, product_id bigint, hour timestamptz,
    opening integer, closing integer, minimum integer, maximum integer,
    units_in bigint, units_out bigint, units_adjusted bigint, changes bigint, reads bigint,
    unit_us bigint, stockout_us bigint, tracked_us bigint,
    last_change_at timestamptz, "position" text,
    average_on_hand numeric, stockout_seconds numeric, days_of_cover numeric)
language sql stable
begin atomic
    with bounds as (
        select date_trunc('hour', from_hour, 'UTC') as first_hour,
               date_trunc('hour', until_hour - interval '1 microsecond', 'UTC') as last_hour
    ), known as (
        -- Each key's rows of the range, and its last one before.
        select h.* from bounds b
        join inventory_hourly h on h.hour between b.first_hour and b.last_hour
        union all
        -- The image's key: so a condition on it reads that key's rows alone.
        select i.store_id, i.product_id, h.hour, h.opening, h.closing, h.minimum, h.maximum, h.units_in, h.units_out,
               h.units_adjusted, h.changes, h.reads, h.unit_us, h.stockout_us, h.tracked_us,
               h.last_change_at, h.position
        from bounds b
        cross join inventory_image i
        cross join lateral (
            select * from inventory_hourly h
            where h.store_id = i.store_id and h.product_id = i.product_id and h.hour < b.first_hour
            order by h.hour desc limit 1) h
    ), runs as (
        -- A row stands for its own hour and for every hour until the key's next row.
        select k.*, lead(k.hour) over (partition by k.store_id, k.product_id order by k.hour)
                    - interval '1 hour' as last_carried
        from known k
    ), hours as (
        select r.*, g.at_hour, g.at_hour > r.hour as carried,
               greatest(g.at_hour, r.last_change_at) as open_since
        from bounds b
        cross join runs r
        cross join lateral generate_series(
            greatest(r.hour, b.first_hour), coalesce(r.last_carried, b.last_hour), '1 hour')
            as g (at_hour)
        where g.at_hour = r.hour or r.closing is not null
    ), spans as (
        select h.*,
               case when h.closing is null then 0
                    else (extract(epoch from
                             greatest(least(h.at_hour + interval '1 hour',
                                            coalesce(as_of, h.open_since)), h.open_since)
                             - h.open_since) * 1000000)::bigint
               end as open_us
        from hours h
    ), closed as (
        select s.store_id, s.product_id, s.at_hour as hour,
               case when s.carried then s.closing else s.opening end as opening, s.closing,
               case when s.carried then s.closing else s.minimum end as minimum,
               case when s.carried then s.closing else s.maximum end as maximum,
               case when s.carried then 0 else s.units_in end as units_in,
               case when s.carried then 0 else s.units_out end as units_out,
               case when s.carried then 0 else s.units_adjusted end as units_adjusted,
               case when s.carried then 0 else s.changes end as changes,
               case when s.carried then 0 else s.reads end as reads,
               case when s.carried then 0 else s.unit_us end
                   + coalesce(s.closing, 0) * s.open_us as unit_us,
               case when s.carried then 0 else s.stockout_us end
                   + case when s.closing <= 0 then s.open_us else 0 end as stockout_us,
               case when s.carried then 0 else s.tracked_us end + s.open_us as tracked_us,
               s.last_change_at, s.position
        from spans s
    )
    select c.store_id, c.product_id, c.hour, c.opening, c.closing, c.minimum, c.maximum,
           c.units_in, c.units_out, c.units_adjusted, c.changes, c.reads,
           c.unit_us, c.stockout_us, c.tracked_us, c.last_change_at, c.position,
           c.unit_us::numeric / nullif(c.tracked_us, 0),
           round(c.stockout_us / 1000000.0, 6),
           -- closing / (units / 7) in hundredths, half up: floor((1400 closing + units) / 2 units)
           round(div(cover.twice - mod(mod(cover.twice, cover.parts) + cover.parts, cover.parts),
                     cover.parts) / 100, 2)
    from closed c
    cross join lateral (
        select sum(s.units) as units from sales_hourly s
        where s.store_id = c.store_id and s.product_id = c.product_id
          and s.hour > c.hour - interval '168 hours' and s.hour <= c.hour) week
    cross join lateral (
        select 1400::numeric * c.closing + week.units as twice,
               nullif(2 * greatest(week.units, 0), 0) as parts) cover
    order by c.store_id, c.product_id, c.hour;
end;
