//! Apicurio's schema registry, a process of its own with its storage in memory.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::logged::Logged;
use super::{free_port, until_within};

/// What its classes are compiled for.
const JAVA_MIN: u32 = 21;

/// A registry.
pub(crate) struct Apicurio {
    process: Logged,
    port: u16,
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
        let (port, management) = (free_port(), free_port());
        let process = Logged::start("the registry", |directory| {
            let mut command = Command::new(java);
            command
                .args(["-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
                .args([
                    format!("-Dquarkus.http.port={port}"),
                    "-Dquarkus.http.host=127.0.0.1".to_owned(),
                    format!("-Dquarkus.management.port={management}"),
                    "-Dquarkus.management.host=127.0.0.1".to_owned(),
                ])
                .arg("-jar")
                .arg(application.join("quarkus-run.jar"))
                .current_dir(directory);
            command
        });
        let mut apicurio = Apicurio { process, port };
        // Its last line before it answers. A port that is being tried may answer for somebody else.
        until_within(Duration::from_mins(5), "the registry", async || {
            apicurio.process.assert_running();
            apicurio.process.log().contains("Installed features")
        })
        .await;
        Some(apicurio)
    }

    /// Its Confluent interface.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
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
