//! The resolved settings: what the rest of the program sees. Every value here is already checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::mapping::Mapping;
use crate::connection::Connection;
use crate::event::selection::Selection;
use crate::event::{Encoding, Extras, Handling, Operations, Shape};
use crate::postgres::Patterns;
use crate::step::StepSettings;

/// Everything one process needs; a role takes only its parts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The database that changes are captured from. `None` when the file has no `[source]`.
    pub source: Option<Source>,
    /// The brokers. `None` when the file has no `[kafka]`.
    pub kafka: Option<Kafka>,
    /// How events look.
    pub format: Format,
    /// Where Avro's schemas are registered.
    pub registry: Option<Registry>,
    /// Where the source's rows are kept. `None`: they are not.
    pub row_store: Option<RowStore>,
    /// Which columns are captured, what becomes of their values, and where changes go.
    pub selection: Arc<Selection>,
    /// The database that the retail half writes to. `None` when the file has no `[sink]`.
    pub sink: Option<Sink>,
    /// Metrics, health and, later, the console.
    pub http: Http,
    /// The live page.
    pub console: Console,
    /// Continuous verification.
    pub verify: Verify,
    /// The gateway for applications.
    pub gateway: Gateway,
    /// The retail half.
    pub retail: Retail,
    /// Who is told of codes over HTTP. `None`: nobody.
    pub webhook: Option<Webhook>,
    /// The simulated shop.
    pub simulate: Simulate,
    /// `[debug]`: crash tests only.
    pub steps: StepSettings,
}

/// `[source]`
#[derive(Clone, Debug)]
pub struct Source {
    /// Where the server is and who we are there.
    pub connection: Connection,
    /// The primary of a source that is a standby.
    pub primary: Option<Connection>,
    /// Replication slot, created when missing.
    pub slot: String,
    /// Whether standbys keep a copy of the slot.
    pub slot_failover: bool,
    /// Publication, created when missing and rights allow.
    pub publication: String,
    /// Patterns `schema.table` with `*`; a leading `!` excludes.
    pub tables: Vec<String>,
    /// What is read before streaming.
    pub snapshot: SnapshotMode,
    /// Parallel connections of the snapshot; also the number of snapshot transactional ids.
    pub snapshot_workers: u16,
    /// Most rows that all of them read in a second; `None`: as many as they can.
    pub snapshot_rows_per_second: Option<u64>,
    /// What becomes of the rows of a table that joins the publication later.
    pub added_tables: AddedTables,
    /// Whether a managed publication lists the captured columns.
    pub column_lists: bool,
    /// How often the publication is looked at for tables that joined or left.
    pub publication_interval: Duration,
    /// Server memory for decoding before it spills to disk, bytes (`logical_decoding_work_mem`).
    pub decoding_memory_bytes: u64,
    /// How often a heartbeat is written through `pg_logical_emit_message`; zero switches it off.
    pub heartbeat_interval: Duration,
    /// How long a start tries to reach source and brokers before it gives up; once it has streamed,
    /// it tries for ever.
    pub start_timeout: Duration,
    /// What happens with a change that is larger than a record may be.
    pub on_too_large: OnTooLarge,
}

/// What becomes of the rows of a table that joins the publication when the stream has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedTables {
    /// They are read beside the stream.
    Read,
    /// The table's changes are published, and nothing else of it.
    Stream,
}

/// What happens with a change that is larger than a record may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTooLarge {
    /// Replication ends with a definite error.
    Stop,
    /// The change is left out, and told of in a topic of its own.
    PassOver,
}

impl Source {
    /// Whether heartbeats go to the source itself, whatever it is.
    pub fn writes_itself(&self) -> bool {
        self.primary.is_none() && !self.heartbeat_interval.is_zero()
    }
}

/// What is read before streaming.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotMode {
    /// Once, when neither slot nor position exist.
    Initial,
    /// Never: streaming starts where the slot stands.
    Never,
    /// As `Initial`, and again when the slot was lost.
    WhenNeeded,
    /// The snapshot alone, then exit.
    Only,
}

/// `[kafka]`
#[derive(Clone, Debug)]
pub struct Kafka {
    /// Comma-separated `host:port` list.
    pub brokers: String,
    /// First part of every topic's name.
    pub prefix: String,
    /// Partitions of the topics that tidewater creates.
    pub partitions: i32,
    /// Replicas of the topics that tidewater creates; `None` for the broker's default.
    pub replication_factor: Option<i32>,
    /// What a reader may count on.
    pub delivery: Delivery,
    /// Largest record, bytes (`message.max.bytes`, and checked against each topic).
    pub message_bytes_max: usize,
    /// How long an open transaction may last before the broker aborts it.
    pub transaction_timeout: Duration,
    /// librdkafka settings of every client.
    pub client: BTreeMap<String, String>,
    /// librdkafka settings of producers alone.
    pub producer: BTreeMap<String, String>,
    /// librdkafka settings of consumers alone.
    pub consumer: BTreeMap<String, String>,
}

/// What a reader of the topics may count on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Under read_committed every change is there once.
    ExactlyOnce,
    /// Changes may repeat after a crash.
    AtLeastOnce,
}

/// `[format.registry]`
#[derive(Clone, Debug)]
pub struct Registry {
    /// Where it is, with the path of its Confluent interface.
    pub url: String,
    /// Who we are there.
    pub credentials: Option<Credentials>,
    /// Whether schemas that are not there are registered.
    pub auto_register: bool,
    /// File of the certificates to trust; the system's without it.
    pub certificates: Option<PathBuf>,
}

/// Who we are at the registry.
#[derive(Clone)]
pub enum Credentials {
    /// By name and password.
    Basic {
        /// Name.
        user: String,
        /// Password.
        password: String,
    },
    /// By a bearer's token.
    Token(String),
}

/// Without the secrets.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Credentials::Basic { .. } => "Basic(…)",
            Credentials::Token(_) => "Token(…)",
        })
    }
}

/// `[row_store]`
#[derive(Clone, Debug)]
pub struct RowStore {
    /// Directory of its file.
    pub path: PathBuf,
    /// Bound of the file, bytes on disk.
    pub bytes_max: u64,
    /// Memory for pages of the file, bytes.
    pub cache_bytes: usize,
    /// Whose rows are kept.
    pub tables: Patterns,
    /// What becomes of a change whose old row is not known.
    pub missing: MissingRows,
}

/// What becomes of a change whose old row the store does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingRows {
    /// It ends the stream.
    Refuse,
    /// The event shows what the server sends, as without a store.
    AsSent,
}

/// `[format]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// How column values look.
    pub values: Values,
    /// How Debezium's values look that can look in several ways.
    pub handling: Handling,
    /// What a TRUNCATE becomes.
    pub truncate: Truncate,
    /// Whether a tombstone follows a delete.
    pub tombstones: bool,
    /// What a value is.
    pub shape: Shape,
    /// What each record's headers say.
    pub headers: Extras,
    /// What records are written in.
    pub encoding: Encoding,
    /// Changes that are left out.
    pub skip: Operations,
    /// Whether an update that changes nothing of what events show is left out.
    pub skip_unchanged: bool,
    /// Whether transactions are told of.
    pub transactions: bool,
}

impl Format {
    /// The first key that keeps `aggregate` and `verify` from reading the topics.
    pub fn unfoldable(&self) -> Option<Unfoldable> {
        let found = |key, found, needed| Unfoldable { key, found, needed };
        match self.encoding {
            Encoding::Json => {}
            Encoding::JsonSchema => return Some(found("format.encoding", "json-schema", "json")),
            Encoding::Avro => return Some(found("format.encoding", "avro", "json")),
        }
        if self.shape != Shape::Envelope {
            return Some(found("format.shape", "flat", "envelope"));
        }
        if self.values != Values::Lossless {
            return Some(found("format.values", "debezium", "lossless"));
        }
        None
    }
}

/// A key of `[format]` whose value `aggregate` and `verify` cannot read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key} is \"{found}\", but aggregate and verify read topics written with format.encoding = \"json\", \
     format.values = \"lossless\" and format.shape = \"envelope\": set {key} = \"{needed}\""
)]
pub struct Unfoldable {
    /// The key.
    pub key: &'static str,
    /// What it is.
    pub found: &'static str,
    /// What it has to be.
    pub needed: &'static str,
}

/// How column values look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// No precision lost.
    Lossless,
    /// As Debezium's PostgreSQL connector gives them.
    Debezium,
}

/// What a TRUNCATE becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truncate {
    /// One marker in every partition, each for that partition's own keys.
    EachPartition,
    /// One record, as Debezium writes it.
    Once,
    /// Nothing.
    Skip,
}

/// `[sink]`
#[derive(Clone, Debug)]
pub struct Sink {
    /// Where the server is and who we are there.
    pub connection: Connection,
}

/// `[http]`
#[derive(Clone, Debug)]
pub struct Http {
    /// Where metrics and health are served.
    pub listen: SocketAddr,
}

/// What a server of ours shows to its clients: files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub private_key: PathBuf,
}

/// `[console]`
#[derive(Clone, Debug)]
pub struct Console {
    /// Whether `tidewater run` has a console.
    pub enabled: bool,
    /// Where the page is served.
    pub listen: SocketAddr,
    /// For TLS; plain text without it.
    pub identity: Option<Identity>,
    /// Most open connections.
    pub connections_max: usize,
    /// Where the processes whose stages are shown tell them.
    pub roles: Vec<SocketAddr>,
}

/// `[verify]`
#[derive(Clone, Copy, Debug)]
pub struct Verify {
    /// Whether `tidewater run` verifies continuously.
    pub enabled: bool,
    /// Chunks that are verified in a minute.
    pub chunks_per_minute: u32,
    /// Rows of a chunk.
    pub chunk_rows: i64,
}

/// `[gateway]`
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Whether `tidewater run` has a gateway.
    pub enabled: bool,
    /// Where applications are served.
    pub listen: SocketAddr,
    /// For TLS; plain text without it.
    pub identity: Option<Identity>,
    /// Events that one key may send in a second.
    pub events_per_second: NonZeroU32,
    /// Events that one key may send at once.
    pub events_burst: NonZeroU32,
    /// Reads that one key may make in a second, and at once.
    pub reads_per_second: NonZeroU32,
    /// Most events of one request.
    pub batch_events_max: usize,
    /// Longest body, bytes.
    pub body_bytes_max: usize,
    /// Longest head, bytes.
    pub header_bytes_max: usize,
    /// How long a head may take, and a connection be idle.
    pub header_timeout: Duration,
    /// How long a body may take, and a read in the sink.
    pub request_timeout: Duration,
    /// How long Kafka may take to acknowledge an event.
    pub acknowledge_timeout: Duration,
    /// How long requests under way may take once the process is to end.
    pub drain_timeout: Duration,
    /// Most open connections.
    pub connections_max: usize,
    /// Most events that wait for Kafka.
    pub events_in_flight_max: usize,
    /// Most bytes of bodies that are read or wait for Kafka.
    pub bytes_in_flight_max: usize,
    /// How many of the newest event ids are known.
    pub remembered_events: usize,
    /// Connections to the sink for reads.
    pub read_connections: usize,
}

/// `[retail]`
#[derive(Clone, Debug)]
pub struct Retail {
    /// Consumer group; instances with the same one share the partitions.
    pub group: String,
    /// The shop's tables, and what their statuses mean.
    pub mapping: Arc<Mapping>,
    /// Deleted orders are retracted (`true`), or kept in the aggregates.
    pub retract_deleted_orders: bool,
    /// Codes a customer may get in 24 hours over all rules.
    pub customer_limit: i32,
    /// No code is issued on state older than this.
    pub issue_max_lag: Duration,
    /// Time zone that days begin in, by its IANA name.
    pub day_zone: String,
    /// Who issues which customers' codes.
    pub arms: Arms,
    /// Key of the HMAC that codes are made with.
    pub code_secret: String,
    /// Most records of one sink transaction.
    pub batch_records_max: usize,
    /// How long the first record of a batch waits for more.
    pub batch_linger: Duration,
}

/// `[retail.arms]`: percent of the customers, 100 in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arms {
    /// Whose codes the stream issues.
    pub stream: i32,
    /// Whose codes the nightly batch issues.
    pub batch: i32,
    /// Who gets none.
    pub holdout: i32,
}

impl Default for Arms {
    fn default() -> Self {
        Arms {
            stream: 100,
            batch: 0,
            holdout: 0,
        }
    }
}

/// `[webhook]`
#[derive(Clone)]
pub struct Webhook {
    /// Where codes are posted to.
    pub url: String,
    /// Key of the HMAC that requests are signed with.
    pub secret: String,
    /// How long the receiver may take for one.
    pub timeout: Duration,
    /// A code is parked after so many attempts.
    pub attempts_max: u32,
    /// Whether the receiver may be on this host or in a private network.
    pub allow_private: bool,
    /// File of the certificates to trust; the system's without it.
    pub certificates: Option<PathBuf>,
}

/// Without the secret, and without what a URL may hold of one.
impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Webhook(…)")
    }
}

/// `[simulate]`
#[derive(Clone)]
pub struct Simulate {
    /// The gateway that shoppers' events are posted to.
    pub gateway_url: String,
    /// The key that they are posted with.
    pub gateway_key: Option<String>,
}

/// Without the key.
impl std::fmt::Debug for Simulate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulate")
            .field("gateway_url", &self.gateway_url)
            .finish_non_exhaustive()
    }
}
