-- The ten-column table that every benchmark uses, and the procedure that fills it: `batches` transactions
-- of `orders_per_batch` rows each, from order `1` on.

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
    from generate_series(
      batch::bigint * orders_per_batch + 1,
      (batch + 1)::bigint * orders_per_batch
    ) as n;
    commit;
  end loop;
end
$$;
