-- Which order redeems a code depends on when it was placed, whether or not it enters the aggregates.
alter table order_image add column dated_at timestamptz;
update order_image set dated_at =
    case when counted_at is not null then counted_at
         -- Only an order with a null or infinite price or quantity comes here.
         when placed_at ~ '^\d{4}-' then placed_at::timestamptz end;
comment on column order_image.dated_at is
    'placed_at as a moment, whatever else the order lacks; null when it is null or infinite.';

create index promotion_refusal_code on promotion_refusal (promotion_code);
create index promotion_redeemed_order on promotion (redeemed_order_id) where redeemed_order_id is not null;
create index promotion_issued on promotion (issued_at);
