//! Tables that are read again while writers change all of it, keys too.

use std::time::Duration;

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{assert_fits, finished, journal, show, source, start};
use crate::starts::Scene;
use crate::support::load::Load;
use crate::support::until;

/// Rows of the large table, ten apart.
const ROWS: i64 = 12_000;
const TABLES: [(&str, &[&str]); 3] = [
    ("big", &["id"]),
    ("words", &["area", "word"]),
    ("v", &["id"]),
];
/// So that a table takes many chunks.
const ROWS_PER_SECOND: i64 = 3_000;

async fn fill(scene: &Scene) {
    scene
        .sql(&format!(
            "create table big (id bigint primary key, note text);
             create table words (area integer, word text, note text, primary key (area, word));
             create table v (id bigint primary key, note text);
             insert into big select n * 10, repeat(md5(n::text), 3) from generate_series(1, {ROWS}) as n;
             insert into words select n % 7, 'w' || n, 'w' from generate_series(1, 500) as n;
             insert into v select n, 'v' from generate_series(1, 300) as n"
        ))
        .await;
    for (table, key) in TABLES {
        journal(scene, table, key).await;
    }
}

fn statement(rng: &mut ChaCha8Rng) -> String {
    let id = rng.random_range(0..ROWS * 10);
    let few = rng.random_range(1..=500);
    match rng.random_range(0..1_000) {
        0..200 => format!(
            "insert into big values ({id}, 'new') on conflict (id) do update set note = 'again'"
        ),
        200..400 => format!("update big set note = 'changed' where id = {id} / 10 * 10"),
        400..500 => format!("delete from big where id = {id} / 10 * 10"),
        // To a key far away, in a chunk that was read before, or will be.
        500..700 => {
            let to = rng.random_range(0..ROWS * 10);
            format!(
                "update big set id = {to} where id = {id} / 10 * 10 and not exists (select from big where id = {to})"
            )
        }
        700..760 => format!(
            "update words set note = note || 'x' where area = {few} % 7 and word = 'w{few}'"
        ),
        760..800 => format!(
            "update words set word = reverse(word) where area = {few} % 7 and word = 'w{few}' and not exists (select from words as other where other.area = words.area and other.word = reverse(words.word))"
        ),
        800..830 => format!("delete from words where area = {few} % 7 and word = 'w{few}'"),
        830..860 => {
            format!("insert into words values ({few} % 7, 'w{few}', 'new') on conflict do nothing")
        }
        860..863 => "truncate v".to_owned(),
        _ => format!(
            "insert into v values ({few}, 'v') on conflict (id) do update set note = 'again'"
        ),
    }
}

fn config(scene: &Scene, mode: &str) -> String {
    let limit =
        format!("tables = [\"public.*\"]\nsnapshot_rows_per_second = {ROWS_PER_SECOND}\n[kafka]");
    scene.config(mode, "").replace("[kafka]", &limit)
}

/// Without a first snapshot: what the topics show at the end was read beside the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_under_load_are_read_whole_and_in_order() {
    let scene = Scene::new("adhoc_load", "").await;
    fill(&scene).await;
    let config = config(&scene, "never");
    let replicator = scene.stream(&config).await;
    let load = Load::of(statement, &source(&scene), 3, Duration::from_millis(2));
    let id = start(&[], &config);
    until("the first chunks", async || {
        show(&id, &config)["rows"].as_u64() > Some(0)
    })
    .await;
    let request = finished(&id, &config).await;
    println!("{request}");
    assert_eq!(request["tables_finished"], 3);
    // Once more, some of them, while the topics know all.
    let again = start(&["public.words", "public.v"], &config);
    assert_eq!(finished(&again, &config).await["tables_total"], 2);
    println!("under {} changes", load.stop().await);
    scene.drain(replicator).await;
    for (table, _) in TABLES {
        let (changes, reads) = assert_fits(&scene, table, if table == "big" { 2 } else { 3 }).await;
        println!("{table}: {changes} changes, {reads} reads");
        // Whatever was truncated just before it is read has few rows.
        let enough = reads > 100 || table == "v";
        assert!(changes > 100 && enough, "{table} tests nothing");
    }
}
