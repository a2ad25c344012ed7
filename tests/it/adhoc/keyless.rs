//! A table without a key: the stream stands at one point while all of it is read.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{assert_fits, finished, journal, source, start};
use crate::starts::Scene;
use crate::starts::content::{Content, assert_ended};
use crate::support::Tidewater;
use crate::support::load::Load;

const ROWS: i64 = 6_000;

fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(1..=ROWS);
    match rng.random_range(0..10) {
        // Each is one that a stream past the point would lose.
        0..5 => format!("insert into keyless values ({id}, 'new')"),
        5 => format!("delete from keyless where id = {id}"),
        6 => format!("update keyless set note = 'changed' where id = {id}"),
        7 => format!("delete from t where id = {id}"),
        _ => format!(
            "insert into t values ({id}, 'n') on conflict (id) do update set note = 'again'"
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_key_is_voided_and_read_at_one_point() {
    let tables = format!(
        "create table t (id bigint primary key, note text);
         create table keyless (id bigint, note text);
         alter table keyless replica identity full;
         insert into keyless select n, repeat(md5(n::text), 10) from generate_series(1, {ROWS}) as n"
    );
    let scene = Scene::new("adhoc_keyless", &tables).await;
    journal(&scene, "t", &["id"]).await;
    let config = scene
        .config("never", "")
        .replace("[kafka]", "tables = [\"public.*\"]\n[kafka]");
    let replicator = scene.stream(&config).await;
    let load = Load::of(statement, &source(&scene), 3, Duration::from_millis(1));
    let id = start(&["public.keyless"], &config);
    finished(&id, &config).await;
    scene.drain(replicator).await;
    // It dies with half of the table read, and begins with it anew.
    let crash = format!("{config}[debug]\ncrash_at = \"ad-hoc.appended:2\"\n");
    let victim = Tidewater::start(&["replicate"], &crash);
    let id = start(&["public.keyless", "public.t"], &config);
    let ended = victim.wait(Duration::from_mins(1));
    assert_eq!(ended.code(), None, "{}", ended.log);
    let replicator = scene.stream(&config).await;
    assert_eq!(finished(&id, &config).await["tables_finished"], 2);
    println!("under {} changes", load.stop().await);
    scene.drain(replicator).await;
    assert_fits(&scene, "t", 2).await;
    let records = scene.records("keyless");
    assert_ended(&records, scene.partitions, 3);
    let content = Content::of_part(&records);
    assert!(
        content.count("t") > usize::try_from(scene.partitions).unwrap(),
        "nothing was voided"
    );
    content.assert_is(&scene, "keyless").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_without_a_key_is_read_no_faster_than_the_limit() {
    let tables = format!(
        "create table keyless (id bigint, note text);
         alter table keyless replica identity full;
         insert into keyless select n, repeat(md5(n::text), 10) from generate_series(1, {ROWS}) as n"
    );
    let scene = Scene::new("adhoc_keyless_pace", &tables).await;
    let limit = "snapshot_rows_per_second = 600\n[kafka]";
    let config = scene.config("never", "").replace("[kafka]", limit);
    let replicator = scene.stream(&config).await;
    let id = start(&["public.keyless"], &config);
    // In the midst of it the stream stands.
    scene.sql("insert into keyless values (0, 'new')").await;
    let request = finished(&id, &config).await;
    let at = |moment: &str| request[moment].as_i64().unwrap();
    let took = at("ended_us") - at("began_us");
    // All but the last rows, which are half of them at most, are paid for.
    assert!(took >= 5_000_000, "{request}");
    scene.drain(replicator).await;
    let records = scene.records("keyless");
    assert_ended(&records, scene.partitions, 2);
    Content::of_part(&records)
        .assert_is(&scene, "keyless")
        .await;
}
