-- What a row means:
--   arm_share   the shares of the arms from one moment on; the latest row is what holds now
--   promotion   has a new column: which half issued the code
--
-- Function: arm_bucket.

-- The first four bytes of the SHA-256 of 'tidewater:' and the customer's number, as an unsigned number, modulo 100.
create function arm_bucket(customer_id bigint) returns integer
language sql immutable strict parallel safe
return mod(('x' || left(encode(sha256(('tidewater:' || customer_id::text)::bytea), 'hex'), 8))::bit(32)::bigint,
           100)::integer;

create table arm_share (
    since   timestamptz not null,
    stream  integer     not null,
    batch   integer     not null,
    holdout integer     not null,
    constraint arm_share_pkey primary key (since),
    constraint arm_share_percent check (
        stream >= 0 and batch >= 0 and holdout >= 0 and stream + batch + holdout = 100)
);
insert into arm_share values ('-infinity', 100, 0, 0);

alter table promotion add column source text not null default 'stream';
alter table promotion add constraint promotion_source_known check (source in ('stream', 'batch'));

comment on function arm_bucket(bigint) is
    'The customer''s bucket, 0 to 99. The stream''s arm has the lowest buckets, then the batch''s, then the holdout.';
comment on table arm_share is
    'Shares of the arms as those who issue codes were configured, by when they began to.';
comment on column arm_share.since is 'From when on.';
comment on column arm_share.stream is 'Percent of the customers whose codes the stream issues.';
comment on column arm_share.batch is 'Percent of the customers whose codes the nightly batch issues.';
comment on column arm_share.holdout is 'Percent of the customers who get no code.';
comment on column promotion.source is 'Who issued it: stream, or the nightly batch.';
