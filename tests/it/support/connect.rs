//! A Kafka Connect worker with connectors of some kind.

use std::process::Command;

use super::kafka_brokers;
use super::logged::Logged;

/// So much is shown of why a connector has failed, characters.
const WHY_MAX: usize = 2_000;

/// A worker with its connectors.
pub(crate) struct Worker(Logged);

impl Worker {
    /// Starts a worker from the jars of `.cache/JARS` with connectors, by name and properties.
    pub(crate) fn start(name: &'static str, jars: &str, connectors: &[(&str, String)]) -> Worker {
        let root = env!("CARGO_MANIFEST_DIR");
        let jars = super::jars(jars);
        Worker(Logged::start(name, |directory| {
            let path = |name: &str| directory.join(name);
            std::fs::write(path("worker"), worker(&path("offsets").display())).unwrap();
            let mut command = Command::new("java");
            command
                .args(["-Xmx1g", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                .arg(format!(
                    "-Dlog4j2.configurationFile={root}/scripts/kafka/log4j2.xml"
                ))
                .args(["-cp", &jars])
                .arg("org.apache.kafka.connect.cli.ConnectStandalone")
                .arg(path("worker"));
            for (connector, properties) in connectors {
                std::fs::write(path(connector), properties).unwrap();
                command.arg(path(connector));
            }
            command
        }))
    }

    /// Fails when the worker or one of its connectors has ended.
    pub(crate) fn assert_running(&mut self) {
        self.0.assert_running();
        let log = self.0.log();
        let failed = [
            "Task threw an uncaught and unrecoverable exception",
            "Failed to create job",
        ];
        let failed = failed.iter().find_map(|failed| log.split_once(failed));
        if let Some((_, why)) = failed {
            let why: String = why.chars().take(WHY_MAX).collect();
            panic!("a connector has failed{why}");
        }
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
