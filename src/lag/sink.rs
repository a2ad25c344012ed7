//! The consumer's half: offsets against the topics' ends, freshness, what waits.

use serde::Serialize;
use tokio_postgres::Client;

use super::Error;
use crate::config::settings::{Kafka, Retail};
use crate::kafka::{self, Isolation, Reader};

/// How long a broker may take to tell a partition's end.
const ANSWER_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Whether codes are issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The end of the snapshot has not passed in every partition.
    WarmingUp,
    /// What is applied is older than codes may rest on.
    Behind,
    /// Neither.
    Current,
}

/// One partition of the consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionLag {
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub partition: i32,
    /// Everything below is applied.
    pub next_offset: i64,
    /// Where it ends; none when Kafka was not asked.
    pub end_offset: Option<i64>,
}

/// The sink as of now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SinkLag {
    /// Whether codes are issued.
    pub state: State,
    /// Source time up to which everything is applied.
    pub applied_until: Option<String>,
    /// Its age, seconds.
    pub applied_age_seconds: Option<f64>,
    /// Every partition.
    pub partitions: Vec<PartitionLag>,
    /// Orders that enter no aggregate, for a value that is null, infinite or not finite.
    pub orders_refused: i64,
    /// Codes that wait to be dispatched.
    pub outbox_waiting: i64,
    /// Eligible tuples.
    pub eligible: i64,
    /// Codes in the ledger.
    pub codes: i64,
    /// The last pass of the continuous verification; none before the first has ended.
    pub verified: Option<VerifiedLag>,
}

/// A pass of the continuous verification that has ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifiedLag {
    /// How long ago it ended, seconds.
    pub age_seconds: f64,
    /// Rows that it compared.
    pub rows: i64,
    /// Rows that differed.
    pub differences: i64,
}

impl SinkLag {
    /// Records that are not applied yet, over the partitions whose end is known.
    pub fn lag_records(&self) -> i64 {
        let lag = |p: &PartitionLag| p.end_offset.map_or(0, |end| (end - p.next_offset).max(0));
        self.partitions.iter().map(lag).sum()
    }

    /// Asks Kafka where the partitions end; blocks.
    pub fn ask_ends(&mut self, kafka: &Kafka) -> Result<(), kafka::Error> {
        let reader = Reader::open(kafka, Isolation::Committed)?;
        for partition in &mut self.partitions {
            let (topic, number) = (&partition.topic, partition.partition);
            let (_, end) = reader.watermarks(topic, number, ANSWER_TIMEOUT)?;
            partition.end_offset = Some(end);
        }
        Ok(())
    }
}

/// Asks the sink.
pub async fn sink(client: &Client, retail: &Retail) -> Result<SinkLag, Error> {
    const COUNTS: &str = "
        select applied_until()::text,
               extract(epoch from clock_timestamp() - applied_until())::float8,
               (select coalesce(bool_and(snapshot_ended), false) from consumer_offset),
               (select count(*) from order_image where present and counted_at is null),
               (select count(*) from promotion_outbox),
               (select count(*) from promotion_eligibility),
               (select count(*) from promotion)";
    const VERIFIED: &str = "
        select extract(epoch from clock_timestamp() - finished_at)::float8, rows_compared, differences
        from verification where finished_at is not null order by pass desc limit 1";
    const OFFSETS: &str = "
        select topic, partition, next_offset from consumer_offset order by topic, partition";
    let row = client.query_one(COUNTS, &[]).await.map_err(Error::Sink)?;
    let offsets = client.query(OFFSETS, &[]).await.map_err(Error::Sink)?;
    let verified = client.query_opt(VERIFIED, &[]).await.map_err(Error::Sink)?;
    let applied_age_seconds: Option<f64> = row.get(1);
    let limit = retail.issue_max_lag.as_secs_f64();
    let state = if !row.get::<_, bool>(2) {
        State::WarmingUp
    } else if applied_age_seconds.is_none_or(|age| age > limit) {
        State::Behind
    } else {
        State::Current
    };
    let partition = |row: &tokio_postgres::Row| PartitionLag {
        topic: row.get(0),
        partition: row.get(1),
        next_offset: row.get(2),
        end_offset: None,
    };
    Ok(SinkLag {
        state,
        applied_until: row.get(0),
        applied_age_seconds,
        partitions: offsets.iter().map(partition).collect(),
        orders_refused: row.get(3),
        outbox_waiting: row.get(4),
        eligible: row.get(5),
        codes: row.get(6),
        verified: verified.map(|row| VerifiedLag {
            age_seconds: row.get(0),
            rows: row.get(1),
            differences: row.get(2),
        }),
    })
}
