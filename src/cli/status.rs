//! `tidewater status`: one screen that says where each half stands.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;

use super::failure::Failure;
use crate::config::settings::Settings;
use crate::exit::ExitCode;
use crate::http::{self, StageJson};
use crate::lag::{self, RequestLag, SinkLag, SnapshotLag, SourceLag, State, TopicsLag};
use crate::output::bytes;
use crate::{connection, output, telemetry};

const EXAMPLES: &str = "\
Examples:
  tidewater status
  tidewater status --json | jq .sink.state";

/// How to print it.
#[derive(Clone, Copy, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatusArguments {
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Everything that answered, and what did not.
#[derive(Debug, Default, Serialize)]
struct Status {
    source: Option<SourceLag>,
    topics: Option<TopicsLag>,
    /// Age of the newest heartbeat in Kafka.
    lag_seconds: Option<f64>,
    sink: Option<SinkLag>,
    lag_records: Option<i64>,
    /// Of the process that listens at `http.listen`; none when there is none.
    stages: Option<Vec<StageJson>>,
    errors: Vec<String>,
}

/// Asks every configured part. One that does not answer is shown as such, and decides the exit code.
pub(super) async fn run(
    settings: &Settings,
    arguments: StatusArguments,
) -> Result<ExitCode, Failure> {
    let mut status = Status::default();
    let mut code = ExitCode::Success;
    let mut failed = |errors: &mut Vec<String>, error: &lag::Error| {
        errors.push(telemetry::chain(error));
        if code == ExitCode::Success {
            code = error.exit_code();
        }
    };
    match ask_source(settings).await {
        Ok(found) => status.source = found,
        Err(error) => failed(&mut status.errors, &error),
    }
    match ask_topics(settings).await {
        Ok(found) => {
            let age = |at_us: i64| jiff::Timestamp::now().as_microsecond() - at_us;
            let heartbeat = found.as_ref().and_then(|found| found.heartbeat_us);
            status.lag_seconds = heartbeat.map(|at| age(at).max(0) as f64 / 1e6);
            status.topics = found;
        }
        Err(error) => failed(&mut status.errors, &error),
    }
    match ask_sink(settings).await {
        Ok(found) => {
            status.lag_records = found.as_ref().map(SinkLag::lag_records);
            status.sink = found;
        }
        Err(error) => failed(&mut status.errors, &error),
    }
    status.stages = http::ask(settings.http.listen)
        .await
        .map(|readiness| readiness.stages);
    if arguments.json {
        output::json(&status);
    } else {
        output::line(screen(&status).trim_end());
    }
    Ok(code)
}

async fn ask_source(settings: &Settings) -> Result<Option<SourceLag>, lag::Error> {
    let Some(source) = &settings.source else {
        return Ok(None);
    };
    let database = connection::connect(&source.connection)
        .await
        .map_err(lag::Error::SourceConnection)?;
    lag::source(&database, &source.slot).await.map(Some)
}

async fn ask_topics(settings: &Settings) -> Result<Option<TopicsLag>, lag::Error> {
    let (Some(source), Some(kafka)) = (settings.source.clone(), settings.kafka.clone()) else {
        return Ok(None);
    };
    tokio::task::spawn_blocking(move || lag::topics(&source, &kafka))
        .await
        .unwrap_or(Err(lag::Error::Thread))
        .map(Some)
}

async fn ask_sink(settings: &Settings) -> Result<Option<SinkLag>, lag::Error> {
    let Some(sink) = &settings.sink else {
        return Ok(None);
    };
    let database = connection::connect(&sink.connection)
        .await
        .map_err(lag::Error::SinkConnection)?;
    let mut found = lag::sink(&database, &settings.retail).await?;
    if let Some(kafka) = settings.kafka.clone() {
        found = tokio::task::spawn_blocking(move || found.ask_ends(&kafka).map(|()| found))
            .await
            .map_err(|_| lag::Error::Thread)??;
    }
    Ok(Some(found))
}

fn screen(status: &Status) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let mut row = |name: &str, value: String| _ = writeln!(text, "{name:<20}{value}");
    if let Some(source) = &status.source {
        row("slot", slot(source));
        row(
            "log kept",
            format!(
                "{}{}",
                bytes(source.retained_bytes.unwrap_or(0)),
                source.safe_bytes.map_or_else(String::new, |safe| format!(
                    ", lost after {} more",
                    bytes(safe)
                ))
            ),
        );
        let lag = source
            .lag_bytes
            .map_or_else(unknown, |lag| bytes(i64::try_from(lag).unwrap_or(i64::MAX)));
        row(
            "log unread",
            format!("{lag} of the log up to {}", source.log_end),
        );
    }
    if let Some(topics) = &status.topics {
        let position = topics.position.map_or_else(unknown, |at| at.to_string());
        let snapshot = if topics.snapshot_unfinished {
            ", a snapshot is unfinished"
        } else {
            ""
        };
        row("position", format!("{position}{snapshot}"));
        if let Some(snapshot) = &topics.snapshot {
            row("snapshot", progress(snapshot));
        }
        for request in &topics.ad_hoc {
            row(
                &format!("snapshot {}", request.request.id),
                RequestLag::to_string(request),
            );
        }
        let age = status.lag_seconds;
        row(
            "in kafka",
            age.map_or_else(
                || "no heartbeat yet".to_owned(),
                |age| format!("everything up to {age:.1} s ago"),
            ),
        );
    }
    if let Some(sink) = &status.sink {
        sink_rows(sink, &mut row);
    }
    for stage in status.stages.iter().flatten() {
        row(&stage.name, doing(stage));
    }
    for error in &status.errors {
        row("error", error.clone());
    }
    text
}

fn progress(snapshot: &SnapshotLag) -> String {
    let SnapshotLag {
        tables,
        tables_finished,
        rows,
        rows_estimate,
    } = snapshot;
    // An estimate may be too low, or there is none before the table is analysed.
    let of = if rows_estimate > rows {
        format!(" of about {rows_estimate}")
    } else {
        String::new()
    };
    format!("{rows}{of} rows, {tables_finished} of {tables} tables whole")
}

fn slot(source: &SourceLag) -> String {
    if !source.exists {
        return format!("{} does not exist yet", source.slot);
    }
    let reader = if source.active {
        "read now"
    } else {
        "nobody reads it"
    };
    let wal_status = source.wal_status.as_deref().unwrap_or("unknown");
    format!("{}, {reader}, its log is {wal_status}", source.slot)
}

fn sink_rows(sink: &SinkLag, row: &mut impl FnMut(&str, String)) {
    let state = match sink.state {
        State::WarmingUp => "warming up: the snapshot has not ended everywhere",
        State::Behind => "behind: no code is issued on what is applied now",
        State::Current => "current",
    };
    row("aggregates", state.to_owned());
    let applied = match (sink.applied_age_seconds, &sink.applied_until) {
        (Some(age), Some(until)) => format!("everything up to {age:.1} s ago ({until})"),
        _ => "no heartbeat yet".to_owned(),
    };
    row("applied", applied);
    row(
        "consumer",
        format!(
            "{} records behind in {} partitions",
            sink.lag_records(),
            sink.partitions.len()
        ),
    );
    row(
        "orders",
        format!("{} refused (order_image_refused)", sink.orders_refused),
    );
    row(
        "codes",
        format!(
            "{} issued, {} wait to be dispatched, {} tuples eligible",
            sink.codes, sink.outbox_waiting, sink.eligible
        ),
    );
    if let Some(verified) = &sink.verified {
        let minutes = verified.age_seconds / 60.0;
        row(
            "verified",
            format!(
                "{} rows, {} differences, {minutes:.0} minutes ago",
                verified.rows, verified.differences
            ),
        );
    }
}

fn doing(stage: &StageJson) -> String {
    let oldest = stage.oldest_seconds.map_or_else(String::new, |age| {
        format!(", its oldest item waits for {age:.1} s")
    });
    let reason = stage.reason.as_ref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
    format!("{}{oldest}{reason}", stage.condition)
}

fn unknown() -> String {
    "none yet".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_says_what_is_left_where_it_can() {
        let mut snapshot = SnapshotLag {
            tables: 3,
            tables_finished: 1,
            rows: 50,
            rows_estimate: 200,
        };
        assert_eq!(
            progress(&snapshot),
            "50 of about 200 rows, 1 of 3 tables whole"
        );
        snapshot.rows_estimate = 0;
        assert_eq!(progress(&snapshot), "50 rows, 1 of 3 tables whole");
    }
}
