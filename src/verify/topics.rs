//! Reading topics to exact offsets, on a thread of its own since the client blocks.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::Error;
use super::record::{Mark, Record};
use crate::config::settings::Kafka;
use crate::kafka::{self, Admin, Isolation, Reader};
use crate::output::Progress;

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a partition may give nothing before the read is given up.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// How long one poll waits.
const POLL: Duration = Duration::from_millis(100);

/// Up to where a topic is read: partitions and the offset after the last record of interest.
pub(super) type Ends = Vec<(i32, i64)>;

/// Where the topic ends now, open transactions included; empty if there is no such topic.
pub(super) fn ends(kafka: &Kafka, topic: &str) -> Result<Ends, Error> {
    let partitions = Admin::new(kafka)?.partitions(topic)?.unwrap_or(0);
    let reader = Reader::open(kafka, Isolation::Uncommitted)?;
    let end = |partition| {
        let (_, end) = reader.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        Ok((partition, end))
    };
    (0..partitions).map(end).collect()
}

/// Hands over every committed record below `ends`, partition by partition. Waits for transactions
/// that were open there; a topic whose start is gone is an error, for nothing can be folded from it.
pub(super) fn read(
    kafka: &Kafka,
    topic: &str,
    ends: &Ends,
    each: impl FnMut(&Record<'_>) -> Result<(), String>,
) -> Result<(), Error> {
    read_between(kafka, topic, &Ends::new(), ends, each)
}

/// As [`read`], from where it was read up to before.
pub(super) fn read_between(
    kafka: &Kafka,
    topic: &str,
    starts: &Ends,
    ends: &Ends,
    mut each: impl FnMut(&Record<'_>) -> Result<(), String>,
) -> Result<(), Error> {
    let starts: HashMap<i32, i64> = starts.iter().copied().collect();
    let mut reader = Reader::open(kafka, Isolation::Committed)?;
    let ranges = ends.iter().map(|(partition, end)| {
        let start = starts.get(partition).copied().unwrap_or(0);
        (*partition, start, *end)
    });
    let ranges: Vec<_> = ranges.filter(|(_, start, end)| end > start).collect();
    let length = |start: i64, end: i64| end.abs_diff(start);
    let total = ranges.iter().map(|(_, start, end)| length(*start, *end));
    let mut progress = Progress::begin(&format!("reading {topic}"), total.sum(), "offsets");
    let mut before = 0;
    for (partition, start, end) in ranges {
        settle(&reader, topic, partition, end)?;
        reader.read_range(topic, partition, (start, end), SILENCE_MAX, |message| {
            let offset = message.offset();
            progress.at(before + length(start, offset));
            hand_over(message, &mut each).map_err(|what| Error::Content {
                topic: topic.to_owned(),
                partition,
                offset,
                what,
            })
        })?;
        before += length(start, end);
    }
    Ok(())
}

/// Waits until the last stable offset is at the end, so that the end of the partition means the end.
fn settle(reader: &Reader, topic: &str, partition: i32, end: i64) -> Result<(), Error> {
    let deadline = Instant::now() + SILENCE_MAX;
    loop {
        let (first, stable) = reader.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        if first > 0 {
            return Err(Error::HistoryGone {
                topic: topic.to_owned(),
                partition,
                first,
            });
        }
        if stable >= end {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let topic = topic.to_owned();
            return Err(kafka::Error::HeldBack {
                topic,
                timeout: SILENCE_MAX,
            }
            .into());
        }
        std::thread::sleep(POLL);
    }
}

fn hand_over(
    message: &BorrowedMessage<'_>,
    each: &mut impl FnMut(&Record<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let header = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        std::str::from_utf8(header.value?).ok()
    };
    let value = message.payload();
    let marked = value.is_none() && header("tidewater.mark") == Some("snapshot-end");
    let mark = marked.then(|| Mark {
        position: header("tidewater.position").unwrap_or_default(),
        time_us: header("tidewater.ts_us").unwrap_or_default(),
    });
    let (partition, offset) = (message.partition(), message.offset());
    each(&Record {
        partition,
        offset,
        key: message.key(),
        value,
        mark,
    })
}
