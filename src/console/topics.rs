//! The topics, and the last records of one.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use rdkafka::message::{BorrowedMessage, Message};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::routes::Api;
use crate::config::settings::{Kafka, Registry};
use crate::gateway::Parameters;
use crate::http::Problem;
use crate::kafka::{self, Admin, Isolation, Polled, Reader};
use crate::tail::Decoder;
use crate::telemetry;

/// Records that are shown, when nothing else is asked for, and at most.
const RECORDS: i64 = 20;
const RECORDS_MAX: i64 = 100;
/// Markers of transactions take offsets too: so many more of a partition are looked at.
const MARKERS: i64 = 20;
/// Values that are longer are not shown, bytes.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A topic.
#[derive(Debug, Serialize)]
struct Topic {
    name: String,
    partitions: usize,
    /// Offsets from the first to the end, markers of transactions included.
    records: i64,
}

/// A record.
#[derive(Debug, Serialize)]
struct Record {
    partition: i32,
    offset: i64,
    at: Option<String>,
    key: Option<Value>,
    op: Option<String>,
    before: Option<Value>,
    after: Option<Value>,
    value: Option<Value>,
    position: Option<String>,
}

/// `GET /api/topics`.
pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, Problem> {
    let kafka = api.kafka.clone();
    let topics = blocking(move || topics(&kafka)).await?;
    Ok(Json(json!({ "topics": topics })))
}

/// `GET /api/topics/{topic}`.
pub(super) async fn last(
    State(api): State<Api>,
    Path(topic): Path<String>,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let given = Parameters::of(&uri, &["limit"])?;
    let limit = given.integer("limit")?.unwrap_or(RECORDS);
    if !(1..=RECORDS_MAX).contains(&limit) {
        let detail = format!("must be 1 to {RECORDS_MAX}");
        return Err(Problem::invalid(Some("limit"), detail));
    }
    let (kafka, registry) = (api.kafka.clone(), api.registry.clone());
    let (name, runtime) = (topic.clone(), Handle::current());
    let found = blocking(move || {
        let decoder = decoder(registry.as_ref(), runtime);
        last_records(&kafka, &name, limit, decoder)
    });
    let Some(records) = found.await? else {
        let detail = format!("there is no topic {topic}");
        return Err(Problem::new(StatusCode::NOT_FOUND, "not-found", detail));
    };
    Ok(Json(json!({ "topic": topic, "events": records })))
}

/// Asks Kafka on a thread that may block.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, kafka::Error> + Send + 'static,
) -> Result<T, Problem> {
    let unavailable = || Problem::unavailable("kafka-unavailable", "kafka does not answer");
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => {
            tracing::debug!(error = %telemetry::chain(&error), "topics cannot be shown");
            Err(unavailable())
        }
        Err(_) => Err(unavailable()),
    }
}

/// Reads Avro, where there is a registry that can be asked.
fn decoder(settings: Option<&Registry>, runtime: Handle) -> Option<Decoder> {
    let registry = crate::registry::Registry::new(settings?);
    let registry = registry.inspect_err(|error| {
        tracing::debug!(error = %telemetry::chain(error), "the registry cannot be asked");
    });
    Some(Decoder::new(registry.ok()?, runtime))
}

/// Those of the configuration's prefix, by name.
fn topics(kafka: &Kafka) -> Result<Vec<Topic>, kafka::Error> {
    let reader = Reader::open(kafka, Isolation::Committed)?;
    let prefix = format!("{}.", kafka.prefix);
    let mut topics = Vec::new();
    for (name, partitions) in Admin::new(kafka)?.topics(ANSWER_TIMEOUT)? {
        if !name.starts_with(&prefix) {
            continue;
        }
        let mut records = 0;
        for partition in 0..partitions {
            let (first, end) = reader.watermarks(&name, partition, ANSWER_TIMEOUT)?;
            records += end - first;
        }
        topics.push(Topic {
            partitions: usize::try_from(partitions).unwrap_or_default(),
            name,
            records,
        });
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// The newest records of a topic, newest first; `None` if there is no such topic.
fn last_records(
    kafka: &Kafka,
    topic: &str,
    limit: i64,
    mut decoder: Option<Decoder>,
) -> Result<Option<Vec<Record>>, kafka::Error> {
    let prefix = format!("{}.", kafka.prefix);
    let partitions = Admin::new(kafka)?.partitions(topic)?;
    let Some(partitions) = partitions.filter(|_| topic.starts_with(&prefix)) else {
        return Ok(None);
    };
    let mut reader = Reader::open(kafka, Isolation::Committed)?;
    let mut starts = Vec::new();
    for partition in 0..partitions {
        let (first, end) = reader.watermarks(topic, partition, ANSWER_TIMEOUT)?;
        if end > first {
            starts.push((topic, partition, first.max(end - limit - MARKERS)));
        }
    }
    let mut open: HashSet<i32> = starts.iter().map(|(_, partition, _)| *partition).collect();
    reader.assign(&starts)?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut records: Vec<(i64, Record)> = Vec::new();
    while !open.is_empty() && Instant::now() < deadline {
        match reader.poll(topic)? {
            Polled::Nothing => {}
            Polled::End(partition) => _ = open.remove(&partition),
            Polled::Record(message) => {
                let at = message.timestamp().to_millis().unwrap_or_default();
                records.push((at, record(&message, decoder.as_mut())));
            }
        }
    }
    if !open.is_empty() {
        return Err(reader.silent(topic, ANSWER_TIMEOUT));
    }
    records.sort_by_key(|(at, record)| std::cmp::Reverse((*at, record.offset)));
    let shown = usize::try_from(limit).unwrap_or_default();
    let newest = records.into_iter().take(shown).map(|(_, record)| record);
    Ok(Some(newest.collect()))
}

fn record(message: &BorrowedMessage<'_>, decoder: Option<&mut Decoder>) -> Record {
    let (key, value) = match decoder {
        None => (parsed(message.key(), None), parsed(message.payload(), None)),
        Some(decoder) => (
            parsed(message.key(), Some(&mut *decoder)),
            parsed(message.payload(), Some(decoder)),
        ),
    };
    let at = message.timestamp().to_millis().unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(at).ok();
    let mut record = Record {
        partition: message.partition(),
        offset: message.offset(),
        at: at.map(|at| at.to_string()),
        key: key.map(payload),
        op: None,
        before: None,
        after: None,
        value: None,
        position: None,
    };
    let mut value = value.map(payload);
    let change = value.as_mut().and_then(Value::as_object_mut);
    match change {
        Some(change) if change.contains_key("op") && change.contains_key("source") => {
            let text = |value: Option<Value>| match value {
                Some(Value::String(text)) => Some(text),
                _ => None,
            };
            let mut take = |name| change.remove(name).filter(|value: &Value| !value.is_null());
            record.op = text(take("op"));
            record.before = take("before");
            record.after = take("after");
            let source = take("source").and_then(|source| source.get("position").cloned());
            record.position = text(source);
        }
        _ => record.value = value,
    }
    record
}

/// What is within an inline schema.
fn payload(mut value: Value) -> Value {
    let inner = value.as_object_mut().and_then(|object| {
        let wraps = object.len() == 2 && object.contains_key("schema");
        wraps.then(|| object.remove("payload"))?
    });
    inner.unwrap_or(value)
}

fn parsed(bytes: Option<&[u8]>, decoder: Option<&mut Decoder>) -> Option<Value> {
    let bytes = bytes?;
    if bytes.len() > VALUE_BYTES_MAX {
        return Some(format!("{} bytes: too long to be shown", bytes.len()).into());
    }
    let decoded = decoder.and_then(|decoder| decoder.json(bytes).ok().flatten());
    let bytes = decoded.as_deref().unwrap_or(bytes);
    let value = serde_json::from_slice(bytes);
    Some(value.unwrap_or_else(|_| String::from_utf8_lossy(bytes).into()))
}
