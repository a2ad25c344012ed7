//! Flink's SQL client, with a cluster in its own process.

use std::process::Command;
use std::time::Duration;

use super::logged::Logged;

/// How long statements may take: a JVM or two, and a planner that is compiled anew each time.
const PATIENCE: Duration = Duration::from_mins(5);
/// Results go to its output, as a changelog.
const SETTINGS: &str = "
    set 'execution.runtime-mode' = 'streaming';
    set 'parallelism.default' = '1';
    set 'table.local-time-zone' = 'UTC';
    set 'sql-client.execution.result-mode' = 'tableau';
";

/// Runs statements of which the last is a query that ends; its changelog, operation first.
pub(crate) fn changes(statements: &str) -> Vec<Vec<String>> {
    let root = env!("CARGO_MANIFEST_DIR");
    let jars = super::jars("flink");
    let client = Logged::start("Flink", |directory| {
        let path = |name: &str| directory.join(name);
        std::fs::write(path("config.yaml"), "execution:\n  target: local\n").unwrap();
        std::fs::write(path("job.sql"), format!("{SETTINGS}{statements}")).unwrap();
        let mut command = Command::new("java");
        command
            .env("FLINK_CONF_DIR", &directory)
            .args(["-Xmx768m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .arg(format!("-Duser.home={}", directory.display()))
            .arg(format!("-Djava.io.tmpdir={}", directory.display()))
            .arg(format!(
                "-Dlog4j2.configurationFile={root}/scripts/kafka/log4j2.xml"
            ))
            .args(["-cp", &jars])
            .arg("org.apache.flink.table.client.SqlClient")
            .arg("-f")
            .arg(path("job.sql"));
        command
    });
    let log = client.wait(PATIENCE);
    assert!(log.contains("Received a total of"), "no result: {log}");
    let rows = log.lines().filter_map(row);
    rows.collect()
}

/// `| +I |  1 | 12.50 |`; neither the head nor a rule.
fn row(line: &str) -> Option<Vec<String>> {
    let cells = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let cells: Vec<String> = cells
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect();
    let operation = cells.first()?;
    ["+I", "-U", "+U", "-D"]
        .contains(&operation.as_str())
        .then_some(cells)
}
