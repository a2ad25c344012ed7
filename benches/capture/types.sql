-- Makes the capture of the 40-column table, a row of mixed types, as orders.sql does that of the other:
--
--     psql -Atq -f benches/capture/types.sql | xxd -r -p > benches/capture/types.bin
--
-- Two transactions of 100 inserts, then one of 50 updates and one of 25 deletes.

set timezone = 'UTC';
set datestyle = 'ISO';
set intervalstyle = 'iso_8601';
set lc_monetary = 'C';
set extra_float_digits = 1;
set client_min_messages = 'warning';

create table samples (
  id bigint primary key,
  flag boolean not null, small smallint, number integer, object oid,
  price numeric(12,2), exact numeric, single real, double double precision, amount money,
  note text, label varchar(20), code char(5), key uuid, bytes bytea,
  day date, clock time, clock_there timetz, stamp timestamp, moment timestamptz, span interval,
  document json, facts jsonb, markup xml,
  address inet, network cidr, card macaddr, flags bit(8), mask varbit,
  numbers integer[], words text[], prices numeric(12,2)[], moments timestamptz[],
  shelf int4range, valid tstzrange, place point, area box, position pg_lsn, terms tsvector,
  remark text
);

create procedure put_samples(batches integer) language plpgsql as $$
begin
  for batch in 0 .. batches - 1 loop
    insert into samples
    select
      n,
      n % 2 = 0, n % 30000, n * 7919, n,
      (100 + n * 104729 % 99900) / 100.0, n / 7.0, n / 3.0::real, n / 9.0::double precision, n * 1.25::money,
      'sample ' || n || ' is "packed" at the counter', 'label-' || n, 'c' || n % 999, md5(n::text)::uuid,
      decode(md5(n::text) || md5((n + 1)::text), 'hex'),
      date '2026-02-03' + n, time '04:05:06.000007' + n * interval '1 second', timetz '04:05:06+02',
      timestamp '2026-02-03 04:05:06.000007' + n * interval '1 minute',
      timestamptz '2026-02-03 04:05:06.5Z' + n * interval '1 minute', n * interval '1 day 02:03:04.5',
      json_build_object('id', n, 'tags', array['a', 'b']), jsonb_build_object('id', n, 'ratio', n / 8.0),
      xmlelement(name sample, n),
      inet '10.1.2.3' + n % 200, cidr '10.1.0.0/16', macaddr '08:00:2b:01:02:03', (n % 256)::bit(8), b'10110',
      array[n, n + 1, n + 2, null, n + 4], array['one', 'two, "three"', 'four'], array[n / 4.0, n / 2.0],
      array[timestamptz '2026-02-03 04:05:06Z', timestamptz '2026-02-03 04:05:06Z' + n * interval '1 hour'],
      int4range(n, n + 10), tstzrange('2026-02-03 04:05:06Z', null), point(n, n / 2.0), box(point(n, 1), point(0, 0)),
      '0/0'::pg_lsn + n, to_tsvector('simple', 'sample number ' || n),
      case when n % 10 = 0 then 'now and then' end
    from generate_series(batch * 100 + 1, (batch + 1) * 100) as n;
    commit;
  end loop;
end
$$;

create publication capture_types for table samples;

select from pg_create_logical_replication_slot('capture_types', 'pgoutput');

call put_samples(2);
update samples set number = number + 1 where id <= 50;
delete from samples where id > 175;

\set slot capture_types
\ir captured.sql
