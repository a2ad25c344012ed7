-- Makes the capture that the benches replay: the bytes of pgoutput for the ten-column table, as a real
-- server wrote them. Run it in an empty database of a server with wal_level=logical:
--
--     psql -Atq -f benches/capture/stream.sql | xxd -r -p > benches/capture/stream.bin
--
-- Each message is 8 bytes of LSN, 4 bytes of length and the message itself. Ten transactions of 100
-- inserts, then one of 100 updates and one of 50 deletes.

set timezone = 'UTC';
set datestyle = 'ISO';
set extra_float_digits = 1;
set client_min_messages = 'warning';

create table orders (
  order_id bigint primary key,
  customer_id bigint not null,
  unit_price numeric(12,2) not null,
  quantity integer not null,
  sku text not null,
  placed_at timestamptz not null,
  promised_at timestamp not null,
  gift boolean not null,
  note text not null,
  basket_id uuid not null
);

create publication capture for table orders;

select from pg_create_logical_replication_slot('capture', 'pgoutput');

create procedure place_orders(batches integer, orders_per_batch integer) language plpgsql as $$
begin
  for batch in 0 .. batches - 1 loop
    insert into orders
    select
      n,
      1000000 + n * 7919 % 100000,
      (100 + n * 104729 % 99900) / 100.0,
      1 + n % 9,
      'SKU-' || lpad((n * 31 % 1000000)::text, 6, '0'),
      timestamptz '2026-11-23 08:00:00Z' + n * interval '123457 microseconds',
      timestamp '2026-11-25 12:00:00' + n * interval '1 minute 1 microsecond',
      n % 2 = 0,
      rpad('order ' || n || ' is packed at the counter, wrapped, and left with the neighbour', 70, '.'),
      md5(n::text)::uuid
    from generate_series(batch * orders_per_batch + 1, (batch + 1) * orders_per_batch) as n;
    commit;
  end loop;
end
$$;

call place_orders(10, 100);
update orders set quantity = quantity + 1 where order_id <= 100;
delete from orders where order_id > 950;

select
  encode(
    int8send((lsn - '0/0')::bigint) || int4send(length(data)) || data,
    'hex'
  )
from pg_logical_slot_get_binary_changes(
  'capture', null, null, 'proto_version', '1', 'publication_names', 'capture'
);

select from pg_drop_replication_slot('capture');
