//! How long the stock of each store's products lasts.

/// The 40 stores and 60 products that sell most, and of each pair its level, its sales of 168 hours and the days
/// that the one lasts at the other.
pub(super) const COVER: &str = concat!(
    "with sold as materialized (
        select store_id, product_id, sum(units)::bigint as units from sales_hourly
        where hour >= date_trunc('hour', now(), 'UTC') - interval '168 hours'
        group by store_id, product_id
    ), known as materialized (
        select i.store_id, i.product_id, i.on_hand, coalesce(s.units, 0) as units
        from inventory_image i left join sold s using (store_id, product_id)
        where i.on_hand is not null
    ), stores as (
        select store_id from known group by store_id order by sum(units) desc, store_id limit 40
    ), products as (
        select product_id, sum(units) as units from known
        group by product_id order by sum(units) desc, product_id limit 60
    ), cells as (
        select s.store_id, p.product_id, p.units as rank, case when k.store_id is not null then
            json_build_object('on_hand', k.on_hand, 'units', k.units,
                              'days', case when k.on_hand > 0
                                           then round(k.on_hand * 7.0 / nullif(k.units, 0), 1)
                                           else 0 end) end as cell
        from stores s cross join products p
        left join known k on (k.store_id, k.product_id) = (s.store_id, p.product_id)
    ), rows as (
        select store_id, json_agg(cell order by rank desc, product_id) as cells
        from cells group by store_id
    )
    select json_build_object(
        'at', ",
    moment!("now()"),
    ",
        'stores', coalesce((select json_agg(store_id order by store_id) from rows), '[]'),
        'products', coalesce((select json_agg(product_id order by units desc, product_id) from products), '[]'),
        'stores_total', (select count(distinct store_id) from known),
        'products_total', (select count(distinct product_id) from known),
        'cells', coalesce((select json_agg(cells order by store_id) from rows), '[]'))::text"
);
