//! The release binary under measurement as a process: `tidewater replicate`, or another role.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::Fallible;

/// A started role. Killed when dropped.
pub(crate) struct Replicator {
    child: Child,
    directory: TempDir,
}

impl Replicator {
    /// Starts it with the configuration given, and defaults for everything else.
    pub(crate) fn start(config: &str) -> Fallible<Replicator> {
        Replicator::start_as("replicate", config)
    }

    /// Starts another role in the same way.
    pub(crate) fn start_as(role: &str, config: &str) -> Fallible<Replicator> {
        let directory = TempDir::new()?;
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("tidewater.toml"), config)?;
        let child = Command::new(env!("CARGO_BIN_EXE_tidewater"))
            .args(["--log-format", "json", "--config"])
            .arg(path("tidewater.toml"))
            .arg(role)
            .env("TIDEWATER_HTTP_LISTEN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log"))?)
            .spawn()?;
        Ok(Replicator { child, directory })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Fails if it has ended.
    pub(crate) fn check(&mut self) -> Fallible<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(format!("tidewater ended, {status}:\n{}", self.log()).into()),
        }
    }

    /// Asks for a drain, and waits for it.
    pub(crate) fn stop(self) -> Fallible<()> {
        kill(Pid::from_raw(self.pid().cast_signed()), Signal::SIGTERM)?;
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Fallible<()> {
        let status = self.child.wait()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("tidewater ended, {status}:\n{}", self.log()).into())
    }
}

impl Drop for Replicator {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
