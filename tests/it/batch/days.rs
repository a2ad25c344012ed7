//! `inventory_daily`: what a day was, by the source alone.

use super::{batch, migrated, texts};

const ROWS: &str = "
    select concat_ws(' ', store_id, product_id, coalesce(closing::text, 'null'),
                     case when taken_at is null then 'untaken' else 'taken' end, units, revenue)
    from inventory_daily where day = $day order by store_id, product_id";

fn rows_of(day: &str) -> String {
    ROWS.replace("$day", day)
}

const TODAY: &str = "(now() at time zone 'Pacific/Kiritimati')::date";

/// Kiritimati is 14 hours ahead: its days are never those of UTC.
const SHOP: &str = "
    truncate orders, inventory;
    alter table orders alter unit_price type numeric, alter status drop not null;
    alter table inventory alter on_hand drop not null;
    insert into inventory (store_id, product_id, on_hand, target_stock) values
        (1, 1, 40, 0), (1, 2, null, 0), (1, 3, 0, 0), (2, 1, -2, 0);
    create function begins(back integer) returns timestamptz language sql as $$
        select ((now() at time zone 'Pacific/Kiritimati')::date - back)::timestamp
               at time zone 'Pacific/Kiritimati' $$;
    insert into orders (order_id, customer_id, store_id, product_id, quantity, unit_price, status, placed_at)
    values
        -- Today, from its first moment on.
        (1, 11, 1, 1, 2, 1.50, 'placed', begins(0)),
        (2, null, 1, 1, 3, 0.000001, null, begins(-1) - interval '1 us'),
        (3, 11, 1, 1, 5, 1, 'placed', begins(-1)),
        (4, 11, 1, 1, 7, 1, 'cancelled', begins(0)), (5, 11, 1, 1, 7, 1, 'returned', begins(0)),
        (6, 11, 1, 1, 7, 'NaN', 'paid', begins(0)), (7, 11, 1, 1, 7, 'Infinity', 'paid', begins(0)),
        (8, 11, 1, 1, 7, 0.1234567, 'paid', begins(0)), (9, 11, 1, 1, null, 1, 'paid', begins(0)),
        (10, 11, 1, 1, 7, null, 'paid', begins(0)), (11, 11, null, 1, 7, 1, 'paid', begins(0)),
        (12, 11, 1, 1, 7, 1, 'paid', 'infinity'), (13, 11, 1, 1, 7, 1, 'paid', '-infinity'),
        (14, 11, 1, 1, 7, 1, 'paid', null), (15, 11, 1, 1, 7, 1, 'paid', '294250-01-01'),
        (16, 11, 9, 9, 1, 4, 'Cancelled', begins(0)),
        -- Yesterday, its last moment, and the day before.
        (17, 11, 1, 2, 1, 9, 'paid', begins(0) - interval '1 us'),
        (18, 11, 1, 2, 1, 9, 'paid', begins(1)),
        (19, 11, 1, 3, 4, 2, 'paid', begins(2)), (20, 11, 1, 1, 4, 2.5, 'paid', begins(2));";

#[tokio::test]
async fn a_day_is_its_orders_and_the_level_when_it_was_run() {
    let shop = migrated("days").await;
    let source = shop.source().await;
    source.batch_execute(SHOP).await.unwrap();
    let config = format!(
        "{}[retail]\nday_zone = \"Pacific/Kiritimati\"\n",
        shop.config()
    );
    let sink = shop.sink().await;
    let ended = batch(&config, &["--date", "today"]);
    let expected = [
        "1 1 40 taken 5 3.000003",
        "1 3 0 taken 0 0.000000",
        "2 1 -2 taken 0 0.000000",
        "9 9 null taken 1 4.000000",
    ];
    assert_eq!(texts(&sink, &rows_of(TODAY)).await, expected);
    let summary = ": 4 products in stores, 6 units sold, revenue 7.000003";
    assert!(ended.output.contains(summary), "{}", ended.output);

    // Once more, it is the same.
    batch(&config, &["--date", "today"]);
    assert_eq!(texts(&sink, &rows_of(TODAY)).await, expected);

    batch(&config, &["--date", "yesterday"]);
    let yesterday = rows_of(&format!("{TODAY} - 1"));
    let expected = [
        "1 1 40 taken 0 0.000000",
        "1 2 null taken 2 18.000000",
        "1 3 0 taken 0 0.000000",
        "2 1 -2 taken 0 0.000000",
    ];
    assert_eq!(texts(&sink, &yesterday).await, expected);

    let dated = texts(&sink, &format!("select ({TODAY} - 2)::text")).await;
    let long_past = rows_of(&format!("{TODAY} - 2"));
    let ended = batch(&config, &["--date", &dated[0]]);
    assert!(
        ended.output.contains("neither today nor yesterday"),
        "{}",
        ended.output
    );
    let expected = [
        "1 1 null untaken 4 10.000000",
        "1 3 null untaken 4 8.000000",
    ];
    assert_eq!(texts(&sink, &long_past).await, expected);

    // Its level stays where a run of then has taken it; the rest follows the source.
    let taken = format!(
        "update inventory_daily set closing = 17, taken_at = now() where day = {TODAY} - 2 and product_id = 1;
         insert into inventory_daily select 5, 5, {TODAY} - 2, 3, now(), 8, 8"
    );
    sink.batch_execute(&taken).await.unwrap();
    source.batch_execute("update orders set status = 'returned' where order_id = 20; delete from orders where order_id = 19").await.unwrap();
    let ended = batch(&config, &["--date", &dated[0]]);
    assert!(
        ended
            .output
            .contains(": 2 products in stores, 0 units sold"),
        "{}",
        ended.output
    );
    let expected = ["1 1 17 taken 0 0.000000", "5 5 3 taken 0 0.000000"];
    assert_eq!(texts(&sink, &long_past).await, expected);

    // What has gone from a day that is not over is gone from it.
    source
        .batch_execute("truncate orders, inventory")
        .await
        .unwrap();
    batch(&config, &["--date", "today"]);
    assert!(texts(&sink, &rows_of(TODAY)).await.is_empty());
    let runs = texts(
        &sink,
        "select format('%s %s', products, tuples) from batch_run order by day",
    )
    .await;
    assert_eq!(runs, ["2 0", "4 0", "0 0"]);
}
