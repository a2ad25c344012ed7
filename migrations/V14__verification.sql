-- What a row means:
--   verification   one pass of the continuous verification over all tables, and how far it is
create table verification (
    pass          bigint      generated always as identity,
    started_at    timestamptz not null,
    finished_at   timestamptz,
    at_table      text        not null,
    after_key     bigint[]    not null default '{}',
    rows_compared bigint      not null default 0,
    rows_moving   bigint      not null default 0,
    differences   bigint      not null default 0,
    found         text[]      not null default '{}',
    constraint verification_pkey primary key (pass)
);

-- Sales of a few stores and products are added up from their orders; those that are cancelled are few.
create index order_image_cancelled on order_image (store_id, product_id)
    where counted_at is not null and cancelled;

comment on table verification is
    'Passes of the continuous verification, the last hundred. The one without finished_at is under way.';
comment on column verification.pass is 'Counts the passes.';
comment on column verification.started_at is 'When it began.';
comment on column verification.finished_at is 'When every table was through; null before.';
comment on column verification.at_table is 'The table that is being compared.';
comment on column verification.after_key is 'The key up to which it was; empty at its beginning.';
comment on column verification.rows_compared is 'Rows that were compared.';
comment on column verification.rows_moving is 'Rows that changed whenever they were looked at.';
comment on column verification.differences is 'Rows that differ.';
comment on column verification.found is 'Table and key of the first hundred of them.';
