-- A shop of any number of keys (store, product), and a procedure that changes it by the mix of a working day.

create table inventory (
    store_id   bigint,
    product_id bigint,
    on_hand    integer not null,
    updated_at timestamptz not null default now(),
    primary key (store_id, product_id)
);
create table customers (
    customer_id     bigint primary key,
    tier            text not null,
    contact_allowed boolean not null
);
create table orders (
    order_id       bigint generated always as identity primary key,
    customer_id    bigint not null,
    store_id       bigint not null,
    product_id     bigint not null,
    quantity       integer not null,
    unit_price     numeric(12, 2) not null,
    status         text not null,
    promotion_code text,
    placed_at      timestamptz not null
);

-- A key's number, 0 to keys - 1: any of them, or by Zipf's law with exponent 1 (the inverse of its
-- distribution), where neighbours in rank are no neighbours in the table.
create function pick(keys bigint, uniform boolean) returns bigint language sql volatile as $$
    select case when uniform then floor(random() * keys)::bigint
                else (floor(exp(random() * ln(keys + 1)))::bigint * 2654435761) % keys end
$$;

-- Keys, a hundred thousand customers of whom every fifth is premium, and a past of two orders in the last
-- two weeks for each of `habits` tuples.
create procedure open_shop(keys bigint, habits bigint) language plpgsql as $$
begin
    perform setseed(0.5);
    insert into inventory
        select k % 20 + 1, k / 20 + 1, (random() * 200)::integer from generate_series(0, keys - 1) k;
    insert into customers
        select c, case when c % 5 = 0 then 'premium' else 'basic' end, true from generate_series(1, 100000) c;
    insert into orders (customer_id, store_id, product_id, quantity, unit_price, status, placed_at)
        select h.customer_id, h.k % 20 + 1, h.k / 20 + 1, 1 + n, 9.9, 'delivered',
               now() - interval '1 day' * (2 + 5 * n + h.age)
        from (select 5 * (1 + floor(random() * 20000))::bigint as customer_id, pick(keys, false) as k,
                     random() * 4 as age
              from generate_series(1, habits)) h
        cross join generate_series(0, 1) n;
end $$;

-- 80 % changes of stock; 20 % orders: of these 70 % new, 20 % further on their way, 10 % cancelled. Twenty changes
-- a transaction.
create procedure live(events integer, keys bigint, uniform boolean) language plpgsql as $$
declare
    k bigint;
    kind float8;
    which bigint;
    placed bigint := (select max(order_id) from orders);
begin
    for n in 1..events loop
        k := pick(keys, uniform);
        kind := random();
        if kind < 0.8 then
            update inventory set on_hand = abs(on_hand + (random() * 20)::integer - 10), updated_at = now()
            where store_id = k % 20 + 1 and product_id = k / 20 + 1;
        elsif kind < 0.94 then
            insert into orders (customer_id, store_id, product_id, quantity, unit_price, status, placed_at)
            values (1 + floor(random() * 100000), k % 20 + 1, k / 20 + 1, 1, 9.9, 'placed', now());
        else
            which := 1 + floor(random() * placed);
            update orders set status = case when kind < 0.98 then 'shipped' else 'cancelled' end
            where order_id = which;
        end if;
        if n % 20 = 0 then
            commit;
        end if;
    end loop;
end $$;
