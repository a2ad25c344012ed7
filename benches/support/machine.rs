//! The machine that the figures were measured on, and how busy it was.

use std::fs::read_to_string;

use serde_json::{Value, json};
use tidewater::connection::Database;

use super::Fallible;
use super::servers::Servers;

/// Load averages over 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Processors, kernel and memory.
pub(crate) fn machine() -> Value {
    let processors = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processors
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown", |(_, model)| model)
        .to_owned();
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default();
    let kilobytes = memory
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse::<u64>().ok());
    json!({
        "processors": std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        "processor": model,
        "memory_bytes": kilobytes.unwrap_or_default() << 10,
        "kernel": read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
    })
}

/// Versions of everything that took part.
pub(crate) async fn versions(database: &Database, servers: &Servers) -> Fallible<Value> {
    let server: String = database.query_one("show server_version", &[]).await?.get(0);
    let command = read_to_string(format!("/proc/{}/cmdline", servers.broker_pid))?;
    let libs = command
        .split('\0')
        .find_map(|argument| argument.strip_suffix("/*"))
        .unwrap_or_default();
    let kafka = std::fs::read_dir(libs)?
        .filter_map(|file| file.ok()?.file_name().into_string().ok())
        .find_map(|name| {
            let version = name.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")?;
            version
                .starts_with(|c: char| c.is_ascii_digit())
                .then(|| version.to_owned())
        });
    Ok(json!({
        "tidewater": env!("CARGO_PKG_VERSION"),
        "postgresql": server,
        "kafka": kafka.unwrap_or_default(),
        "librdkafka": rdkafka::util::get_rdkafka_version().1,
    }))
}
