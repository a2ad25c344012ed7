//! What every integration test needs: the shared servers that `scripts/with-servers` has started, names
//! that no other test uses, private servers, and waiting for a condition.

mod apicurio;
pub(crate) mod certificates;
mod connect;
mod debezium;
mod flink;
pub(crate) mod http;
mod kafka;
mod kills;
pub(crate) mod load;
mod logged;
mod postgres;
mod process;
mod registry;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidewater::connection::{Connection, Database, connect};
use tidewater::event::Lsn;

pub(crate) use apicurio::Apicurio;
pub(crate) use connect::Worker;
pub(crate) use debezium::{Connector, Debezium};
pub(crate) use flink::changes as flink_changes;
pub(crate) use kafka::Kafka;
pub(crate) use kills::Kills;
pub(crate) use postgres::{Postgres, free_port};
pub(crate) use process::{Ended, Tidewater};
pub(crate) use registry::{FakeRegistry, Mood};

/// How long anything may take, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_mins(5);

static NAMES: AtomicU32 = AtomicU32::new(0);

/// A name that no other test uses, good for databases, slots, roles and topics.
pub(crate) fn unique(name: &str) -> String {
    format!(
        "{name}_{}_{}",
        std::process::id(),
        NAMES.fetch_add(1, Ordering::Relaxed)
    )
}

#[allow(clippy::disallowed_methods)] // tests have no configuration
pub(crate) fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/with-servers"))
}

/// URL of the shared server's superuser.
pub(crate) fn postgres_url() -> String {
    variable("TIDEWATER_TEST_POSTGRES_URL")
}

/// Version of the servers that the tests start, 150004 for instance.
pub(crate) async fn server_version() -> i32 {
    let server: Connection = postgres_url().parse().unwrap();
    let database = connect(&server).await.unwrap();
    let version = "select current_setting('server_version_num')::int";
    database.query_one(version, &[]).await.unwrap().get(0)
}

/// The shared server's port.
pub(crate) fn postgres_port() -> String {
    let url = postgres_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    port.split('/').next().unwrap().to_owned()
}

/// Class path of jars that `scripts/install tests` fetches.
fn jars(name: &str) -> String {
    let jars = format!("{}/.cache/{name}", env!("CARGO_MANIFEST_DIR"));
    assert!(
        std::fs::exists(format!("{jars}/complete")).unwrap(),
        "no jars in {jars}: run scripts/install tests"
    );
    format!("{jars}/libs/*")
}

/// URL of a database on the shared server.
pub(crate) fn database_url(name: &str) -> String {
    let url = postgres_url();
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

/// The shared broker.
pub(crate) fn kafka_brokers() -> String {
    variable("TIDEWATER_TEST_KAFKA_BROKERS")
}

/// A new database on the shared server.
pub(crate) async fn postgres_database(name: &str) -> Connection {
    let server: Connection = postgres_url().parse().unwrap();
    let name = unique(name);
    let database = connect(&server).await.unwrap();
    database
        .batch_execute(&format!("create database {name}"))
        .await
        .unwrap();
    server.with_database(&name)
}

/// Asks again and again until `condition` holds; fails after five minutes: it has gone wrong then on any machine.
pub(crate) async fn until(what: &str, condition: impl AsyncFnMut() -> bool) {
    until_within(PATIENCE, what, condition).await;
}

/// As [`until`], for what takes longer.
pub(crate) async fn until_within(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(limit, wait).await;
    assert!(waited.is_ok(), "waited {limit:?} in vain for {what}");
}

/// Waits until everything that a source has committed by now is in Kafka and confirmed.
pub(crate) async fn caught_up(source: &Database, slot: &str) {
    caught_up_within(PATIENCE, source, slot).await;
}

/// As [`caught_up`], for what takes longer.
pub(crate) async fn caught_up_within(limit: Duration, source: &Database, slot: &str) {
    let sql = "select pg_current_wal_lsn()::text";
    let now: String = source.query_one(sql, &[]).await.unwrap().get(0);
    let now: Lsn = now.parse().unwrap();
    until_within(limit, "the slot to be confirmed", async || {
        let slot = tidewater::postgres::read_slot(source, slot).await;
        let confirmed = slot.unwrap().and_then(|slot| slot.confirmed_flush_lsn);
        confirmed.is_some_and(|confirmed| confirmed >= now)
    })
    .await;
}
