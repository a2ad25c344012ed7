//! The report: `target/bench/<name>.json`, and a table for people.

#![allow(
    clippy::print_stdout,
    reason = "a benchmark's table goes to its standard output"
)]

use std::path::Path;

use serde_json::Value;

use super::Fallible;

/// Writes `target/bench/<name>.json`.
pub(crate) fn write(name: &str, report: &Value) -> Fallible<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&directory)?;
    let path = directory.join(format!("{name}.json"));
    std::fs::write(path, serde_json::to_string_pretty(report)? + "\n")?;
    Ok(())
}

/// Prints a line.
pub(crate) fn line(text: &str) {
    println!("{text}");
}

/// Prints rows under their heads, the first column flush left.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        let longest = cells.map(String::len).max().unwrap_or_default();
        longest.max(heads.get(column).map_or(0, |head| head.len()))
    };
    let line = |cells: &[&str]| {
        let padded: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(column, cell)| match column {
                0 => format!("{cell:<0$}", width(column)),
                _ => format!("{cell:>0$}", width(column)),
            })
            .collect();
        println!("{}", padded.join("  ").trim_end());
    };
    line(heads);
    for row in rows {
        line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

/// What the figures depend on: machine, versions, settings and load.
pub(crate) fn surroundings(report: &Value) {
    for part in ["machine", "versions", "settings"] {
        if let Some(Value::Object(entries)) = report.get(part) {
            let entries: Vec<String> = entries
                .iter()
                .map(|(name, value)| match value.as_str() {
                    Some(text) => format!("{name} {text}"),
                    None => format!("{name} {value}"),
                })
                .collect();
            println!("{part:<9} {}", entries.join(", "));
        }
    }
    let load = |part: &str| report.get(part).and_then(Value::as_str).unwrap_or("?");
    println!(
        "load      {} before, {} after",
        load("load_before"),
        load("load_after")
    );
}
