-- What a row means:
--   promotion_checked   one partition of the promotions topic, and up to where the ledger has its codes
--   promotion           has a new column: when a code was taken from the topic into the ledger
create table promotion_checked (
    partition   integer not null,
    next_offset bigint  not null,
    constraint promotion_checked_pkey primary key (partition)
);
alter table promotion add column recovered_at timestamptz;

comment on table promotion_checked is
    'Up to where the ledger is known to have every code of the promotions topic. Whoever issues codes reads on from there when it connects, and so finds what a restored backup lacks.';
comment on column promotion_checked.partition is 'Partition of the promotions topic.';
comment on column promotion_checked.next_offset is 'Every code below is in the ledger.';
comment on column promotion.recovered_at is
    'When it was taken into the ledger from the promotions topic, after a restore from a backup that lacked it; null for others. Cycles that lack before it were withdrawn.';
