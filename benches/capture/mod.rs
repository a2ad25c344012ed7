//! What both micro-benchmarks share: the captured stream, the clock and the report.
//!
//! The capture is what a real server's pgoutput wrote for the ten-column table; `stream.sql` beside
//! this file made it.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark's table goes to its standard output"
)]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use tidewater::event::Lsn;
use tidewater::pgoutput::{Message, parse};

const STREAM: &[u8] = include_bytes!("stream.bin");

/// Rows replayed per repetition, at least.
const ROWS: usize = 1_000_000;
/// Repetitions, of which the median is reported.
const REPETITIONS: usize = 7;

/// The captured messages, each with its LSN.
pub(crate) fn messages() -> Vec<(Lsn, &'static [u8])> {
    let mut messages = Vec::new();
    let mut rest = STREAM;
    while let Some((lsn, after)) = rest.split_first_chunk::<8>() {
        let (length, after) = after.split_first_chunk::<4>().expect("a length follows");
        let length = u32::from_be_bytes(*length) as usize;
        let (message, after) = after
            .split_at_checked(length)
            .expect("the message is whole");
        messages.push((Lsn(u64::from_be_bytes(*lsn)), message));
        rest = after;
    }
    messages
}

/// Rows that one pass over the messages changes.
fn rows(messages: &[(Lsn, &[u8])]) -> usize {
    let parsed = messages.iter().map(|(_, bytes)| parse(bytes));
    parsed
        .filter(|message| {
            matches!(
                message,
                Ok(Message::Insert { .. } | Message::Update { .. } | Message::Delete { .. })
            )
        })
        .count()
}

/// Replays the capture through `pass` and writes `target/bench/<name>.json`.
pub(crate) fn measure(name: &str, mut pass: impl FnMut()) -> Result<(), Box<dyn Error>> {
    let rows_per_pass = rows(&messages());
    let passes = ROWS.div_ceil(rows_per_pass);
    let rows = passes * rows_per_pass;
    pass();
    let mut repetitions: Vec<(f64, f64)> = (0..REPETITIONS)
        .map(|_| {
            let (wall, cpu) = (Instant::now(), cpu_seconds());
            for _ in 0..passes {
                pass();
            }
            (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu)
        })
        .collect();
    repetitions.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (seconds, cpu) = repetitions
        .get(REPETITIONS / 2)
        .copied()
        .unwrap_or_default();
    report(name, rows, seconds, cpu)
}

fn report(name: &str, rows: usize, seconds: f64, cpu: f64) -> Result<(), Box<dyn Error>> {
    let rows_per_second = rows as f64 / seconds;
    let us_per_row = cpu * 1e6 / rows as f64;
    let json = serde_json::json!({
        "name": name,
        "input": "pgoutput captured from a server, benches/capture/stream.bin",
        "optimized": !cfg!(debug_assertions),
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rows_per_second,
        "cpu_seconds": cpu,
        "cpu_us_per_row": us_per_row,
    });
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.json"));
    std::fs::write(path, serde_json::to_string_pretty(&json)? + "\n")?;
    println!(
        "{:<8} {:>10} {:>9} {:>12} {:>14}",
        name, "rows", "seconds", "rows/s", "CPU us/row"
    );
    println!(
        "{:<8} {rows:>10} {seconds:>9.3} {rows_per_second:>12.0} {us_per_row:>14.3}",
        ""
    );
    if cfg!(debug_assertions) {
        println!("not optimised: these figures mean nothing");
    }
    Ok(())
}

/// CPU time of this thread, to the nanosecond; zero where the system has no such file.
fn cpu_seconds() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .unwrap_or_default()
        / 1e9
}
