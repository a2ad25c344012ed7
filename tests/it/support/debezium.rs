//! A Kafka Connect worker with Debezium's PostgreSQL connector: what `format.values = "debezium"` is
//! compared with.

use std::fmt::Write as _;
use std::fs::File;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{kafka_brokers, postgres_url};

/// One connector: a slot and topics of the same name, and settings beside Debezium's defaults.
pub(crate) struct Connector<'a> {
    pub(crate) name: &'a str,
    pub(crate) database: &'a str,
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// A worker with its connectors. Killed when dropped; its log is shown when the test fails.
pub(crate) struct Debezium {
    child: Child,
    directory: TempDir,
}

impl Debezium {
    /// Starts a worker with these connectors.
    pub(crate) fn start(connectors: &[Connector<'_>]) -> Debezium {
        let root = env!("CARGO_MANIFEST_DIR");
        let jars = format!("{root}/.cache/debezium");
        assert!(
            std::fs::exists(format!("{jars}/complete")).unwrap(),
            "no jars of Debezium: run scripts/install tests"
        );
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("worker"), worker(&path("offsets").display())).unwrap();
        let log = File::create(path("log")).unwrap();
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
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Debezium { child, directory }
    }

    /// Fails when the worker or one of its connectors has ended.
    pub(crate) fn assert_running(&mut self) {
        let running = self.child.try_wait().unwrap().is_none();
        assert!(running, "Debezium has ended");
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap();
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

impl Drop for Debezium {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log"));
            let log = log.unwrap_or_default();
            // What comes first is why the rest came.
            let shown: Vec<&str> = log
                .lines()
                .filter(|line| !line.contains(" WARN "))
                .collect();
            let shown = shown.get(..200.min(shown.len())).unwrap_or_default();
            eprintln!(
                "--- log of Debezium, without warnings\n{}",
                shown.join("\n")
            );
        }
    }
}

fn port() -> String {
    let url = postgres_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    port.split('/').next().unwrap().to_owned()
}
