//! What is asked for on the command line: carried out, paused, resumed, ended, or refused.

use serde_json::Value;
use tidewater::exit::ExitCode;

use super::{Tidewater, assert_fits, finished, journal, show, snapshot, start};
use crate::starts::Scene;
use crate::support::until;

const ROWS: u64 = 6_000;

async fn scene(name: &str) -> Scene {
    let tables = format!(
        "create table t (id bigint primary key, note text);
         create table other (id bigint primary key, note text);
         insert into t select n, 'n' from generate_series(1, {ROWS}) as n;
         insert into other values (1, 'n')"
    );
    let scene = Scene::new(name, &tables).await;
    journal(&scene, "t", &["id"]).await;
    scene
}

fn config(scene: &Scene, rows_per_second: u64) -> String {
    let more =
        format!("tables = [\"public.*\"]\nsnapshot_rows_per_second = {rows_per_second}\n[kafka]");
    scene.config("never", "").replace("[kafka]", &more)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_paused_resumed_and_cancelled() {
    let scene = scene("adhoc_turns").await;
    let config = config(&scene, 500);
    let replicator = scene.stream(&config).await;
    let id = start(&["public.t"], &config);
    until("a chunk", async || {
        show(&id, &config)["rows"].as_u64() > Some(0)
    })
    .await;

    let paused = snapshot(&["pause", &id], &config);
    assert_eq!(paused["requests"][0]["state"], "paused", "{paused}");
    let status = Tidewater::run(&["status"], &config);
    assert!(
        status.output.contains(&format!("snapshot {id}")),
        "{}",
        status.output
    );
    // Another one is read meanwhile, which shows that this one is not.
    let rows = show(&id, &config)["rows"].clone();
    let other = start(&["public.other"], &config);
    assert_eq!(finished(&other, &config).await["rows"], 1);
    assert_eq!(show(&id, &config)["rows"], rows);

    let resumed = snapshot(&["resume"], &config);
    assert_eq!(resumed["ids"], serde_json::json!([id]), "{resumed}");
    until("another chunk", async || {
        show(&id, &config)["rows"].as_u64() > rows.as_u64()
    })
    .await;
    let cancelled = snapshot(&["cancel", &id], &config);
    assert_eq!(
        cancelled["requests"][0]["state"], "cancelled",
        "{cancelled}"
    );
    let rows = show(&id, &config)["rows"].clone();
    assert!(rows.as_u64() < Some(ROWS), "{rows}");

    let again = start(&["public.t"], &config.replace("= 500", "= 100000"));
    scene.drain(replicator).await;
    let replicator = scene.stream(&config.replace("= 500", "= 100000")).await;
    assert_eq!(finished(&again, &config).await["rows"], ROWS);
    assert_eq!(
        show(&id, &config)["rows"],
        rows,
        "what was cancelled went on"
    );
    scene.drain(replicator).await;
    // With `never` the stream's beginning is marked, too.
    assert_fits(&scene, "t", 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_say_what_they_are() {
    let scene = scene("adhoc_reads").await;
    let config = config(&scene, 100_000).replace("interval = \"100ms\"", "interval = \"0s\"");
    let replicator = scene.stream(&config).await;
    let id = start(&["public.other"], &config);
    finished(&id, &config).await;
    scene.drain(replicator).await;
    let records = scene.records("other");
    let read: Value = serde_json::from_slice(
        records
            .iter()
            .find_map(|record| record.value.as_deref())
            .unwrap(),
    )
    .unwrap();
    assert_eq!((&read["op"], &read["before"]), (&"r".into(), &Value::Null));
    assert_eq!(read["source"]["snapshot"], "incremental");
    let position = read["source"]["position"].as_str().unwrap();
    assert!(position.ends_with(":0"), "{position}");
    assert_eq!(read["after"]["note"], "n");
    let end = records
        .iter()
        .rfind(|record| record.header("tidewater.mark").is_some())
        .unwrap();
    assert_eq!(end.header("tidewater.mark"), Some("snapshot-end"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_carried_out_is_refused() {
    let scene = scene("adhoc_refused").await;
    let config = config(&scene, 500);
    let refused = |arguments: &[&str], code: ExitCode, parts: &[&str]| {
        let ended = Tidewater::run(&[&["snapshot"], arguments].concat(), &config).expect(code);
        for part in parts {
            assert!(ended.log.contains(part), "{part}: {}", ended.log);
        }
    };
    refused(
        &["start"],
        ExitCode::Configuration,
        &["does not exist", "first start reads every table"],
    );
    let replicator = scene.stream(&config).await;
    refused(
        &["start", "public.t", "public.nothing"],
        ExitCode::SourceTables,
        &["public.nothing", "public.other, public.t"],
    );
    refused(
        &["start", "nothing"],
        ExitCode::Configuration,
        &["expected schema.table"],
    );
    refused(
        &["pause"],
        ExitCode::Configuration,
        &["no ad hoc snapshot", "pause"],
    );
    refused(
        &["cancel", "7d1f0c52"],
        ExitCode::Configuration,
        &["7d1f0c52", "snapshot show"],
    );
    let id = start(&["public.other"], &config);
    finished(&id, &config).await;
    refused(
        &["cancel", &id],
        ExitCode::Configuration,
        &[&id, "is finished", "nothing to cancel"],
    );
    let shown = Tidewater::run(&["snapshot", "show"], &config);
    assert!(
        shown.output.contains(&format!("{id}  finished, 1 rows")),
        "{}",
        shown.output
    );
    scene.drain(replicator).await;
}
