//! What happens in the wholesaler's tables, and what it amounts to by plain SQL over them.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tidewater::connection::Database;

use super::texts;

/// Rows that are there before anything streams. In depot 9 nothing else ever happens: its members earn a code.
pub(super) const ROWS: &str = "
    insert into crm.members select id, 'member ' || id, (array['A', 'B', 'C'])[1 + id % 3]::crm.class,
           case when id % 5 = 0 then null else id % 4 > 0 end
        from generate_series(1, 12) as id;
    insert into erp.\"Stock\" select article, depot, 40
        from generate_series(1, 3) as depot, generate_series(1, 4) as article;
    insert into sales.order_lines (member_no, depot, article, pieces, price, st, placed)
        select 1 + id % 12, 1 + id % 3, 1 + id % 4, 1 + id % 3, 2.5, (array['N', 'P', 'X', 'R'])[1 + id % 4],
               (now() at time zone 'UTC') - id * interval '5 hours'
        from generate_series(1, 100) as id;
    insert into crm.members values (901, 'keeper', 'A', true);
    insert into erp.\"Stock\" values (9, 9, 500, 'dusty');
    insert into sales.order_lines (member_no, depot, article, pieces, price, placed)
        select 901, 9, 9, 1, 5, (now() at time zone 'UTC') - days * interval '1 day'
        from generate_series(3, 4) as days";

/// Every kind of change, weighted by its place in the list.
const KINDS: [&str; 12] = [
    "order", "order", "order", "status", "status", "level", "level", "line", "gone", "moved",
    "member", "key",
];

/// One change of rows, whatever they are at that moment.
pub(super) fn change(rng: &mut ChaCha8Rng) -> String {
    let (depot, article) = (rng.random_range(1..=3), rng.random_range(1..=4));
    let member = rng.random_range(1..=12);
    let recent = format!(
        "depot < 9 and line_no = (select max(line_no) - {} from sales.order_lines where depot < 9)",
        rng.random_range(0..30)
    );
    let pair = format!("\"Depot\" = {depot} and \"Article no.\" = {article}");
    match *KINDS.choose(rng).unwrap() {
        "order" => {
            let member = if member == 7 { "null".to_owned() } else { member.to_string() };
            let pieces = *["1", "1", "2", "2", "3", "null"].choose(rng).unwrap();
            let price = *["2.5", "2.5", "2.5", "2.5", "0.0001", "'NaN'", "null"].choose(rng).unwrap();
            let state = *["'N'", "'N'", "'P'", "'X'", "'R'", "'x'", "null"].choose(rng).unwrap();
            let hours = rng.random_range(0..200);
            format!(
                "insert into sales.order_lines (member_no, depot, article, pieces, price, st, status, placed)
                 values ({member}, {depot}, {article}, {pieces}, {price}, {state}, 'returned',
                         (now() at time zone 'UTC') - {hours} * interval '1 hour')"
            )
        }
        "status" => {
            let state = *["'N'", "'X'", "'R'", "null"].choose(rng).unwrap();
            format!("update sales.order_lines set st = {state}, status = 'cancelled' where {recent}")
        }
        "level" => {
            let level = *["null", "0", "7", "40", "300", "300", "300", "-2"].choose(rng).unwrap();
            format!(
                "insert into erp.\"Stock\" values ({article}, {depot}, {level}, '3')
                 on conflict (\"Depot\", \"Article no.\") do update set \"Qty\" = excluded.\"Qty\""
            )
        }
        "line" => format!("update sales.order_lines set pieces = pieces + 1, depot = {depot} where {recent}"),
        "gone" => match rng.random_range(0..3) {
            0 => format!("delete from sales.order_lines where {recent}"),
            1 => format!("delete from erp.\"Stock\" where {pair}"),
            _ => format!("delete from crm.members where member_no = {member}"),
        },
        "moved" => format!(
            "update erp.\"Stock\" set \"Article no.\" = {article} + 4 where {pair}
             and not exists (select from erp.\"Stock\" where \"Depot\" = {depot} and \"Article no.\" = {article} + 4)"
        ),
        "member" => {
            let class = *["A", "A", "B", "C"].choose(rng).unwrap();
            let write = *["true", "false", "null"].choose(rng).unwrap();
            format!(
                "insert into crm.members values ({member}, 'again', '{class}', {write})
                 on conflict (member_no) do update set class = excluded.class, may_write = excluded.may_write"
            )
        }
        _ => format!("update sales.order_lines set line_no = default where {recent}"),
    }
}

/// Everything that the source's tables amount to, and the same of the sink: a name and a line for each row.
/// `cancelled` are the statuses that do not count.
pub(super) async fn assert_same(source: &Database, sink: &Database, cancelled: &str) {
    let sold = format!("st is null or st not in ({cancelled})");
    let counted = "depot is not null and pieces is not null and price is not null and price <> 'NaN' \
                   and placed is not null";
    let sales = format!(
        "select concat_ws(' ', depot, article, extract(epoch from date_trunc('hour', placed))::bigint,
                count(*) filter (where sold), coalesce(sum(pieces) filter (where sold), 0),
                coalesce(sum(pieces * price) filter (where sold), 0)::numeric(38, 6),
                count(*) filter (where not sold), coalesce(sum(pieces) filter (where not sold), 0),
                coalesce(sum(pieces * price) filter (where not sold), 0)::numeric(38, 6))
         from sales.order_lines, lateral (select {sold}) s (sold) where {counted}
         group by depot, article, date_trunc('hour', placed)"
    );
    let habits = format!(
        "select concat_ws(' ', member_no, depot, article, count(*), sum(pieces),
                extract(epoch from max(placed))::numeric(20, 6))
         from sales.order_lines where {counted} and ({sold}) and member_no is not null
         group by member_no, depot, article"
    );
    for (what, of_source, of_sink) in [
        (
            "sales",
            &*sales,
            "select concat_ws(' ', store_id, product_id, extract(epoch from hour)::bigint, orders, units, revenue,
                    cancelled_orders, cancelled_units, cancelled_revenue) from sales_hourly",
        ),
        (
            "habits",
            &habits,
            "select concat_ws(' ', customer_id, store_id, product_id, orders, units,
                    extract(epoch from last_at)::numeric(20, 6)) from purchase_habit",
        ),
        (
            "levels",
            "select concat_ws(' ', \"Depot\", \"Article no.\", \"Qty\") from erp.\"Stock\" where \"Qty\" is not null",
            "select concat_ws(' ', store_id, product_id, on_hand) from inventory_image where on_hand is not null",
        ),
        (
            "members",
            "select concat_ws(' ', member_no, class, coalesce(may_write, true)) from crm.members",
            "select concat_ws(' ', customer_id, tier, contact_allowed) from customer_image where present",
        ),
        (
            "lines",
            "select concat_ws(' ', line_no, coalesce(st, '-'), coalesce(voucher, '-')) from sales.order_lines",
            "select concat_ws(' ', order_id, coalesce(status, '-'), coalesce(promotion_code, '-')) from order_image
             where present",
        ),
    ] {
        let expected = texts(source, of_source).await;
        assert!(expected.len() > 1, "there are no {what}");
        assert_eq!(texts(sink, of_sink).await, expected, "{what}");
    }
}
