//! The binary under test as a process of its own: started, watched, killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tidewater::exit::ExitCode;
use tidewater::step::{Role, STEP_BYTES};

/// A started `tidewater`. Killed when dropped; its log is shown when the test fails.
pub(crate) struct Tidewater {
    child: Child,
    directory: TempDir,
}

/// What a process that has ended left behind.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) log: String,
}

impl Ended {
    /// The exit code; a signal is none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The same, once it is known to have ended with that code; what it said is shown otherwise.
    pub(crate) fn expect(self, code: ExitCode) -> Ended {
        let Ended { output, log, .. } = &self;
        assert_eq!(self.code(), Some(code as i32), "{output}{log}");
        self
    }

    /// The same, once it is known to have died by a signal, as it does at a step that it was told to die at.
    pub(crate) fn died_at(self, step: &str, arrival: u64) -> Ended {
        assert_eq!(
            self.code(),
            None,
            "{step}:{arrival} was not reached: {}",
            self.log
        );
        self
    }
}

impl Tidewater {
    /// Starts `tidewater ARGUMENTS` with the configuration given; each role's current step goes to a file.
    /// The HTTP server takes a free port unless the configuration names one.
    pub(crate) fn start(arguments: &[&str], config: &str) -> Tidewater {
        let directory = TempDir::new().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("tidewater.toml"), config).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tidewater"));
        command
            .arg("--config")
            .arg(path("tidewater.toml"))
            .args(arguments)
            .env("TIDEWATER_DEBUG_STEP_FILE", path("steps"));
        // A variable would win over the file.
        if !config.contains("[http]") {
            command.env("TIDEWATER_HTTP_LISTEN", "127.0.0.1:0");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(path("output")).unwrap())
            .stderr(File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        Tidewater { child, directory }
    }

    /// Starts it and waits until it ends by itself.
    pub(crate) fn run(arguments: &[&str], config: &str) -> Ended {
        Tidewater::start(arguments, config).wait(Duration::from_mins(2))
    }

    /// `kill -9`; returns once the process is gone.
    pub(crate) fn kill(mut self) -> Ended {
        self.signal(Signal::SIGKILL);
        self.wait_for(Duration::from_secs(10))
    }

    /// `kill -9`; returns the step at which the role died.
    pub(crate) fn kill_at_step(mut self, role: Role) -> String {
        self.signal(Signal::SIGKILL);
        self.wait_for(Duration::from_secs(10));
        self.step(role)
    }

    /// Asks for a drain, and waits for it.
    pub(crate) fn terminate(mut self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.wait_for(Duration::from_mins(1))
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        self.wait_for(limit)
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    /// Waits until the replicator streams.
    pub(crate) async fn streaming(&self) {
        super::until("streaming", async || self.log().contains("streaming")).await;
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// The step at which a role stands, or stood when it died; empty before the first.
    pub(crate) fn step(&self, role: Role) -> String {
        read_step(&self.path("steps"), role)
    }

    /// What it has printed so far.
    pub(crate) fn output(&self) -> String {
        std::fs::read_to_string(self.path("output")).unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// Largest resident memory so far, bytes.
    pub(crate) fn resident_bytes_max(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line
            .and_then(|line| line.split_whitespace().nth(1))
            .unwrap();
        kilobytes.parse::<u64>().unwrap() << 10
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn wait_for(&mut self, limit: Duration) -> Ended {
        let deadline = Instant::now() + limit;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it did not end within {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        };
        Ended {
            status,
            output: std::fs::read_to_string(self.path("output")).unwrap(),
            log: self.log(),
        }
    }
}

impl Drop for Tidewater {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the process\n{}", self.log());
        }
    }
}

fn read_step(file: &Path, role: Role) -> String {
    let steps = std::fs::read(file).unwrap_or_default();
    let start = role as usize * STEP_BYTES;
    let slot = steps.get(start..).unwrap_or_default();
    let slot = slot.get(..STEP_BYTES.min(slot.len())).unwrap_or_default();
    let text = String::from_utf8_lossy(slot);
    text.trim_matches(|c: char| c.is_whitespace() || c == '\0')
        .to_owned()
}
