//! A server as a process with a directory of its own and its log there.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Most lines shown of a log: what comes first is why the rest came.
const LINES_MAX: usize = 200;

/// A started process. Killed when dropped; its log is shown when the test fails.
pub(crate) struct Logged {
    name: &'static str,
    child: Child,
    directory: TempDir,
}

impl Logged {
    /// Starts what `command` makes of the directory.
    pub(crate) fn start(name: &'static str, command: impl FnOnce(PathBuf) -> Command) -> Logged {
        let directory = TempDir::new().unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let child = command(directory.path().to_owned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        Logged {
            name,
            child,
            directory,
        }
    }

    /// Fails when it has ended.
    pub(crate) fn assert_running(&mut self) {
        let running = self.child.try_wait().unwrap().is_none();
        assert!(running, "{} has ended", self.name);
    }

    /// Waits until it ends by itself; what it has logged.
    pub(crate) fn wait(mut self, limit: Duration) -> String {
        let deadline = Instant::now() + limit;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{} has not ended", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        self.log()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines = log.lines().filter(|line| !line.contains(" WARN "));
            let shown: Vec<&str> = lines.take(LINES_MAX).collect();
            let shown = shown.join("\n");
            eprintln!("--- log of {}, without warnings\n{shown}", self.name);
        }
    }
}
