//! Client settings: ours first, then those of the configuration, which win, except where the protocol
//! of exactly-once depends on one.

use std::time::Duration;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, ClientContext};

use crate::config::settings::Kafka;

/// Records that librdkafka may hold: a batch and its position, with room to spare, so that enqueueing a
/// batch is never refused half way.
const QUEUE_RECORDS_MAX: &str = "200000";
/// The same in KiB; payloads are not copied, so this bounds nothing of librdkafka's own.
const QUEUE_KIB_MAX: &str = "1048576";

fn base(kafka: &Kafka) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &kafka.brokers)
        .set("client.id", "tidewater")
        .set("allow.auto.create.topics", "false")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "2000")
        .set("topic.metadata.refresh.fast.interval.ms", "50")
        .set_log_level(RDKafkaLogLevel::Warning);
    for (name, value) in &kafka.client {
        config.set(name, value);
    }
    config
}

/// Settings of an idempotent producer; a transactional one adds its id.
pub(super) fn producer_config(kafka: &Kafka) -> ClientConfig {
    let mut config = base(kafka);
    config
        .set("compression.type", "lz4")
        .set("linger.ms", "1")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "10000")
        .set("partitioner", "murmur2_random")
        .set("queue.buffering.max.messages", QUEUE_RECORDS_MAX)
        .set("queue.buffering.max.kbytes", QUEUE_KIB_MAX)
        .set("message.max.bytes", message_max(kafka).to_string());
    for (name, value) in &kafka.producer {
        config.set(name, value);
    }
    config
        .set("enable.idempotence", "true")
        .set("delivery.report.only.error", "true");
    config
}

/// Settings of a producer that tells of each record how it fared within this time.
pub(super) fn deliverer_config(
    kafka: &Kafka,
    within: Duration,
    records_max: usize,
) -> ClientConfig {
    let mut config = producer_config(kafka);
    config
        .set("acks", "all")
        .set("delivery.report.only.error", "false")
        .set("delivery.timeout.ms", within.as_millis().to_string())
        .set("queue.buffering.max.messages", records_max.to_string());
    config
}

/// The client counts a record's overhead, the configuration does not.
fn message_max(kafka: &Kafka) -> usize {
    const OVERHEAD: usize = 512;
    kafka.message_bytes_max + OVERHEAD
}

/// Settings of a transactional producer.
pub(super) fn transactional_config(kafka: &Kafka, transactional_id: &str) -> ClientConfig {
    let mut config = producer_config(kafka);
    config.set("transactional.id", transactional_id).set(
        "transaction.timeout.ms",
        kafka.transaction_timeout.as_millis().to_string(),
    );
    config
}

/// Settings of a consumer: nothing is committed to Kafka, offsets live where the effects are.
pub fn consumer_config(kafka: &Kafka) -> ClientConfig {
    let mut config = base(kafka);
    config
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", "16384")
        .set("group.id", "tidewater");
    for (name, value) in &kafka.consumer {
        config.set(name, value);
    }
    config
}

/// Settings of an admin client.
pub(super) fn admin_config(kafka: &Kafka) -> ClientConfig {
    base(kafka)
}

/// What a client says of itself; `severity` is syslog's, 0 to 7. Its errors are ours to handle, so its words are
/// no worse than a warning.
pub(super) fn log(severity: i32, facility: &str, text: &str) {
    match severity {
        0..=3 => tracing::warn!(target: "librdkafka", %facility, "{text}"),
        4 | 5 => tracing::info!(target: "librdkafka", %facility, "{text}"),
        _ => tracing::debug!(target: "librdkafka", %facility, "{text}"),
    }
}

/// A client whose events are for whoever polls it, not for the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka client");
    }
}

impl ConsumerContext for Quiet {}
