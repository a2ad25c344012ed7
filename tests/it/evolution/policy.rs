//! Changes that a table's readers may not count on.

use std::time::Duration;

use tidewater::exit::ExitCode;

use super::{inserted, versions};
use crate::starts::Scene;

const TABLES: &str = "
    create table strict (id bigint primary key, amount integer);
    create table loose (id bigint primary key, amount integer)";

const POLICY: &str =
    "[[policy]]\ntables = [\"public.loose\"]\non_incompatible_change = \"continue\"\n";

fn stopping(config: &str) -> String {
    config.replace("[kafka]", "on_incompatible_change = \"stop\"\n[kafka]")
}

#[tokio::test]
async fn an_incompatible_change_ends_the_stream_before_its_first_row() {
    let scene = Scene::new("policy", TABLES).await;
    let config = stopping(&scene.config("initial", POLICY));
    let replicator = scene.stream(&config).await;
    for change in [
        // Neither a wider type nor a new column is anything to stumble over.
        "alter table strict alter amount type bigint, add note text",
        "insert into strict values (1, 1, 'a')",
        "alter table loose alter amount type text",
        "insert into loose values (1, 'a')",
        "alter table strict alter amount type text",
        "insert into strict values (2, 'b', 'b')",
    ] {
        scene.sql(change).await;
    }
    let ended = replicator.wait(Duration::from_mins(1));
    assert_eq!(
        ended.code(),
        Some(ExitCode::SourceTables as i32),
        "{}",
        ended.log
    );
    for words in [
        "table public.strict at 1:",
        "column amount was bigint and is text",
        "starting once with on_incompatible_change",
    ] {
        assert!(ended.log.contains(words), "{words} in {}", ended.log);
    }
    assert_eq!(
        inserted(&scene, "strict"),
        [r#"{"amount":1,"id":1,"note":"a"}"#]
    );
    assert_eq!(inserted(&scene, "loose"), [r#"{"amount":"a","id":1}"#]);

    // Accepted once, it is what later ones are compared with.
    let replicator = scene.stream(&scene.config("initial", "")).await;
    scene.drain(replicator).await;
    let replicator = scene.stream(&config).await;
    scene.sql("insert into strict values (3, 'c', 'c')").await;
    scene.drain(replicator).await;
    assert_eq!(inserted(&scene, "strict").len(), 3);
    assert_eq!(versions(&scene).len(), 2 + 3);
}
