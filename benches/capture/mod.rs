//! What both micro-benchmarks share: the captured stream, the clock and the report.
//!
//! The capture is what a real server's pgoutput wrote for the ten-column table; `stream.sql` beside
//! this file made it.

use std::process::Command;
use std::time::Instant;

use tidewater::event::Lsn;
use tidewater::pgoutput::{Message, parse};

use crate::support::{Fallible, machine, report};

const STREAM: &[u8] = include_bytes!("stream.bin");

/// Rows replayed per repetition, at least.
const ROWS: usize = 1_000_000;
/// Repetitions, of which the median is reported.
const REPETITIONS: usize = 7;
/// Passes whose instructions are counted, after one that is not.
const COUNTED_PASSES: u32 = 10;
const PASSES: &str = "--passes";

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

/// Replays the capture through `pass` and writes `target/bench/<name>.json`. With `--passes N` it only
/// does that, N times: so are its instructions counted.
pub(crate) fn measure(name: &str, mut pass: impl FnMut()) -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == PASSES) {
        let count = arguments.get(at + 1).ok_or("--passes needs a number")?;
        (0..count.parse::<u32>()?).for_each(|_| pass());
        return Ok(());
    }
    let load_before = machine::load();
    let rows_per_pass = rows(&messages());
    let passes = ROWS.div_ceil(rows_per_pass);
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
    let rows = passes * rows_per_pass;
    let instructions = instructions()?.map(|count| count / rows_per_pass as f64);
    let report = serde_json::json!({
        "name": name,
        "machine": machine::machine(),
        "settings": {
            "input": "pgoutput captured from a server, benches/capture/stream.bin",
            "optimized": !cfg!(debug_assertions),
        },
        "load_before": load_before,
        "load_after": machine::load(),
        "rows": rows,
        "seconds": seconds,
        "rows_per_second": rows as f64 / seconds,
        "cpu_seconds": cpu,
        "cpu_us_per_row": cpu * 1e6 / rows as f64,
        "instructions_per_row": instructions,
    });
    report::write(name, &report)?;
    report::surroundings(&report);
    print(name, rows, seconds, cpu, instructions);
    Ok(())
}

fn print(name: &str, rows: usize, seconds: f64, cpu: f64, instructions: Option<f64>) {
    let heads = [
        "",
        "rows",
        "seconds",
        "rows/s",
        "CPU us/row",
        "instructions/row",
    ];
    let row = vec![
        name.to_owned(),
        rows.to_string(),
        format!("{seconds:.3}"),
        format!("{:.0}", rows as f64 / seconds),
        format!("{:.3}", cpu * 1e6 / rows as f64),
        instructions.map_or("no valgrind".to_owned(), |count| format!("{count:.0}")),
    ];
    report::table(&heads, &[row]);
}

/// Instructions of one pass, if valgrind is there to count them: what a further pass adds.
fn instructions() -> Fallible<Option<f64>> {
    let few = count(1)?;
    let many = count(1 + COUNTED_PASSES)?;
    Ok(few
        .zip(many)
        .map(|(few, many)| (many - few) / f64::from(COUNTED_PASSES)))
}

/// Instructions of this program with so many passes.
fn count(passes: u32) -> Fallible<Option<f64>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([PASSES, &passes.to_string()])
        .output();
    let Ok(output) = output else { return Ok(None) };
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    Ok(collected.and_then(|(_, number)| number.trim().parse().ok()))
}

/// CPU time of this thread, to the nanosecond; zero where the system has no such file.
fn cpu_seconds() -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .unwrap_or_default()
        / 1e9
}
