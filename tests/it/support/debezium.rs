//! A Kafka Connect worker with Debezium's PostgreSQL connector: what `format.values = "debezium"` is
//! compared with.

use std::fmt::Write as _;

use super::connect::Worker;
use super::postgres_port;

/// One connector: a slot and topics of the same name, and settings beside Debezium's defaults.
pub(crate) struct Connector<'a> {
    pub(crate) name: &'a str,
    pub(crate) database: &'a str,
    pub(crate) settings: &'a [(&'a str, &'a str)],
}

/// A worker with its connectors.
pub(crate) struct Debezium(Worker);

impl Debezium {
    /// Starts a worker with these connectors.
    pub(crate) fn start(connectors: &[Connector<'_>]) -> Debezium {
        let connectors: Vec<(&str, String)> = connectors
            .iter()
            .map(|connector| (connector.name, connector.properties()))
            .collect();
        Debezium(Worker::start("Debezium", "debezium", &connectors))
    }

    /// Fails when the worker or one of its connectors has ended.
    pub(crate) fn assert_running(&mut self) {
        self.0.assert_running();
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
            postgres_port()
        );
        for (key, value) in self.settings {
            let _ = writeln!(properties, "{key}={value}");
        }
        properties
    }
}
