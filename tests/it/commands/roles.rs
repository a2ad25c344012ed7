//! The roles as processes of their own, end to end.

use tidewater::exit::ExitCode;

use super::{Shop, streaming};
use crate::support::{self, Tidewater};

#[tokio::test]
async fn replicate_and_aggregate_carry_a_row_into_the_aggregates() {
    let shop = Shop::open("roles").await;
    let mut replicator = Tidewater::start(&["replicate"], &shop.source_config());
    let aggregator = Tidewater::start(&["aggregate"], &shop.config());
    streaming(&mut replicator).await;
    let source = shop.source().await;
    source
        .batch_execute(
            "update inventory set on_hand = 39 where store_id = 1;
             insert into orders values (102, 12, 1, 7, 3, 10, 'placed', null, now())",
        )
        .await
        .unwrap();
    support::until("the sink to be made", async || {
        !shop_is_missing(&shop).await
    })
    .await;
    let sink = shop.sink().await;
    support::until("the order to be counted", async || {
        let sql = "select coalesce(sum(units), 0)::bigint, coalesce(sum(revenue), 0)::text
                     from sales_hourly";
        sink.query_one(sql, &[]).await.is_ok_and(|row| {
            let (units, revenue): (i64, String) = (row.get(0), row.get(1));
            units == 6 && revenue.starts_with("67.5")
        })
    })
    .await;
    support::until("the level", async || {
        let sql = "select on_hand from inventory_image where store_id = 1 and product_id = 7";
        sink.query_opt(sql, &[])
            .await
            .is_ok_and(|row| row.is_some_and(|row| row.get::<_, Option<i32>>(0) == Some(39)))
    })
    .await;
    Tidewater::run(&["verify"], &shop.config()).expect(ExitCode::Success);
    for role in [replicator, aggregator] {
        let ended = role.terminate();
        assert_eq!(ended.code(), Some(0), "{}", ended.log);
    }
}

async fn shop_is_missing(shop: &Shop) -> bool {
    let connection: tidewater::connection::Connection = shop.sink.parse().unwrap();
    tidewater::connection::connect(&connection).await.is_err()
}

#[tokio::test]
async fn run_has_every_role_and_ends_clean() {
    let shop = Shop::open("run").await;
    let mut process = Tidewater::start(&["run"], &shop.config());
    streaming(&mut process).await;
    support::until("the sink to be made", async || {
        !shop_is_missing(&shop).await
    })
    .await;
    let sink = shop.sink().await;
    support::until("freshness", async || {
        let sql = "select now() - applied_until() < interval '5 seconds'";
        sink.query_one(sql, &[])
            .await
            .is_ok_and(|row| row.get::<_, Option<bool>>(0) == Some(true))
    })
    .await;
    let ended = process.terminate();
    assert_eq!(ended.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("stream drained"), "{}", ended.log);
}
