-- What a row means:
--   inventory_hourly   one (store, product) in one hour in which its level changed or was set by a read
--   sales_hourly       the orders placed in one hour for one (store, product)
--   purchase_habit     one customer's uncancelled orders of one product in one store
--   *_image            the last state of a source row, kept for ever: position and effective time
--                      outlive the row itself
--   store_product      a (store, product) that was ever seen: the lock that orders its evaluations
--   consumer_offset    one partition of a topic: where its consumer stands, and who that consumer is

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
);
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
);
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
);
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
);
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
);
create index order_image_partition on order_image (partition);
create index order_image_tuple on order_image (store_id, product_id, customer_id, counted_at)
    where counted_at is not null and not cancelled;
create index order_image_code on order_image (promotion_code) where promotion_code is not null;

create table customer_image (
    customer_id     bigint      not null,
    present         boolean     not null,
    tier            text,
    contact_allowed boolean     not null,
    position        text        not null,
    effective_at    timestamptz not null,
    partition       integer     not null,
    constraint customer_image_pkey primary key (customer_id)
);
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
);
