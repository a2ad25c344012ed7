//! A store that the stream cannot go on with ends it, and says how to mend it.

use std::path::PathBuf;
use std::time::Duration;

use tidewater::exit::ExitCode;

use super::Twins;
use crate::support::Tidewater;

const TABLE: &str = "
    create table t{t} (id bigint primary key, big text);
    insert into t{t} select n, md5(n::text) from generate_series(1, 10) n";

fn file(twins: &Twins) -> PathBuf {
    twins.directory.path().join("rows.redb")
}

fn refused(twins: &Twins, code: ExitCode, message: &str) {
    let ended = twins.start().wait(Duration::from_mins(1)).expect(code);
    let said = format!("{}{}", ended.output, ended.log);
    assert!(said.contains(message), "{said}");
}

#[tokio::test]
async fn a_stream_does_not_go_on_with_a_store_that_is_not_its_own() {
    let mut twins = Twins::new("not_own", TABLE, "").await;
    // A stream without a store gets one.
    let without = twins.scene.config("initial", "");
    let replicator = twins.scene.stream(&without).await;
    twins.scene.drain(replicator).await;
    refused(&twins, ExitCode::HistoryLost, "there is no row store at");
    // With a new snapshot.
    let again = |twins: &Twins| twins.config().replace("\"initial\"", "\"when-needed\"");
    let replicator = twins.scene.stream(&again(&twins)).await;
    twins.scene.drain(replicator).await;
    twins.run("update t{t} set big = 'new' where id = 1").await;
    twins.catch_up().await;
    let earlier = std::fs::read(file(&twins)).unwrap();

    // The stream goes on without it.
    twins
        .run("update t{t} set big = 'newer' where id = 2")
        .await;
    let replicator = twins.scene.stream(&without).await;
    twins.scene.drain(replicator).await;
    refused(
        &twins,
        ExitCode::HistoryLost,
        "the slot has nothing from before",
    );

    // It is damaged.
    std::fs::write(file(&twins), &earlier[..earlier.len() / 2]).unwrap();
    refused(&twins, ExitCode::HistoryLost, "is damaged");
    let replicator = twins.scene.stream(&again(&twins)).await;
    twins.scene.drain(replicator).await;

    // It is another stream's.
    let other = Twins::new("other_stream", TABLE, "").await;
    other.catch_up().await;
    std::fs::copy(file(&other), file(&twins)).unwrap();
    refused(&twins, ExitCode::Configuration, "is that of source");

    // It is gone, and what the server sends is good enough.
    std::fs::remove_file(file(&twins)).unwrap();
    refused(&twins, ExitCode::HistoryLost, "there is no row store at");
    twins.more = "missing = \"as-sent\"\n".to_owned();
    twins
        .run("update t{t} set big = 'newest' where id = 3")
        .await;
    twins.catch_up().await;
}

#[tokio::test]
async fn a_full_store_ends_the_stream_and_goes_on_with_more_room() {
    let mut twins = Twins::new("full_store", TABLE, "bytes_max = 67108864\n").await;
    twins.catch_up().await;
    let fill = "insert into t{t} select n, (select string_agg(md5((n * m)::text), '') from generate_series(1, 300) m)
                  from generate_series(11, 12000) n";
    twins.run(fill).await;
    refused(
        &twins,
        ExitCode::Configuration,
        "row_store.bytes_max = 67108864",
    );
    let size = std::fs::metadata(file(&twins)).unwrap();
    let on_disk = std::os::unix::fs::MetadataExt::blocks(&size) * 512;
    assert!(on_disk <= 64 << 20, "{on_disk}");
    twins.more = String::new();
    twins
        .run("delete from t{t} where id % 1000 = 0; update t{t} set id = -id where id % 999 = 0")
        .await;
    twins.catch_up().await;
    assert!(twins.assert_same("t") > 12_000);
}

#[tokio::test]
async fn a_second_replicator_cannot_have_the_file() {
    let twins = Twins::new("in_use", TABLE, "").await;
    let replicator = twins.scene.stream(&twins.config()).await;
    let other = Twins::new("in_use_too", TABLE, "").await;
    let path = |twins: &Twins| twins.directory.path().display().to_string();
    let config = other.config().replace(&path(&other), &path(&twins));
    let ended = Tidewater::start(&["replicate"], &config).wait(Duration::from_mins(1));
    let ended = ended.expect(ExitCode::Configuration);
    let said = format!("{}{}", ended.output, ended.log);
    assert!(said.contains("is open in another process"), "{said}");
    twins.scene.drain(replicator).await;
}
