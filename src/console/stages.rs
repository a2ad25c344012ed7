//! The six stages as the page draws them. Pure.

use serde::Serialize;

use super::figures::StageFigures;
use super::pipeline::Figures;
use crate::output::bytes;
use crate::telemetry::Condition;

/// A stage of the pipeline.
#[derive(Debug, Serialize)]
pub(super) struct Stage {
    id: &'static str,
    condition: &'static str,
    rate: Option<f64>,
    rate_unit: &'static str,
    waiting_seconds: Option<f64>,
    waiting: String,
    detail: Option<String>,
}

/// All of them, in the order that a change passes them.
pub(super) fn stages(figures: &Figures) -> [Stage; 6] {
    let (source, kafka) = (figures.source.known(), figures.kafka.known());
    let (sink, roles) = (figures.sink.known(), figures.roles.known());
    let told = |names: &[&str]| roles.and_then(|roles| roles.stage(names));
    let retained = source.and_then(|source| source.lag.retained_bytes);
    let unread = source.and_then(|source| source.lag.lag_bytes);
    let behind = kafka
        .zip(sink)
        .map(|(kafka, sink)| kafka.end_offsets - sink.applied_offsets);
    let source_rate = source.and_then(|source| source.rate);
    let kafka_rate = kafka.and_then(|kafka| kafka.rate);
    let outbox = sink.map(|sink| sink.outbox);
    let per_minute = |count: Option<i64>| count.map(|count| count as f64);
    [
        Stage {
            waiting: retained.map_or_else(unknown, |kept| format!("{} kept", bytes(kept))),
            ..server("postgres", "rows/s", source_rate, source.is_some())
        },
        Stage {
            rate: roles.and_then(|roles| roles.published_rate),
            waiting: unread.map_or_else(unknown, |unread| {
                format!(
                    "{} unread",
                    bytes(i64::try_from(unread).unwrap_or(i64::MAX))
                )
            }),
            ..role(
                "replicate",
                "records/s",
                told(&["replicate.read", "replicate.publish"]),
            )
        },
        Stage {
            waiting: behind.map_or_else(unknown, |behind| format!("{} to apply", behind.max(0))),
            ..server("kafka", "records/s", kafka_rate, kafka.is_some())
        },
        Stage {
            rate: sink.and_then(|sink| sink.applied_rate),
            waiting_seconds: sink.and_then(|sink| sink.applied_age_seconds),
            waiting: behind.map_or_else(unknown, |behind| format!("{} behind", behind.max(0))),
            ..role("aggregate", "records/s", told(&["retail.apply"]))
        },
        Stage {
            rate: per_minute(sink.map(|sink| sink.issued)),
            waiting: (sink.and_then(|sink| sink.evaluated_age_seconds)).map_or_else(
                || "no rule evaluated yet".to_owned(),
                |age| format!("all rules {} ago", seconds(age)),
            ),
            ..role(
                "decide",
                "codes/min",
                told(&["retail.decide", "retail.events"]),
            )
        },
        Stage {
            rate: per_minute(sink.map(|sink| sink.dispatched)),
            waiting_seconds: sink.and_then(|sink| sink.outbox_age_seconds),
            waiting: outbox.map_or_else(unknown, |outbox| format!("{outbox} to send")),
            ..role(
                "dispatch",
                "codes/min",
                told(&["retail.dispatch", "retail.webhook"]),
            )
        },
    ]
}

/// A server: it answers, or it does not.
fn server(id: &'static str, rate_unit: &'static str, rate: Option<f64>, answers: bool) -> Stage {
    let condition = match rate {
        _ if !answers => "unknown",
        Some(rate) if rate > 0.0 => "working",
        Some(_) | None => "idle",
    };
    Stage {
        id,
        condition,
        rate,
        rate_unit,
        waiting_seconds: None,
        waiting: String::new(),
        detail: (!answers).then(|| "it does not answer".to_owned()),
    }
}

/// A role: what its process says of its stages.
fn role(id: &'static str, rate_unit: &'static str, told: Option<StageFigures>) -> Stage {
    let detail = match &told {
        None => Some("no process tells of it at console.roles".to_owned()),
        Some(told) => told.reason.clone(),
    };
    let condition = told
        .as_ref()
        .map_or("unknown", |told| match told.condition {
            Condition::Idle => "idle",
            Condition::Working => "working",
            Condition::Starting => "starting",
            Condition::Draining => "draining",
            Condition::Stuck => "stuck",
            Condition::Failed => "failed",
        });
    Stage {
        id,
        condition,
        rate: None,
        rate_unit,
        waiting_seconds: told.and_then(|told| told.oldest_seconds),
        waiting: String::new(),
        detail,
    }
}

fn unknown() -> String {
    "not known".to_owned()
}

fn seconds(age: f64) -> String {
    format!("{:.0} s", age.max(0.0))
}
