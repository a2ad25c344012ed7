-- What shoppers did of late, so that an event counts once and makes codes of intent rules due.
create table shopper_event (
    event_id     uuid        not null,
    type         text        not null,
    customer_id  bigint      not null,
    store_id     bigint      not null,
    product_id   bigint,
    occurred_at  timestamptz not null,
    received_at  timestamptz not null,
    promotion_id uuid,
    constraint shopper_event_pkey primary key (event_id),
    constraint shopper_event_type_known check (type in ('store_entered', 'product_viewed', 'cart_added'))
);
create index shopper_event_customer on shopper_event (customer_id, store_id, occurred_at);
create index shopper_event_received on shopper_event (received_at);

comment on table shopper_event is
    'Application events of the last day, or of the longest intent_window if that is longer. An event_id counts once within it.';
comment on column shopper_event.event_id is 'The event, as the application named it.';
comment on column shopper_event.type is 'store_entered, product_viewed or cart_added.';
comment on column shopper_event.customer_id is 'Who.';
comment on column shopper_event.store_id is 'Where.';
comment on column shopper_event.product_id is 'With what; null when it is about the store as a whole.';
comment on column shopper_event.occurred_at is 'When, by the application''s clock. It counts from then for a rule''s intent_window, and not when it lies more than a minute ahead.';
comment on column shopper_event.received_at is 'When the gateway had it; for a record without that, its time in the topic.';
comment on column shopper_event.promotion_id is 'The code that an event without product has made due. It makes only one due.';
