//! How events look, whatever table they are of.

use super::debezium::Handling;
use super::extra::Extras;
use super::shape::Shape;

/// Name and prefix of the source, which every event carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceName {
    /// `source.name`: the prefix of the topics.
    pub prefix: String,
    /// `source.db`.
    pub database: String,
}

/// How events look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How column values and `source` look.
    pub values: ValueFormat,
    /// How Debezium's values look that can look in several ways.
    pub handling: Handling,
    /// What a truncate becomes.
    pub truncate: TruncateFormat,
    /// Whether a tombstone follows a delete.
    pub tombstones: bool,
    /// Whether an update that changes nothing of what events show is left out.
    pub skip_unchanged: bool,
    /// What a value is.
    pub shape: Shape,
    /// What each record's headers say.
    pub headers: Extras,
    /// What records are written in.
    pub encoding: Encoding,
    /// Largest record, key and value together, bytes; a larger one is refused by its table's name
    /// instead of by the broker.
    pub record_bytes_max: usize,
}

/// What the configuration has when it says nothing.
impl Default for Format {
    fn default() -> Self {
        Format {
            values: ValueFormat::Lossless,
            handling: Handling::default(),
            truncate: TruncateFormat::EachPartition,
            tombstones: true,
            skip_unchanged: false,
            shape: Shape::Envelope,
            headers: Extras::default(),
            encoding: Encoding::Json,
            record_bytes_max: 1_000_000,
        }
    }
}

/// How column values and `source` look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueFormat {
    /// No precision lost; `source.position` places the change.
    Lossless,
    /// As Debezium's PostgreSQL connector gives them, to the byte.
    Debezium,
}

/// What records are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// JSON.
    Json,
    /// JSON beside its schema, as Kafka Connect's `JsonConverter` has it.
    JsonSchema,
    /// Avro, its schemas in a registry.
    Avro,
}

/// What a truncate becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateFormat {
    /// One record in every partition, each for that partition's own keys.
    EachPartition,
    /// One record, as Debezium writes it.
    Once,
    /// Nothing.
    Skip,
}
