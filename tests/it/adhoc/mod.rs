//! Tables read again while they are streamed, on real servers.

mod altered;
mod commands;
pub(crate) mod joined;
mod keyless;
mod load;
mod managed;
mod standby;
mod steps;

use serde_json::Value;
use tidewater::connection::Connection;

use crate::model::{Journal, assert_reads_fit, journal_sql};
use crate::starts::Scene;
use crate::starts::content::{Content, assert_ended};
use crate::support::{self, Tidewater, until};

/// Runs `tidewater snapshot` with those arguments and `--json`; what it printed.
pub(crate) fn snapshot(arguments: &[&str], config: &str) -> Value {
    let arguments = [&["snapshot"], arguments, &["--json"]].concat();
    let ended = Tidewater::run(&arguments, config);
    assert_eq!(ended.code(), Some(0), "{}{}", ended.output, ended.log);
    serde_json::from_str(&ended.output).unwrap()
}

/// Asks for a snapshot; the request's name.
pub(crate) fn start(tables: &[&str], config: &str) -> String {
    let asked = snapshot(&[&["start"], tables].concat(), config);
    asked["ids"][0].as_str().unwrap().to_owned()
}

/// The request as it is recorded.
fn show(id: &str, config: &str) -> Value {
    let shown = snapshot(&["show"], config);
    let requests = shown.as_array().unwrap().iter();
    let mut requests = requests.filter(|request| request["id"] == id);
    requests.next().cloned().unwrap_or(Value::Null)
}

/// Waits until it is finished.
pub(crate) async fn finished(id: &str, config: &str) -> Value {
    let mut last = Value::Null;
    until("the snapshot to be read", async || {
        last = show(id, config);
        assert_ne!(last["state"], "failed", "{last}");
        last["state"] == "finished"
    })
    .await;
    last
}

/// Where the scene's source is.
pub(crate) fn source(scene: &Scene) -> Connection {
    support::database_url(&scene.name).parse().unwrap()
}

/// Makes a table number and journal its changes; the rows that it has are its first versions.
async fn journal(scene: &Scene, table: &str, key: &[&str]) {
    scene.sql(&journal_sql(table, key)).await;
    let mut key = key.to_vec();
    key.sort_unstable();
    let key = key.join(", ");
    scene
        .sql(&format!(
            "alter table {table} disable trigger user;
             update {table} set version = nextval('tests.version');
             insert into tests.journal (source_table, key, version, op)
             select '{table}', concat_ws(',', {key}), version, 'v' from {table};
             alter table {table} enable trigger user;
             analyze {table}"
        ))
        .await;
}

/// Panics unless the topic shows the table, and never an older row behind a newer one. Returns how many changes
/// and reads it holds.
async fn assert_fits(scene: &Scene, table: &str, ends: usize) -> (usize, usize) {
    let records = scene.records(table);
    let journal = Journal::read(&scene.database, table).await;
    let counts = assert_reads_fit(&records, &journal);
    assert_ended(&records, scene.partitions, ends);
    Content::of_part(&records).assert_is(scene, table).await;
    counts
}
