//! `verify --continuous`: a pass covers every row, says nothing of what is right though everything moves, and
//! tells of whatever is wrong.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::sys::signal::Signal;
use tidewater::connection::Database;

use super::{Scene, Servers, repair, shop};
use crate::support::load::Load;
use crate::support::{Tidewater, until, until_within};

const SMALL_CHUNKS: &str = "[verify]\nchunks_per_minute = 600\nchunk_rows = 300";
/// The rows that a pass goes through.
const ROWS: &str = "
    select (select count(*) from inventory_image) + (select count(*) from order_image)
         + (select count(*) from customer_image) + (select count(*) from inventory_hourly)
         + (select count(*) from sales_hourly) + (select count(*) from purchase_habit)
         + (select count(*) from promotion_condition) + (select count(*) from promotion_eligibility)";

/// A pass that has ended.
#[derive(Debug)]
struct Pass {
    number: i64,
    rows: i64,
    moving: i64,
    differences: i64,
    found: BTreeSet<String>,
}

async fn last(sink: &Database) -> Option<Pass> {
    let sql = "
        select pass, rows_compared, rows_moving, differences,
               array(select distinct split_part(one, ' ', 1) from unnest(found) one)
        from verification where finished_at is not null order by pass desc limit 1";
    let row = sink.query_opt(sql, &[]).await.unwrap()?;
    let found: Vec<String> = row.get(4);
    Some(Pass {
        number: row.get(0),
        rows: row.get(1),
        moving: row.get(2),
        differences: row.get(3),
        found: found.into_iter().collect(),
    })
}

/// Waits for a pass that begins after now.
async fn whole_pass(sink: &Database) -> Pass {
    let number = last(sink).await.map_or(0, |pass| pass.number);
    until_within(Duration::from_mins(6), "a whole pass", async || {
        last(sink)
            .await
            .is_some_and(|pass| pass.number > number + 1)
    })
    .await;
    last(sink).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passes_cover_every_row_and_find_what_is_wrong() {
    let scene = Scene::new("continuous", &Servers::shared(), "default", SMALL_CHUNKS).await;
    let replicator = scene.replicate();
    let consumer = scene.aggregate();
    replicator.streaming().await;
    scene.applied().await;
    let sink = scene.sink().await;
    let load = Load::of(shop::statement, &scene.source, 1, Duration::from_millis(30));
    let verifier = Tidewater::start(&["verify", "--continuous"], &scene.config);
    let pass = whole_pass(&sink).await;
    println!("{} changes, under load: {pass:?}", load.changes());
    assert_eq!(pass.differences, 0, "{pass:?}");
    load.stop().await;

    // Its place is in the sink: another process goes on.
    verifier.kill();
    let under_way = "select count(*) from verification where finished_at is null";
    let verifier = Tidewater::start(&["verify", "--continuous"], &scene.config);
    scene.database.batch_execute(shop::OVERSTOCK).await.unwrap();
    scene.applied().await;
    let pass = whole_pass(&sink).await;
    let open: i64 = sink.query_one(under_way, &[]).await.unwrap().get(0);
    assert_eq!(open, 1);
    let rows: i64 = sink.query_one(ROWS, &[]).await.unwrap().get(0);
    assert_eq!(
        (pass.rows, pass.moving, pass.differences),
        (rows, 0, 0),
        "{pass:?}"
    );
    let status = Tidewater::run(&["status"], &scene.config);
    assert!(
        status.output.contains(" 0 differences, "),
        "{}",
        status.output
    );

    // What the sink has not applied yet is no difference, however long that takes.
    consumer.signal(Signal::SIGSTOP);
    let change = "update inventory set on_hand = on_hand + 1";
    scene.database.batch_execute(change).await.unwrap();
    let waiting = "select at_table = 'inventory_image' from verification where finished_at is null";
    until("the pass to come to the change", async || {
        sink.query_one(waiting, &[]).await.unwrap().get(0)
    })
    .await;
    let asks = "select count(*) > 0 from pg_stat_activity
                where datname = current_database()
                  and query like 'select partition, next_offset from consumer_offset where topic%'";
    until("the verifier to wait for the sink", async || {
        sink.query_one(asks, &[]).await.unwrap().get(0)
    })
    .await;
    consumer.signal(Signal::SIGCONT);
    scene.applied().await;
    whole_pass(&sink).await;
    let all = "select sum(differences)::bigint from verification";
    let differences: i64 = sink.query_one(all, &[]).await.unwrap().get(0);
    assert_eq!(differences, 0);

    // Nobody mends it, and what is decided is said to have been decided since.
    assert_eq!(consumer.terminate().code(), Some(0));
    sink.batch_execute(repair::DAMAGE).await.unwrap();
    let decided = "update sink_identity set evaluated_at = now() + interval '1 hour'";
    sink.batch_execute(decided).await.unwrap();
    let pass = whole_pass(&sink).await;
    let expected = [
        "customer_image",
        "inventory_hourly",
        "inventory_image",
        "order_image",
        "promotion_condition",
        "promotion_eligibility",
        "purchase_habit",
        "sales_hourly",
    ];
    assert_eq!(
        pass.found,
        BTreeSet::from(expected.map(str::to_owned)),
        "{pass:?}"
    );
    assert!(verifier.log().contains("the sink is not what it should be"));
    assert_eq!(verifier.terminate().code(), Some(0));
    assert_eq!(replicator.terminate().code(), Some(0));
}
