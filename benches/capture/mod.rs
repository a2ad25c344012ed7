//! What the micro-benchmarks share: captured streams, the clock and the report.
//!
//! A capture is what a real server's pgoutput wrote; the `.sql` of its name beside this file made it.

#![allow(
    dead_code,
    reason = "each benchmark is a program of its own and uses its part"
)]

pub(crate) mod encoding;

use std::process::Command;
use std::time::Instant;

use tidewater::event::Lsn;
use tidewater::pgoutput::{Message, parse};

use crate::support::{Fallible, machine, report};

/// A stream that was captured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Capture {
    /// Of its files.
    name: &'static str,
    bytes: &'static [u8],
}

/// The ten-column table.
pub(crate) const ORDERS: Capture = Capture {
    name: "orders",
    bytes: include_bytes!("orders.bin"),
};

/// A table of 40 columns of as many types.
pub(crate) const TYPES: Capture = Capture {
    name: "types",
    bytes: include_bytes!("types.bin"),
};

/// One way of going through a capture: its name, and one pass.
pub(crate) type Variant<'v> = (&'static str, Box<dyn FnMut() + 'v>);

/// Rows replayed per repetition, at least.
const ROWS: usize = 200_000;
/// Repetitions, of which the median is reported.
const REPETITIONS: usize = 7;
/// Passes whose instructions are counted, after one that is not.
const COUNTED_PASSES: u32 = 10;
const PASSES: &str = "--passes";

impl Capture {
    /// The captured messages, each with its LSN.
    pub(crate) fn messages(self) -> Vec<(Lsn, &'static [u8])> {
        let mut messages = Vec::new();
        let mut rest = self.bytes;
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

/// Replays the capture through each variant and writes `target/bench/<name>.json`. With `--passes VARIANT N`
/// it only goes N times through that one: so are its instructions counted.
pub(crate) fn measure(name: &str, capture: Capture, variants: Vec<Variant<'_>>) -> Fallible<()> {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == PASSES) {
        let (Some(wanted), Some(count)) = (arguments.get(at + 1), arguments.get(at + 2)) else {
            return Err("--passes needs a variant and a number".into());
        };
        let mut variants = variants.into_iter();
        let (_, mut pass) = variants
            .find(|(variant, _)| variant == wanted)
            .ok_or("no such variant")?;
        (0..count.parse::<u32>()?).for_each(|_| pass());
        return Ok(());
    }
    let load_before = machine::load();
    let rows_per_pass = rows(&capture.messages());
    let results = variants
        .into_iter()
        .map(|(variant, pass)| Measured::of(variant, rows_per_pass, pass))
        .collect::<Fallible<Vec<Measured>>>()?;
    let report = serde_json::json!({
        "name": name,
        "machine": machine::machine(),
        "settings": {
            "input": format!("pgoutput captured from a server, benches/capture/{}.bin", capture.name),
            "optimized": !cfg!(debug_assertions),
        },
        "load_before": load_before,
        "load_after": machine::load(),
        "results": results.iter().map(Measured::to_json).collect::<Vec<_>>(),
    });
    report::write(name, &report)?;
    report::surroundings(&report);
    print(name, &results);
    Ok(())
}

/// What one variant took.
struct Measured {
    variant: &'static str,
    rows: usize,
    seconds: f64,
    cpu: f64,
    instructions: Option<f64>,
}

impl Measured {
    /// The median of some repetitions, after one pass that only warms.
    fn of(
        variant: &'static str,
        rows_per_pass: usize,
        mut pass: Box<dyn FnMut() + '_>,
    ) -> Fallible<Measured> {
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
        let middle = repetitions.get(REPETITIONS / 2).copied();
        let (seconds, cpu) = middle.unwrap_or_default();
        Ok(Measured {
            variant,
            rows: passes * rows_per_pass,
            seconds,
            cpu,
            instructions: instructions(variant)?.map(|count| count / rows_per_pass as f64),
        })
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "variant": self.variant,
            "rows": self.rows,
            "seconds": self.seconds,
            "rows_per_second": self.rows as f64 / self.seconds,
            "cpu_seconds": self.cpu,
            "cpu_us_per_row": self.cpu * 1e6 / self.rows as f64,
            "instructions_per_row": self.instructions,
        })
    }
}

fn print(name: &str, results: &[Measured]) {
    let heads = [
        name,
        "rows",
        "seconds",
        "rows/s",
        "CPU us/row",
        "instructions/row",
    ];
    let row = |measured: &Measured| {
        let Measured {
            variant,
            rows,
            seconds,
            cpu,
            instructions,
        } = measured;
        vec![
            (*variant).to_owned(),
            rows.to_string(),
            format!("{seconds:.3}"),
            format!("{:.0}", *rows as f64 / seconds),
            format!("{:.3}", cpu * 1e6 / *rows as f64),
            instructions.map_or("no valgrind".to_owned(), |count| format!("{count:.0}")),
        ]
    };
    let rows: Vec<Vec<String>> = results.iter().map(row).collect();
    report::table(&heads, &rows);
}

/// Instructions of one pass, if valgrind is there to count them: what a further pass adds.
fn instructions(variant: &str) -> Fallible<Option<f64>> {
    let few = count(variant, 1)?;
    let many = count(variant, 1 + COUNTED_PASSES)?;
    Ok(few
        .zip(many)
        .map(|(few, many)| (many - few) / f64::from(COUNTED_PASSES)))
}

/// Instructions of this program with so many passes.
fn count(variant: &str, passes: u32) -> Fallible<Option<f64>> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args([PASSES, variant, &passes.to_string()])
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
