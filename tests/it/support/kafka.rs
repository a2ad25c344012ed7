//! A private Kafka broker, for tests that stop or kill it.

use std::fs::File;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::free_port;

const PATIENCE: Duration = Duration::from_mins(2);
/// How long a broker that is away keeps its partitions, and the one that comes back after a kill has to wait.
const SESSION: Duration = Duration::from_secs(9);

/// A broker of one's own; killed and removed when dropped.
pub(crate) struct Kafka {
    directory: TempDir,
    port: u16,
    broker: Option<Child>,
}

impl Kafka {
    /// Starts a broker.
    pub(crate) fn start() -> Kafka {
        Kafka::with_session(SESSION)
    }

    /// Starts a broker that is not killed, but stopped for longer than the usual session.
    ///
    /// Once its session has ended its partitions have no leader for a moment, and a transaction that ends in just that
    /// moment may stay open in them for ever (KAFKA-20734, not mended in 4.4).
    pub(crate) fn stalling() -> Kafka {
        Kafka::with_session(Duration::from_mins(2))
    }

    fn with_session(session: Duration) -> Kafka {
        let directory = TempDir::new().unwrap();
        let (port, controller) = (free_port(), free_port());
        let data = directory.path().join("data");
        let properties = format!(
            "process.roles=broker,controller\n\
             node.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT\n\
             log.dirs={}\n\
             offsets.topic.num.partitions=4\n\
             offsets.topic.replication.factor=1\n\
             transaction.state.log.num.partitions=4\n\
             transaction.state.log.replication.factor=1\n\
             transaction.state.log.min.isr=1\n\
             share.coordinator.state.topic.num.partitions=1\n\
             share.coordinator.state.topic.replication.factor=1\n\
             share.coordinator.state.topic.min.isr=1\n\
             group.initial.rebalance.delay.ms=0\n\
             broker.session.timeout.ms={}\n",
            data.display(),
            session.as_millis()
        );
        std::fs::write(directory.path().join("server.properties"), properties).unwrap();
        let mut kafka = Kafka {
            directory,
            port,
            broker: None,
        };
        let format = ["format", "-t", "AAAAAAAAAAAAAAAAAAAAAQ", "-c"];
        let status = kafka
            .java("kafka.tools.StorageTool")
            .args(format)
            .arg(kafka.path("server.properties"))
            .status();
        assert!(status.unwrap().success(), "{}", kafka.log());
        kafka.resume();
        kafka
    }

    /// Starts the broker that was killed, on the same port and data.
    pub(crate) fn resume(&mut self) {
        let mut command = self.java("kafka.Kafka");
        command.arg(self.path("server.properties")).process_group(0);
        self.broker = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let running = self.broker.as_mut().unwrap().try_wait().unwrap().is_none();
            assert!(running && Instant::now() < deadline, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut broker) = self.broker.take() {
            // It may have ended already.
            let _ = broker.kill();
            let _ = broker.wait();
        }
    }

    /// Stops answering, or goes on: SIGSTOP and SIGCONT.
    pub(crate) fn signal(&self, signal: Signal) {
        let broker = self.broker.as_ref().unwrap();
        kill(Pid::from_raw(broker.id().try_into().unwrap()), signal).unwrap();
    }

    /// `kafka.brokers`.
    pub(crate) fn brokers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn java(&self, class: &str) -> Command {
        let libraries = super::variable("TIDEWATER_TEST_KAFKA_LIBS");
        let logging = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/kafka/log4j2.xml");
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.path("log"));
        let log = log.unwrap();
        let mut command = Command::new("java");
        command
            // It does not live long enough for optimized code to pay.
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-Xms256m", "-Xmx512m"])
            .arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
            .args(["-cp", &format!("{libraries}/*"), class])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- log of the broker\n{}", self.log());
        }
        self.kill();
    }
}
