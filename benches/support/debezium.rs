//! Debezium's PostgreSQL connector on a Kafka Connect worker, set up to be fast: what a figure is put beside.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Fallible;
use super::process::LOOK;
use super::servers::Servers;
use super::source::PUBLICATION;

/// For the worker to answer, or a connector to do what it is asked for.
const PATIENCE: Duration = Duration::from_mins(2);

/// The steps of a snapshot are told at this level.
const LOGGING: &str = r#"<Configuration status="error">
  <Appenders><Console name="console"><PatternLayout pattern="%d %-5p %c{1} %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="io.debezium" level="info"/>
    <Root level="warn"><AppenderRef ref="console"/></Root>
  </Loggers>
</Configuration>
"#;

/// A worker, one for all runs: its virtual machine is warm after the first. Killed when dropped.
pub(crate) struct Worker {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl Worker {
    /// Starts it, and waits until it answers.
    pub(crate) async fn start(servers: &Servers) -> Fallible<Worker> {
        let jars = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/debezium/libs");
        if !jars.is_dir() {
            return Err("no Debezium in .cache: run scripts/install tests".into());
        }
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let directory = TempDir::new()?;
        let path = |name: &str| directory.path().join(name);
        let json = "org.apache.kafka.connect.json.JsonConverter";
        let settings = format!(
            "bootstrap.servers={}\nkey.converter={json}\nvalue.converter={json}\n\
             key.converter.schemas.enable=false\nvalue.converter.schemas.enable=false\n\
             offset.storage.file.filename={}\nplugin.discovery=service_load\n\
             listeners=http://127.0.0.1:{port}\n",
            servers.brokers,
            path("offsets").display(),
        );
        std::fs::write(path("worker"), settings)?;
        std::fs::write(path("log4j2.xml"), LOGGING)?;
        let log = File::create(path("log"))?;
        let child = Command::new("java")
            .arg("-Xmx2g")
            .arg(format!(
                "-Dlog4j2.configurationFile={}",
                path("log4j2.xml").display()
            ))
            .arg("-cp")
            .arg(format!("{}/*", jars.display()))
            .arg("org.apache.kafka.connect.cli.ConnectStandalone")
            .arg(path("worker"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut worker = Worker {
            child,
            directory,
            port,
        };
        let until = Instant::now() + PATIENCE;
        while worker.ask(Method::GET, "/connectors", None).await.is_err() {
            worker.check(until)?;
            std::thread::sleep(LOOK * 10);
        }
        Ok(worker)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Fails if it has ended, or if it is late.
    pub(crate) fn check(&mut self, until: Instant) -> Fallible<()> {
        let log = self.log();
        if let Some(status) = self.child.try_wait()? {
            return Err(format!("the worker ended, {status}:\n{log}").into());
        }
        if log.contains("unrecoverable exception") || Instant::now() > until {
            return Err(format!("Debezium failed, or is too slow:\n{log}").into());
        }
        Ok(())
    }

    /// Reads a database's table, until the snapshot is under way.
    pub(crate) async fn snapshot(
        &mut self,
        servers: &Servers,
        database: &str,
        name: &str,
        threads: u16,
    ) -> Fallible<()> {
        let config = json!({
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": "127.0.0.1",
            "database.port": servers.port,
            "database.user": "postgres",
            "database.dbname": database,
            "topic.prefix": name,
            "plugin.name": "pgoutput",
            "publication.name": PUBLICATION,
            "slot.name": name,
            "slot.drop.on.stop": "true",
            "snapshot.mode": "initial_only",
            "snapshot.max.threads": threads.to_string(),
            "snapshot.fetch.size": "20480",
            "max.batch.size": "20480",
            "max.queue.size": "81920",
            "poll.interval.ms": "5",
            "producer.override.compression.type": "lz4",
            "producer.override.batch.size": "262144",
            "producer.override.linger.ms": "5",
            "topic.creation.default.partitions": "6",
            "topic.creation.default.replication.factor": "1",
        });
        let connector = json!({ "name": name, "config": config });
        let started = self.steps();
        self.ask(Method::POST, "/connectors", Some(connector))
            .await?;
        let until = Instant::now() + PATIENCE;
        while self.steps() == started {
            self.check(until)?;
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// How many snapshots have begun to read.
    fn steps(&self) -> usize {
        self.log().matches("Snapshot step 7").count()
    }

    /// Ends a connector.
    pub(crate) async fn remove(&self, name: &str) -> Fallible<()> {
        let path = format!("/connectors/{name}");
        self.ask(Method::DELETE, &path, None).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Fallible<()> {
        let client = Client::builder(TokioExecutor::new()).build_http();
        let body = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{}{path}", self.port))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let response = client.request(request).await?;
        let status = response.status();
        let answer = response.into_body().collect().await?.to_bytes();
        match status {
            StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            _ => Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&answer)).into()),
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
