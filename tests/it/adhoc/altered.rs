//! A table that is altered in the midst of its reading.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use tidewater::kafka::{read_recorded_now, topics};

use super::{finished, source, start};
use crate::starts::Scene;
use crate::starts::content::Content;
use crate::support::load::Load;
use crate::support::until;

const ROWS: i64 = 3_000;
/// One after the other, each when some of the table has been read as the last one left it.
const ALTERATIONS: [&str; 4] = [
    "alter table moody add column more integer default 4",
    "alter table moody drop column gone",
    "alter table moody alter column n type text using 'n' || n",
    "alter table moody rename column note to remark",
];

/// Of columns that stay.
fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(1..=ROWS + 100);
    match rng.random_range(0..10) {
        0..5 => {
            format!("insert into moody (id) values ({id}) on conflict (id) do update set stays = 1")
        }
        5..8 => format!("update moody set stays = stays + 1 where id = {id}"),
        8 => format!("delete from moody where id = {id}"),
        _ => format!(
            "update moody set id = {id} + 10000 where id = {id} and not exists (select from moody where id = {id} + 10000)"
        ),
    }
}

/// Waits until some of the table is read, as it looks now and not as it looked before. What it looks like.
async fn begun(scene: &Scene, before: &str) -> String {
    let topic = topics::position(&scene.name, &scene.name);
    let mut identity = String::new();
    until("some of the table to be read", async || {
        let recorded = read_recorded_now(&scene.kafka(), &topic).unwrap();
        let mut tables = recorded.ad_hoc.tables.into_values().flatten();
        let Some((_, table)) = tables.next() else {
            return false;
        };
        assert!(!table.finished, "{table:?}");
        identity = table.identity;
        identity != before && table.reached.is_some()
    })
    .await;
    identity
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_altered_while_it_is_read_is_told_of_as_it_is_then() {
    let table = format!(
        "create table moody (id bigint primary key, stays integer, note text, gone text, n integer);
         insert into moody select n, 0, 'note', 'gone', n from generate_series(1, {ROWS}) as n;
         analyze moody"
    );
    let scene = Scene::new("adhoc_altered", &table).await;
    let config = |limit: u64| {
        let limit = format!("snapshot_rows_per_second = {limit}\n[kafka]");
        scene.config("never", "").replace("[kafka]", &limit)
    };
    // So slowly that it is altered in their midst.
    let (slow, fast) = (config(100), config(10_000));
    let replicator = scene.stream(&slow).await;
    let load = Load::of(statement, &source(&scene), 2, Duration::from_millis(5));
    let id = start(&["public.moody"], &slow);
    let mut identity = String::new();
    for alteration in ALTERATIONS {
        identity = begun(&scene, &identity).await;
        scene.sql(alteration).await;
    }
    begun(&scene, &identity).await;
    scene.drain(replicator).await;
    let replicator = scene.stream(&fast).await;
    assert_eq!(finished(&id, &fast).await["tables_finished"], 1);
    println!("under {} changes", load.stop().await);
    scene.drain(replicator).await;
    let content = Content::of_part(&scene.records("moody"));
    content.assert_is(&scene, "moody").await;
}
