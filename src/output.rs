//! Everything that reaches the terminal: reports on standard output, logs and failures on standard
//! error. The only place that prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::EnvFilter;

use crate::cli::{Failure, LogFormat};

/// Sends log lines to standard error, in colour only on a terminal.
pub fn log_to_stderr(filter: &str, format: LogFormat) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// One line of a report. A reader that went away (`| head`) is no failure.
pub fn line(text: impl AsRef<str>) {
    let _ = writeln!(io::stdout(), "{}", text.as_ref());
}

/// One line of many; `false` when nobody reads them any more.
pub fn reached(text: &str) -> bool {
    writeln!(io::stdout(), "{text}").is_ok()
}

/// A report as one line of JSON.
pub fn json(report: &impl serde::Serialize) {
    // Reports hold nothing that JSON cannot say.
    line(serde_json::to_string(report).unwrap_or_default());
}

/// Why the command failed.
pub fn failure(failure: &Failure) {
    let _ = writeln!(io::stderr(), "error: {}", failure.message);
}

/// Help, the version, or what is wrong with the arguments.
pub fn clap(error: &clap::Error) {
    let _ = error.print();
}

/// A size as people read it: `16.0 MiB`.
pub fn bytes(count: i64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    format!("{value:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_by_people() {
        let check = |count, text| assert_eq!(bytes(count), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(16 << 20, "16.0 MiB");
        check(3 << 40, "3.0 TiB");
        check(5 << 50, "5120.0 TiB");
    }
}
