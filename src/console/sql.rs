//! Texts that several statements share.

/// A moment as the page reads it: ISO 8601, in UTC.
macro_rules! moment {
    ($column:literal) => {
        concat!(
            "to_char(",
            $column,
            " at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"
        )
    };
}

/// Codes as the page shows them, of rows `p` of the ledger with the [`code_joins`].
macro_rules! code_columns {
    () => {
        concat!(
            "select coalesce(json_agg(json_build_object(
                'promotion_id', p.promotion_id, 'code', p.code, 'rule_id', p.rule_id, 'rule', r.name,
                'customer_id', p.customer_id, 'store_id', p.store_id, 'product_id', p.product_id,
                'discount_percent', p.discount_percent, 'state', p.state, 'source', p.source,
                'issued_at', ",
            moment!("p.issued_at"),
            ", 'dispatched_at', ",
            moment!("p.dispatched_at"),
            ", 'valid_until', ",
            moment!("p.valid_until"),
            ", 'redeemed_at', ",
            moment!("p.redeemed_at"),
            ", 'reason', json_build_object(
                'tier', m.tier, 'orders', coalesce(h.orders, 0),
                'habit_days', (extract(epoch from r.habit_window) / 86400)::bigint,
                'on_hand', c.on_hand,
                'cover_days', round(c.on_hand * c.hours / nullif(24.0 * c.units, 0), 1),
                'cause', coalesce(o.why ->> 'cause', e.cause),
                'cause_position', coalesce(o.why ->> 'cause_position', e.cause_position)))
              order by p.issued_at desc, p.promotion_id), '[]')::text"
        )
    };
}

/// What [`code_columns`] needs beside the ledger.
macro_rules! code_joins {
    () => {
        " join promotion_rule r using (rule_id)
          left join customer_image m on m.customer_id = p.customer_id and m.present
          left join promotion_condition c
              on (c.rule_id, c.store_id, c.product_id) = (p.rule_id, p.store_id, p.product_id)
          left join promotion_outbox o on o.promotion_id = p.promotion_id
          left join promotion_eligibility e
              on (e.rule_id, e.customer_id, e.store_id, e.product_id)
               = (p.rule_id, p.customer_id, p.store_id, p.product_id)
          cross join lateral (
              select count(*) as orders from order_image i
              where (i.store_id, i.product_id, i.customer_id) = (p.store_id, p.product_id, p.customer_id)
                and i.counted_at > p.issued_at - r.habit_window and i.counted_at <= p.issued_at
                and not i.cancelled) h"
    };
}
