-- What a row means:
--   inventory_daily    one (store, product) on one day: its level when the batch ran, and what was sold
--   batch_eligibility  one tuple that met every condition of a rule at the last batch's moment, and its figures
--   batch_run          one day that the batch has run for

create table inventory_daily (
    store_id   bigint         not null,
    product_id bigint         not null,
    day        date           not null,
    closing    integer,
    taken_at   timestamptz,
    units      bigint         not null,
    revenue    numeric(38, 6) not null,
    constraint inventory_daily_pkey primary key (store_id, product_id, day),
    constraint inventory_daily_taken check (closing is null or taken_at is not null)
);
create index inventory_daily_day on inventory_daily (day);

create table batch_eligibility (
    rule_id         bigint      not null,
    customer_id     bigint      not null,
    store_id        bigint      not null,
    product_id      bigint      not null,
    on_hand         integer     not null,
    units           bigint      not null,
    hours           bigint      not null,
    last_at         timestamptz not null,
    contact_allowed boolean     not null,
    constraint batch_eligibility_pkey primary key (rule_id, customer_id, store_id, product_id),
    constraint batch_eligibility_rule foreign key (rule_id) references promotion_rule
);

create table batch_run (
    day          date           not null,
    evaluated_at timestamptz    not null,
    taken_at     timestamptz    not null,
    finished_at  timestamptz    not null,
    products     bigint         not null,
    units        bigint         not null,
    revenue      numeric        not null,
    tuples       bigint         not null,
    codes        bigint         not null default 0,
    codes_at     timestamptz,
    constraint batch_run_pkey primary key (day)
);

comment on table inventory_daily is
    'A store''s product on one day of retail.day_zone, from the source''s tables, as the batch found them.';
comment on column inventory_daily.store_id is 'Store.';
comment on column inventory_daily.product_id is 'Product.';
comment on column inventory_daily.day is 'The day, in retail.day_zone.';
comment on column inventory_daily.closing is 'Level when the batch ran; null if there was none, or if it never ran on the day or the next.';
comment on column inventory_daily.taken_at is 'When that was, by the source''s clock; null if it never ran on the day or the next.';
comment on column inventory_daily.units is 'Units of the orders placed on the day that are neither cancelled nor returned.';
comment on column inventory_daily.revenue is 'Their quantity times unit price.';
comment on table batch_eligibility is
    'Exactly the tuples that met every condition of a running rule at the moment of the last batch (batch_run.evaluated_at), by the source''s tables alone.';
comment on column batch_eligibility.rule_id is 'Rule.';
comment on column batch_eligibility.customer_id is 'Customer.';
comment on column batch_eligibility.store_id is 'Store.';
comment on column batch_eligibility.product_id is 'Product.';
comment on column batch_eligibility.on_hand is 'Level.';
comment on column batch_eligibility.units is 'Units sold in the rule''s demand_window.';
comment on column batch_eligibility.hours is 'Hours that this demand was observed for.';
comment on column batch_eligibility.last_at is 'placed_at of the tuple''s last uncancelled order.';
comment on column batch_eligibility.contact_allowed is 'Whether the customer may be sent codes.';
comment on table batch_run is 'Days that the batch has run for, each as of its last run.';
comment on column batch_run.day is 'The day, in retail.day_zone.';
comment on column batch_run.evaluated_at is 'The whole minute that eligibility is for.';
comment on column batch_run.taken_at is 'When the source was read, by its clock.';
comment on column batch_run.finished_at is 'When its rows were written, by the sink''s clock.';
comment on column batch_run.products is 'Rows of inventory_daily.';
comment on column batch_run.units is 'Sum of their units.';
comment on column batch_run.revenue is 'Sum of their revenue.';
comment on column batch_run.tuples is 'Rows of batch_eligibility.';
comment on column batch_run.codes is 'Codes issued for the day, over all of its runs.';
comment on column batch_run.codes_at is 'When the last of them was issued; null until all are. They are issued once for a day.';
