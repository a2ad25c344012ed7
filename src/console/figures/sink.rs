//! The sink: how far the consumer is, what is decided and what waits to be dispatched.

use std::time::{Duration, Instant};

use serde::Deserialize;

use super::rate::Rate;
use super::{Answer, Figures, Pipeline, Watch};
use crate::config::settings::Retail;
use crate::http::SinkReader;

/// Over which rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);

const SQL: &str = "
    select json_build_object(
        'snapshot_ended', (select coalesce(bool_and(snapshot_ended), false) from consumer_offset),
        'applied_age', extract(epoch from clock_timestamp() - applied_until())::float8,
        'applied', (select coalesce(sum(next_offset), 0) from consumer_offset),
        'partitions', (select coalesce(json_agg(json_build_array(topic, partition)), '[]')
                       from consumer_offset),
        'evaluated_age', (select extract(epoch from clock_timestamp() - evaluated_at)::float8
                          from sink_identity),
        'outbox', (select count(*) from promotion_outbox),
        'outbox_age', (select extract(epoch from clock_timestamp() - min(created_at))::float8
                       from promotion_outbox),
        'cause_to_code', (
            select json_build_array(percentile_cont(0.5) within group (order by seconds),
                                    percentile_cont(0.99) within group (order by seconds))
            from (select extract(epoch from issued_at - caused_at) as seconds from promotion
                  where issued_at > clock_timestamp() - interval '1 hour' and caused_at is not null
                  order by issued_at desc limit 1000) newest),
        'issued', (select count(*) from promotion where issued_at > clock_timestamp() - interval '1 minute'),
        'dispatched', (select count(*) from promotion
                       where issued_at > clock_timestamp() - interval '5 minutes'
                         and dispatched_at > clock_timestamp() - interval '1 minute'))::text";

/// The statement's answer.
#[derive(Debug, Deserialize)]
struct Row {
    snapshot_ended: bool,
    applied_age: Option<f64>,
    applied: i64,
    partitions: Vec<(String, i32)>,
    evaluated_age: Option<f64>,
    outbox: i64,
    outbox_age: Option<f64>,
    cause_to_code: [Option<f64>; 2],
    issued: i64,
    dispatched: i64,
}

/// What the sink says.
#[derive(Debug)]
pub(in crate::console) struct Sink {
    /// `warming-up`, `behind` or `current`.
    pub(in crate::console) state: &'static str,
    /// Age of what everything is applied up to, seconds.
    pub(in crate::console) applied_age_seconds: Option<f64>,
    /// Sum of the offsets that are applied.
    pub(in crate::console) applied_offsets: i64,
    /// Offsets per second.
    pub(in crate::console) applied_rate: Option<f64>,
    /// The consumer's partitions.
    pub(in crate::console) partitions: Vec<(String, i32)>,
    /// Age of the last evaluation of all rules, seconds.
    pub(in crate::console) evaluated_age_seconds: Option<f64>,
    /// Codes that wait to be dispatched, and the age of the first one, seconds.
    pub(in crate::console) outbox: i64,
    pub(in crate::console) outbox_age_seconds: Option<f64>,
    /// Median and 99th percentile from a cause's commit to its code, of the last hour, seconds.
    pub(in crate::console) cause_to_code: [Option<f64>; 2],
    /// Codes of the last minute.
    pub(in crate::console) issued: i64,
    pub(in crate::console) dispatched: i64,
}

impl Sink {
    /// In a few words.
    pub(in crate::console) fn detail(&self) -> String {
        match self.state {
            "warming-up" => "warming up: the snapshot has not ended everywhere".to_owned(),
            "behind" => "behind: no code is issued on what is applied now".to_owned(),
            _ => "current".to_owned(),
        }
    }
}

/// Asks it.
pub(in crate::console) struct SinkWatch {
    reader: SinkReader,
    retail: Retail,
    applied: Rate,
}

impl SinkWatch {
    /// Asks through `reader`.
    pub(in crate::console) fn new(reader: SinkReader, retail: Retail) -> SinkWatch {
        SinkWatch {
            reader,
            retail,
            applied: Rate::over(RATE_WINDOW),
        }
    }
}

impl Watch for SinkWatch {
    type Found = Sink;
    const PAUSE: Duration = Duration::from_millis(500);

    async fn ask(&mut self, _: &Pipeline) -> Result<Sink, String> {
        let does_not_answer = || "the sink does not answer".to_owned();
        let text = self.reader.ask(SQL, &[]).await;
        let text = text.map_err(|_| does_not_answer())?;
        let row: Row = serde_json::from_str(&text).map_err(|_| does_not_answer())?;
        let limit = self.retail.issue_max_lag.as_secs_f64();
        let state = match row.applied_age {
            _ if !row.snapshot_ended => "warming-up",
            Some(age) if age <= limit => "current",
            Some(_) | None => "behind",
        };
        Ok(Sink {
            state,
            applied_age_seconds: row.applied_age,
            applied_offsets: row.applied,
            applied_rate: self.applied.take(row.applied as f64, Instant::now()),
            partitions: row.partitions,
            evaluated_age_seconds: row.evaluated_age,
            outbox: row.outbox,
            outbox_age_seconds: row.outbox_age,
            cause_to_code: row.cause_to_code,
            issued: row.issued,
            dispatched: row.dispatched,
        })
    }

    fn answer(figures: &mut Figures) -> &mut Answer<Sink> {
        &mut figures.sink
    }
}
