//! Apicurio's schema registry, a process of its own with its storage in memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{free_port, until_within};

/// What its classes are compiled for.
const JAVA_MIN: u32 = 21;

/// A registry; killed when dropped, its log is shown when the test fails.
pub(crate) struct Apicurio {
    child: Child,
    port: u16,
    directory: TempDir,
}

impl Apicurio {
    /// Starts one; `None`, and a line that says why, where it cannot run.
    pub(crate) async fn start() -> Option<Apicurio> {
        let application = Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache/apicurio");
        assert!(
            application.join("complete").exists(),
            "no registry found: run scripts/install tests"
        );
        let Some(java) = java() else {
            println!("skipped: Apicurio needs Java {JAVA_MIN} or newer, and none is here");
            return None;
        };
        let directory = TempDir::new().unwrap();
        let (port, management) = (free_port(), free_port());
        let log = File::create(directory.path().join("log")).unwrap();
        let child = Command::new(java)
            .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args([
                format!("-Dquarkus.http.port={port}"),
                "-Dquarkus.http.host=127.0.0.1".to_owned(),
                format!("-Dquarkus.management.port={management}"),
                "-Dquarkus.management.host=127.0.0.1".to_owned(),
            ])
            .arg("-jar")
            .arg(application.join("quarkus-run.jar"))
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut apicurio = Apicurio {
            child,
            port,
            directory,
        };
        // Its last line before it answers. A port that is being tried may answer for somebody else.
        until_within(Duration::from_mins(5), "the registry", async || {
            assert!(apicurio.child.try_wait().unwrap().is_none(), "it has ended");
            let log = std::fs::read_to_string(apicurio.directory.path().join("log"));
            log.unwrap().contains("Installed features")
        })
        .await;
        Some(apicurio)
    }

    /// Its Confluent interface.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }
}

impl Drop for Apicurio {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.directory.path().join("log"));
            eprintln!("--- log of the registry\n{}", log.unwrap_or_default());
        }
    }
}

/// The first Java that is new enough: the one on the path, or one of the system's.
fn java() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/jvm").into_iter().flatten();
    let installed = installed.filter_map(|entry| Some(entry.ok()?.path().join("bin/java")));
    [PathBuf::from("java")]
        .into_iter()
        .chain(installed)
        .find(|java| version(java).is_some_and(|version| version >= JAVA_MIN))
}

/// From `openjdk version "25.0.1" 2025-10-21`.
fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let (_, quoted) = text.split_once("version \"")?;
    let digits = quoted.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}
