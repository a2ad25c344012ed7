//! `tidewater replay`.

use std::path::PathBuf;

use clap::Args;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::event::{Batch, Header, Record};
use crate::exit::ExitCode;
use crate::output;
use crate::replicate::recording::{Reader, Replay};
use crate::tail::Lines;

const EXAMPLES: &str = "\
Examples:
  tidewater replay changes.capture
  tidewater replay changes.capture --json | jq .value.op
  TIDEWATER_FORMAT_VALUES=debezium tidewater replay changes.capture --json --count 1

The configuration's [format] and [kafka] prefix and partitions decide how records look; no server is asked.";

/// What to replay, and how to show it.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArguments {
    /// The capture file.
    file: PathBuf,
    /// Print each record as an object of topic, key, value and headers, one a line.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    /// End after so many records.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Print no record, only what they come to.
    #[arg(long)]
    quiet: bool,
}

/// Replays a file, printing as it goes.
pub(super) fn run(settings: &Settings, arguments: &ReplayArguments) -> Result<ExitCode, Failure> {
    let mut reader = Reader::open(&arguments.file).map_err(crate::replicate::Error::from)?;
    let replay = Replay::new(settings, reader.header());
    let mut lines = Lines::default();
    let mut left = arguments.count.unwrap_or(u64::MAX);
    let replayed = replay.run(&mut reader, |topic, batch, record| {
        left -= 1;
        let printed = if arguments.quiet {
            true
        } else if arguments.json {
            output::reached(&object(topic, batch, record))
        } else {
            output::reached(&line(&mut lines, batch, record))
        };
        printed && left > 0
    })?;
    if arguments.quiet {
        output::line(format!(
            "{} messages became {} records of {} bytes",
            replayed.messages, replayed.records, replayed.bytes
        ));
    }
    if replayed.unfinished {
        tracing::warn!("the file ends inside a transaction, whose changes are left out");
    }
    Ok(ExitCode::Success)
}

fn line(lines: &mut Lines, batch: &Batch, record: &Record) -> String {
    let part =
        |range: &Option<std::ops::Range<usize>>| range.as_ref().map(|range| batch.slice(range));
    lines.line(part(&record.key), part(&record.value), None)
}

/// `{"topic":…,"partition":…,"key":…,"value":…,"headers":{…}}`; keys and values are JSON already.
fn object(topic: &str, batch: &Batch, record: &Record) -> String {
    let raw = |range: &std::ops::Range<usize>| {
        let text = String::from_utf8_lossy(batch.slice(range)).into_owned();
        RawValue::from_string(text).ok()
    };
    // Those that were asked for are text, a changed key is JSON.
    let header = |header: &Header| {
        let text = String::from_utf8_lossy(batch.slice(&header.value)).into_owned();
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        (header.name.to_string(), value)
    };
    // The parts are JSON, so the whole is.
    serde_json::to_string(&Shown {
        topic,
        partition: record.partition,
        key: record.key.as_ref().and_then(raw),
        value: record.value.as_ref().and_then(raw),
        headers: batch.headers_of(record).iter().map(header).collect(),
    })
    .unwrap_or_default()
}

#[derive(serde::Serialize)]
struct Shown<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    key: Option<Box<RawValue>>,
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    headers: Map<String, Value>,
}
