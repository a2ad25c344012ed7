//! A Kafka Connect worker with Debezium's PostgreSQL connector: what `format.values = "debezium"` is
//! compared with.

use std::fmt::Write as _;
use std::process::Command;

use super::logged::Logged;
use super::{kafka_brokers, postgres_url};

/// One connector: a slot and topics of the same name, and settings beside Debezium's defaults.
pub(crate) struct Connector<'a> {
    pub(crate) name: &'a str,
    pub(crate) database: &'a str,
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// A worker with its connectors.
pub(crate) struct Debezium(Logged);

impl Debezium {
    /// Starts a worker with these connectors.
    pub(crate) fn start(connectors: &[Connector<'_>]) -> Debezium {
        let root = env!("CARGO_MANIFEST_DIR");
        let jars = format!("{root}/.cache/debezium");
        assert!(
            std::fs::exists(format!("{jars}/complete")).unwrap(),
            "no jars of Debezium: run scripts/install tests"
        );
        Debezium(Logged::start("Debezium", |directory| {
            let path = |name: &str| directory.join(name);
            std::fs::write(path("worker"), worker(&path("offsets").display())).unwrap();
            let mut command = Command::new("java");
            command
                .args(["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                .arg(format!(
                    "-Dlog4j2.configurationFile={root}/scripts/kafka/log4j2.xml"
                ))
                .args(["-cp", &format!("{jars}/libs/*")])
                .arg("org.apache.kafka.connect.cli.ConnectStandalone")
                .arg(path("worker"));
            for connector in connectors {
                std::fs::write(path(connector.name), connector.properties()).unwrap();
                command.arg(path(connector.name));
            }
            command
        }))
    }

    /// Fails when the worker or one of its connectors has ended.
    pub(crate) fn assert_running(&mut self) {
        self.0.assert_running();
        let log = self.0.log();
        assert!(
            !log.contains("Task threw an uncaught and unrecoverable exception")
                && !log.contains("Failed to create job"),
            "a connector of Debezium has failed"
        );
    }
}

impl Connector<'_> {
    fn properties(&self) -> String {
        let Connector { name, database, .. } = self;
        let mut properties = format!(
            "name={name}\n\
             connector.class=io.debezium.connector.postgresql.PostgresConnector\n\
             database.hostname=127.0.0.1\n\
             database.port={}\n\
             database.user=postgres\n\
             database.dbname={database}\n\
             topic.prefix={name}\n\
             plugin.name=pgoutput\n\
             slot.name={name}\n\
             skipped.operations=none\n\
             poll.interval.ms=10\n",
            port()
        );
        for (key, value) in self.settings {
            let _ = writeln!(properties, "{key}={value}");
        }
        properties
    }
}

/// Positions are confirmed often, since that is what a test waits for.
fn worker(offsets: &impl std::fmt::Display) -> String {
    format!(
        "bootstrap.servers={}\n\
         key.converter=org.apache.kafka.connect.json.JsonConverter\n\
         value.converter=org.apache.kafka.connect.json.JsonConverter\n\
         key.converter.schemas.enable=false\n\
         value.converter.schemas.enable=false\n\
         offset.storage.file.filename={offsets}\n\
         offset.flush.interval.ms=200\n\
         plugin.discovery=service_load\n\
         listeners=http://127.0.0.1:0\n",
        kafka_brokers()
    )
}

fn port() -> String {
    let url = postgres_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    port.split('/').next().unwrap().to_owned()
}
