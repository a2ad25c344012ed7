-- What a row means:
--   inventory_hourly   one (store, product) in one hour in which its level changed or was set by a read
--   sales_hourly       the orders placed in one hour for one (store, product)
--   purchase_habit     one customer's uncancelled orders of one product in one store
--   *_image            the last state of a source row, kept for ever: position and effective time
--                      outlive the row itself
--   store_product      a (store, product) that was ever seen: the lock that orders its evaluations
--   consumer_offset    one partition of a topic: where its consumer stands, and who that consumer is
--
-- Functions: position_below, applied_until, inventory_hourly_full.

create table inventory_hourly (
    store_id       bigint      not null,
    product_id     bigint      not null,
    hour           timestamptz not null,
    opening        integer,
    closing        integer,
    minimum        integer,
    maximum        integer,
    units_in       bigint      not null,
    units_out      bigint      not null,
    units_adjusted bigint      not null,
    changes        bigint      not null,
    reads          bigint      not null,
    unit_us        bigint      not null,
    stockout_us    bigint      not null,
    tracked_us     bigint      not null,
    last_change_at timestamptz not null,
    position       text        not null,
    constraint inventory_hourly_pkey primary key (store_id, product_id, hour),
    constraint inventory_hourly_hour_whole check (hour = date_trunc('hour', hour, 'UTC')),
    constraint inventory_hourly_balances check (
        coalesce(closing, 0) = coalesce(opening, 0) + units_in - units_out + units_adjusted),
    constraint inventory_hourly_sums_not_negative check (
        units_in >= 0 and units_out >= 0 and changes >= 0 and reads >= 0
        and stockout_us >= 0 and tracked_us >= 0)
) with (fillfactor = 80);
create index inventory_hourly_hour on inventory_hourly (hour);

create table sales_hourly (
    store_id          bigint         not null,
    product_id        bigint         not null,
    hour              timestamptz    not null,
    orders            bigint         not null,
    units             bigint         not null,
    revenue           numeric(38, 6) not null,
    cancelled_orders  bigint         not null,
    cancelled_units   bigint         not null,
    cancelled_revenue numeric(38, 6) not null,
    constraint sales_hourly_pkey primary key (store_id, product_id, hour),
    constraint sales_hourly_hour_whole check (hour = date_trunc('hour', hour, 'UTC')),
    constraint sales_hourly_counts_not_negative check (orders >= 0 and cancelled_orders >= 0)
) with (fillfactor = 80);
create index sales_hourly_hour on sales_hourly (hour);

create table purchase_habit (
    customer_id bigint      not null,
    store_id    bigint      not null,
    product_id  bigint      not null,
    orders      bigint      not null,
    units       bigint      not null,
    first_at    timestamptz not null,
    last_at     timestamptz not null,
    constraint purchase_habit_pkey primary key (customer_id, store_id, product_id),
    constraint purchase_habit_orders_positive check (orders > 0)
) with (fillfactor = 80);
create index purchase_habit_pair on purchase_habit (store_id, product_id);

create table inventory_image (
    store_id     bigint      not null,
    product_id   bigint      not null,
    on_hand      integer,                 -- null: absent
    position     text        not null,
    effective_at timestamptz not null,
    changed_at   timestamptz,             -- when the level last changed or was set; null: never present
    partition    integer     not null,    -- of the inventory topic; a truncate removes one partition's keys
    constraint inventory_image_pkey primary key (store_id, product_id)
) with (fillfactor = 80);
create index inventory_image_partition on inventory_image (partition);

create table order_image (
    order_id       bigint      not null,
    present        boolean     not null,
    customer_id    bigint,
    store_id       bigint,
    product_id     bigint,
    quantity       integer,
    unit_price     text,                  -- the source's own digits, NaN and the infinities included
    status         text,
    promotion_code text,
    placed_at      text,                  -- the source's own text, infinity included
    counted_at     timestamptz,           -- placed_at of an order that enters the aggregates, else null
    cancelled      boolean     not null,
    position       text        not null,
    effective_at   timestamptz not null,
    partition      integer     not null,
    constraint order_image_pkey primary key (order_id)
) with (fillfactor = 80);
create index order_image_partition on order_image (partition);
create index order_image_tuple on order_image (store_id, product_id, customer_id, counted_at)
    where counted_at is not null and not cancelled;
create index order_image_code on order_image (promotion_code) where promotion_code is not null;
-- The orders that enter no aggregate, for a value that is null, infinite or not finite.
create index order_image_refused on order_image (order_id) where present and counted_at is null;

create table customer_image (
    customer_id     bigint      not null,
    present         boolean     not null,
    tier            text,
    contact_allowed boolean     not null,
    position        text        not null,
    effective_at    timestamptz not null,
    partition       integer     not null,
    constraint customer_image_pkey primary key (customer_id)
) with (fillfactor = 80);
create index customer_image_partition on customer_image (partition);

create table store_product (
    store_id   bigint not null,
    product_id bigint not null,
    constraint store_product_pkey primary key (store_id, product_id)
);

create table consumer_offset (
    topic             text        not null,
    partition         integer     not null,
    next_offset       bigint      not null,
    owner             uuid        not null,
    streamed_position text,                -- of the last streamed change applied; null before the first
    applied_until     timestamptz,         -- source time up to which everything is applied; null before
    snapshot_ended    boolean     not null default false,
    constraint consumer_offset_pkey primary key (topic, partition),
    constraint consumer_offset_next_offset_not_negative check (next_offset >= 0)
) with (fillfactor = 50);

-- Positions order by epoch, then commit, then ordinal; their text does not.
create function position_below(a text, b text) returns boolean
language sql immutable strict parallel safe
return (split_part(a, ':', 1)::bigint, split_part(a, ':', 2)::pg_lsn, split_part(a, ':', 3)::numeric)
     < (split_part(b, ':', 1)::bigint, split_part(b, ':', 2)::pg_lsn, split_part(b, ':', 3)::numeric);

-- Null until every partition has seen a heartbeat.
create function applied_until() returns timestamptz
language sql stable parallel safe
begin atomic
    select case when bool_and(applied_until is not null) then min(applied_until) end
    from consumer_offset;
end;

create function inventory_hourly_full(
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
        select h.* from bounds b
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

comment on table inventory_hourly is
    'Stock level of a store''s product over one UTC hour. Only hours with a change or a read that set the level have a row; inventory_hourly_full() fills in the others.';
comment on column inventory_hourly.store_id is 'Store.';
comment on column inventory_hourly.product_id is 'Product.';
comment on column inventory_hourly.hour is 'Start of the hour, UTC.';
comment on column inventory_hourly.opening is 'Level just before the hour; null if the row was absent.';
comment on column inventory_hourly.closing is 'Level after the last change in the hour; null if absent.';
comment on column inventory_hourly.minimum is 'Least level over opening and every level reached in the hour.';
comment on column inventory_hourly.maximum is 'Greatest level over opening and every level reached in the hour.';
comment on column inventory_hourly.units_in is 'Sum of rises between two present levels, units.';
comment on column inventory_hourly.units_out is 'Sum of falls between two present levels, units.';
comment on column inventory_hourly.units_adjusted is 'Signed sum over appearances, disappearances and reads that set the level, units; absent counts as 0.';
comment on column inventory_hourly.changes is 'Changes of level, inserts, deletes and truncates of a present level included.';
comment on column inventory_hourly.reads is 'Snapshot reads that set the level.';
comment on column inventory_hourly.unit_us is 'Integral of the level from the start of the hour (or from when it became present) to last_change_at, units times microseconds.';
comment on column inventory_hourly.stockout_us is 'Time at a level of zero or less over the same span, microseconds.';
comment on column inventory_hourly.tracked_us is 'Time present over the same span, microseconds.';
comment on column inventory_hourly.last_change_at is 'Effective time of the last change: commit time, never stepping back for a key.';
comment on column inventory_hourly.position is 'Position of the last change in the source, epoch:lsn:ordinal.';
comment on table sales_hourly is
    'Orders of a store''s product by the UTC hour in which they were placed; equals a group by over the source''s orders. A row whose counts are all zero does not exist.';
comment on column sales_hourly.store_id is 'Store.';
comment on column sales_hourly.product_id is 'Product.';
comment on column sales_hourly.hour is 'Start of the hour of placed_at, UTC.';
comment on column sales_hourly.orders is 'Orders neither cancelled nor returned.';
comment on column sales_hourly.units is 'Their units.';
comment on column sales_hourly.revenue is 'Their quantity times unit price.';
comment on column sales_hourly.cancelled_orders is 'Orders cancelled or returned.';
comment on column sales_hourly.cancelled_units is 'Their units.';
comment on column sales_hourly.cancelled_revenue is 'Their quantity times unit price.';
comment on table purchase_habit is
    'A customer''s uncancelled orders of one product in one store; no row without one.';
comment on column purchase_habit.customer_id is 'Customer.';
comment on column purchase_habit.store_id is 'Store.';
comment on column purchase_habit.product_id is 'Product.';
comment on column purchase_habit.orders is 'Uncancelled orders.';
comment on column purchase_habit.units is 'Their units.';
comment on column purchase_habit.first_at is 'placed_at of the first of them.';
comment on column purchase_habit.last_at is 'placed_at of the last of them.';
comment on table inventory_image is
    'The last image of every stock level ever seen, deleted ones included.';
comment on column inventory_image.store_id is 'Store.';
comment on column inventory_image.product_id is 'Product.';
comment on column inventory_image.on_hand is 'Level; null when absent.';
comment on column inventory_image.position is 'Position of the last change or read that applied.';
comment on column inventory_image.effective_at is 'Highest event time so far.';
comment on column inventory_image.changed_at is 'When the level last changed or was set; null if it never was present.';
comment on column inventory_image.partition is 'Partition of the inventory topic; a truncate removes one partition''s keys.';
comment on table order_image is
    'The last image of every order ever seen, deleted ones included.';
comment on column order_image.order_id is 'Order.';
comment on column order_image.present is 'Whether the source has it.';
comment on column order_image.customer_id is 'Customer; null is nobody''s habit.';
comment on column order_image.store_id is 'Store.';
comment on column order_image.product_id is 'Product.';
comment on column order_image.quantity is 'Units.';
comment on column order_image.unit_price is 'Price in the source''s own digits, NaN and the infinities included.';
comment on column order_image.status is 'Status in the source''s own text.';
comment on column order_image.promotion_code is 'Code that the order carries.';
comment on column order_image.placed_at is 'When it was placed, in the source''s own text, infinity included.';
comment on column order_image.counted_at is 'placed_at of an order that is in the aggregates, else null.';
comment on column order_image.cancelled is 'Whether its status is cancelled or returned.';
comment on column order_image.position is 'Position of the last change or read that applied.';
comment on column order_image.effective_at is 'Highest event time so far.';
comment on column order_image.partition is 'Partition of the orders topic.';
comment on table customer_image is
    'The last image of every customer ever seen, deleted ones included.';
comment on column customer_image.customer_id is 'Customer.';
comment on column customer_image.present is 'Whether the source has the row.';
comment on column customer_image.tier is 'Tier in the source''s own text.';
comment on column customer_image.contact_allowed is 'Whether the customer may be sent codes.';
comment on column customer_image.position is 'Position of the last change or read that applied.';
comment on column customer_image.effective_at is 'Highest event time so far.';
comment on column customer_image.partition is 'Partition of the customers topic.';
comment on table store_product is
    'Every (store, product) ever seen. Its row lock orders the evaluations of the pair.';
comment on column store_product.store_id is 'Store.';
comment on column store_product.product_id is 'Product.';
comment on table consumer_offset is
    'Where each partition of the three topics stands. Written in the same transaction as the effects of its records.';
comment on column consumer_offset.topic is 'Topic.';
comment on column consumer_offset.partition is 'Its partition.';
comment on column consumer_offset.next_offset is 'Everything below is applied.';
comment on column consumer_offset.owner is 'The consumer that may write it: the fence against one that lost its partitions without noticing.';
comment on column consumer_offset.streamed_position is 'Position of the last streamed change applied; null before the first.';
comment on column consumer_offset.applied_until is 'Source time up to which everything is applied; null before the first heartbeat.';
comment on column consumer_offset.snapshot_ended is 'Whether the end of a complete snapshot has passed.';
comment on function position_below(text, text) is
    'Whether position a is before position b in the order of the source.';
comment on function applied_until() is
    'Source time up to which every partition is applied; a stage that stands still makes it stand still.';
comment on function inventory_hourly_full(timestamptz, timestamptz, timestamptz) is
    'Every key and hour from from_hour up to, not including, until_hour: hours without change carried forward, each row closed at the end of its hour or at as_of.';
