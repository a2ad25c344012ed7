//! Everything that reaches the terminal: reports on standard output, logs and failures on standard
//! error. The only place that prints.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place that prints"
)]

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::EnvFilter;

use crate::cli::{Failure, LogFormat};

/// Between two lines of progress where there is no terminal.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);
/// Steps between two looks at the clock.
const PROGRESS_STEPS: u64 = 4_096;

/// How far long work is: a bar with the time left where standard error is a terminal, and a log line every few seconds
/// elsewhere. Gone when it is dropped.
pub struct Progress {
    bar: ProgressBar,
    what: String,
    total: u64,
    told_at: Instant,
    looked_at: u64,
}

impl Progress {
    /// Begins; `what` names the work, and `total` is its length, in `unit`.
    pub fn begin(what: &str, total: u64, unit: &str) -> Progress {
        let template =
            format!("{{msg}} {{bar:24}} {{human_pos}} of {{human_len}} {unit}, {{eta}} left");
        // Elsewhere than on a terminal it draws nothing.
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Progress {
            bar,
            what: what.to_owned(),
            total,
            told_at: Instant::now(),
            looked_at: 0,
        }
    }

    /// So much of it is done.
    pub fn at(&mut self, done: u64) {
        if done < self.looked_at + PROGRESS_STEPS {
            return;
        }
        self.looked_at = done;
        self.bar.set_position(done);
        if self.bar.is_hidden() && self.told_at.elapsed() >= PROGRESS_INTERVAL {
            self.told_at = Instant::now();
            tracing::info!(done, of = self.total, "{}", self.what);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

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
