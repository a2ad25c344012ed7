//! A private PostgreSQL server, for tests that configure, stop or kill it.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// A server of one's own; stopped and removed when dropped.
pub(crate) struct Postgres {
    directory: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts a server with the settings given, `name=value` each.
    pub(crate) fn start(settings: &[&str]) -> Postgres {
        let server = Postgres {
            directory: TempDir::new().unwrap(),
            port: free_port(),
        };
        Postgres::give(server.directory());
        server.run(
            "initdb",
            &[
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "-N",
            ],
        );
        server.configure(settings);
        server.resume();
        server
    }

    /// Starts a standby of `primary`, which reads its log through the physical slot `standby` there and is
    /// set as it is but for `settings`. Restarts the primary.
    pub(crate) fn standby(primary: &Postgres, settings: &[&str]) -> Postgres {
        let standby = Postgres {
            directory: TempDir::new().unwrap(),
            port: free_port(),
        };
        Postgres::give(standby.directory());
        primary.stop("fast");
        let copied = Command::new("cp")
            .arg("-a")
            .args([primary.data(), standby.data()])
            .status();
        assert!(copied.unwrap().success(), "the data are copied");
        primary.resume();
        let leader = format!(
            "primary_conninfo=host=127.0.0.1 port={} user=postgres dbname=postgres",
            primary.port
        );
        standby.configure(&[&leader, "primary_slot_name=standby"]);
        standby.configure(settings);
        standby.demote();
        standby.resume();
        standby
    }

    /// Adds to the settings.
    fn configure(&self, settings: &[&str]) {
        let mut options = format!(
            "port = {}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\nfsync = off\n",
            self.port,
            self.directory().display()
        );
        for setting in settings {
            let (name, value) = setting.split_once('=').unwrap();
            options = format!("{options}{name} = '{value}'\n");
        }
        let mut file = OpenOptions::new()
            .append(true)
            .open(self.data().join("postgresql.conf"))
            .unwrap();
        file.write_all(options.as_bytes()).unwrap();
    }

    /// Its next start is a standby's.
    fn demote(&self) {
        let signal = self.data().join("standby.signal");
        std::fs::write(&signal, "").unwrap();
        Postgres::give(&signal);
    }

    /// Starts the server that was stopped.
    pub(crate) fn resume(&self) {
        let log = self.data().join("log").display().to_string();
        self.run("pg_ctl", &["-w", "-l", &log, "start"]);
    }

    /// Stops the server: `fast`, or `immediate` as if it had crashed.
    pub(crate) fn stop(&self, mode: &str) {
        self.run("pg_ctl", &["-w", "-m", mode, "stop"]);
    }

    /// Restarts it as a standby and promotes it, which begins a new timeline.
    pub(crate) fn restart_promoted(&self) {
        self.stop("fast");
        self.demote();
        self.resume();
        self.promote();
    }

    /// Makes a standby a primary, on a new timeline.
    pub(crate) fn promote(&self) {
        self.run("pg_ctl", &["-w", "promote"]);
    }

    /// Runs one of the server's programs on its data directory, as a user that it accepts.
    fn run(&self, program: &str, arguments: &[&str]) {
        let program = PathBuf::from(super::variable("TIDEWATER_TEST_POSTGRES_BIN")).join(program);
        let mut command = if nix::unistd::geteuid().is_root() {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
                .arg(program);
            command
        } else {
            Command::new(program)
        };
        // The server keeps what it inherits: it must not hold the test's output open.
        let status = command
            .arg("-D")
            .arg(self.data())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success(), "{} failed", arguments.join(" "));
    }

    /// Makes a file the server's own.
    pub(crate) fn give(path: &Path) {
        if let Ok(Some(user)) = nix::unistd::User::from_name("postgres")
            && nix::unistd::geteuid().is_root()
        {
            nix::unistd::chown(path, Some(user.uid), Some(user.gid)).unwrap();
        }
    }

    /// Where its socket is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory().join("data")
    }

    /// Its TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// URL of its superuser.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.data().join("postmaster.pid").exists() {
            self.run("pg_ctl", &["-m", "immediate", "stop"]);
        }
    }
}
