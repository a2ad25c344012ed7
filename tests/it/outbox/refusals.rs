//! Rows and settings that cannot be routed by: each is refused with what it was and what helps.

use tidewater::exit::ExitCode;

use super::{TABLES, config, event, keys};
use crate::starts::Scene;
use crate::support::{Ended, Tidewater};

/// A replicator that ends at the last of the statements; those before are published.
async fn refused(scene: &Scene, config: &str, statements: &[&str]) -> Ended {
    let replicator = scene.stream(config).await;
    for statement in statements {
        scene.sql(statement).await;
    }
    replicator
        .wait(std::time::Duration::from_mins(1))
        .expect(ExitCode::SourceTables)
}

#[tokio::test]
async fn a_row_that_names_no_topic_ends_the_stream() {
    let scene = Scene::new("outbox_names", TABLES).await;
    let rows = [
        event("order", "1"),
        event("customer", "2"),
        event("a b", "0"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let ended = refused(&scene, &config(&scene, ""), &rows).await;
    let words = "\"a b\" in column aggregatetype would be routed to topic";
    assert!(ended.log.contains(words), "{}", ended.log);
    // What came before is published.
    let found = (keys(&scene, "order"), keys(&scene, "customer"));
    assert_eq!(found, (vec![1], vec![2]));
    let scene = Scene::new("outbox_nameless", TABLES).await;
    let nameless = event("order", "0").replace("'order'", "null");
    let ended = refused(&scene, &config(&scene, ""), &[&nameless]).await;
    let words = "a row has null in column aggregatetype";
    assert!(ended.log.contains(words), "{}", ended.log);
}

#[tokio::test]
async fn the_doctor_tells_what_an_outbox_lacks() {
    let scene = Scene::new("outbox_doctor", TABLES).await;
    let config = config(&scene, "");
    let told = |words: &str| {
        let ended = Tidewater::run(&["doctor"], &config);
        assert!(
            ended.output.contains(words),
            "{}{}",
            ended.output,
            ended.log
        );
        ended.code()
    };
    assert_eq!(told("rows of public.outbox are events"), Some(0));
    scene.sql("alter table outbox drop column payload").await;
    let lacks =
        "table public.outbox: outbox.payload names column payload, which the table does not have";
    assert_eq!(told(lacks), Some(3));
    scene.sql("drop table outbox").await;
    assert_eq!(told("no captured table is an outbox"), Some(3));
}

#[tokio::test]
async fn topics_that_hold_something_else_are_refused() {
    let scene = Scene::new("outbox_taken", TABLES).await;
    let bare = config(&scene, "").replace("{prefix}.event.{routed}", "{prefix}.{routed}");
    let own = refused(&scene, &bare, &[&event("heartbeat", "1")]).await;
    assert!(
        own.log.contains("which holds tidewater's own records"),
        "{}",
        own.log
    );
    let other = Scene::new("outbox_taken_too", TABLES).await;
    let config =
        super::config(&other, "").replace("{prefix}.event.{routed}", "{prefix}.public.{routed}");
    let ended = refused(
        &other,
        &config,
        &["insert into orders values (1)", &event("orders", "1")],
    )
    .await;
    assert!(
        ended.log.contains("which holds the changes of a table"),
        "{}",
        ended.log
    );
    let third = Scene::new("outbox_taken_then", TABLES).await;
    let config =
        super::config(&third, "").replace("{prefix}.event.{routed}", "{prefix}.public.{routed}");
    let create = format!(
        "create table late (id bigint primary key); alter publication {} add table late",
        third.name
    );
    let ended = refused(
        &third,
        &config,
        &[&event("late", "1"), &create, "insert into late values (1)"],
    )
    .await;
    assert!(
        ended
            .log
            .contains("is one that rows of an outbox are routed to already"),
        "{}",
        ended.log
    );
    let own_names = Scene::new("outbox_names", TABLES).await;
    let config = super::config(&own_names, "").replace("{prefix}.event.{routed}", "{routed}");
    let ended = refused(&own_names, &config, &[&event("__consumer_offsets", "1")]).await;
    assert!(
        ended.log.contains("topics that begin with __"),
        "{}",
        ended.log
    );
}

#[tokio::test]
async fn there_are_no_more_topics_than_are_allowed() {
    let scene = Scene::new("outbox_many", TABLES).await;
    let rows = [
        event("a", "1"),
        event("b", "2"),
        event("a", "3"),
        event("c", "4"),
    ];
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let config = config(&scene, "topics_max = 2");
    let ended = refused(&scene, &config, &rows).await;
    let words =
        "there are 2 routed topics already, the most that outbox.topics_max allows: raise it";
    assert!(ended.log.contains(words), "{}", ended.log);
    assert_eq!(
        (keys(&scene, "a"), keys(&scene, "b")),
        (vec![1, 3], vec![2])
    );
    // A snapshot counts them before it reads a row.
    let snapshot = Scene::new("outbox_many_read", TABLES).await;
    for row in rows {
        snapshot.sql(row).await;
    }
    let config = super::config(&snapshot, "topics_max = 2");
    let ended = Tidewater::run(&["replicate"], &config).expect(ExitCode::SourceTables);
    assert!(ended.log.contains(words), "{}", ended.log);
    let replicator = snapshot
        .stream(&super::config(&snapshot, "topics_max = 3"))
        .await;
    snapshot.drain(replicator).await;
    assert_eq!(keys(&snapshot, "a"), [1, 3]);
}

#[tokio::test]
async fn an_update_ends_the_stream_where_that_is_asked_for() {
    let scene = Scene::new("outbox_stop", TABLES).await;
    let config = config(&scene, "on_update = \"stop\"");
    let update = "update outbox set type = 'other'";
    let ended = refused(&scene, &config, &[&event("order", "1"), update]).await;
    assert!(
        ended.log.contains("outbox.on_update is \"stop\""),
        "{}",
        ended.log
    );
    let replicator = scene
        .stream(&super::config(&scene, "on_update = \"error\""))
        .await;
    scene.sql(&event("order", "2")).await;
    scene.drain(replicator).await;
    assert_eq!(keys(&scene, "order"), [1, 2]);
}

#[tokio::test]
async fn columns_that_are_not_there_or_hidden_are_refused() {
    let scene = Scene::new("outbox_columns", TABLES).await;
    for (more, words) in [
        (
            "key = \"nothing\"",
            "outbox.key names column nothing, which the table does not have",
        ),
        (
            "timestamp = \"type\"",
            "outbox.timestamp names column type, whose type is not timestamp",
        ),
        (
            "partition = \"type\"",
            "outbox.partition names column type, whose type is not smallint",
        ),
        (
            "fields = [\"none:x\"]",
            "outbox.fields names column none, which",
        ),
    ] {
        let ended = Tidewater::run(&["replicate"], &config(&scene, more));
        let ended = ended.expect(ExitCode::SourceTables);
        assert!(ended.log.contains(words), "{words}: {}", ended.log);
    }
    let mask = "[[transform]]\ncolumns = [\"*.*.aggregatetype\"]\naction = \"mask\"\n";
    let ended = Tidewater::run(&["replicate"], &format!("{}{mask}", config(&scene, "")));
    let ended = ended.expect(ExitCode::SourceTables);
    assert!(
        ended
            .log
            .contains("column aggregatetype is masked, but is outbox.route_by"),
        "{}",
        ended.log
    );
}
