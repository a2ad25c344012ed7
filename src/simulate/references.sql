-- What a load goes without: foreign keys, checked once for all rows, and the indexes beside the keys.

create index if not exists orders_store_placed_at on orders (store_id, placed_at);
create index if not exists orders_customer on orders (customer_id);
create index if not exists orders_promotion_code on orders (promotion_code)
    where promotion_code is not null;

do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('inventory', 'inventory_store', 'store_id', 'stores'),
            ('inventory', 'inventory_product', 'product_id', 'products'),
            ('orders', 'orders_store', 'store_id', 'stores'),
            ('orders', 'orders_product', 'product_id', 'products'),
            ('orders', 'orders_customer', 'customer_id', 'customers')
        ) as keys (child, name, reference, parent)
    loop
        if not exists (
            select from pg_constraint
            where conname = wanted.name and conrelid = wanted.child::regclass)
        then
            execute format('alter table %I add constraint %I foreign key (%I) references %I',
                wanted.child, wanted.name, wanted.reference, wanted.parent);
        end if;
    end loop;
end
$$;
