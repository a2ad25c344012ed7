-- Codes on their way to the webhook: at least once, under the code's own id.
create table promotion_delivery (
    promotion_id    uuid        not null,
    body            text        not null,
    created_at      timestamptz not null,
    attempts        integer     not null default 0,
    next_attempt_at timestamptz not null,
    delivered_at    timestamptz,
    parked_at       timestamptz,
    last_error      text,
    constraint promotion_delivery_pkey primary key (promotion_id),
    constraint promotion_delivery_promotion foreign key (promotion_id) references promotion
);
create index promotion_delivery_due on promotion_delivery (next_attempt_at)
    where delivered_at is null;

comment on table promotion_delivery is
    'Codes for the webhook, from the moment that the promotions topic has acknowledged them. Never wiped.';
comment on column promotion_delivery.promotion_id is 'The code''s row in promotion; the delivery''s id too.';
comment on column promotion_delivery.body is 'What is sent: the record of the promotions topic.';
comment on column promotion_delivery.created_at is 'When it began to wait.';
comment on column promotion_delivery.attempts is 'Attempts so far.';
comment on column promotion_delivery.next_attempt_at is 'When it is due; while an attempt is under way, when another instance may take it over.';
comment on column promotion_delivery.delivered_at is 'When the receiver had accepted it; null before.';
comment on column promotion_delivery.parked_at is 'When it was given up after webhook.attempts_max attempts; null before.';
comment on column promotion_delivery.last_error is 'Why the last attempt failed.';
