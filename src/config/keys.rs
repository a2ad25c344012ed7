//! Every key of the configuration, with its default and its bound: what `--help`, the README and the
//! resolver go by.

mod console;
mod gateway;
mod retail;
mod simulate;
mod verify;
mod webhook;

/// One key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Dotted path; a last part `*` stands for any name.
    pub path: &'static str,
    /// Default as the file would write it; empty for none.
    pub default: &'static str,
    /// What it may be.
    pub bound: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// The value must not be shown.
    pub secret: bool,
}

const fn key(
    path: &'static str,
    default: &'static str,
    bound: &'static str,
    meaning: &'static str,
) -> Key {
    Key {
        path,
        default,
        bound,
        meaning,
        secret: false,
    }
}

/// Every key.
pub const KEYS: &[Key] = &joined::<{ SHOP.len() + SECTIONS.len() }>(SECTIONS, SHOP);

/// The sections of the shop, which have a file of their own.
const SHOP: &[Key] = &joined::<{ retail::KEYS.len() + SERVED.len() }>(retail::KEYS, SERVED);
const SERVED: &[Key] = &joined::<{ MET.len() + webhook::KEYS.len() }>(MET, webhook::KEYS);
const MET: &[Key] = &joined::<{ SERVERS.len() + simulate::KEYS.len() }>(SERVERS, simulate::KEYS);
const SERVERS: &[Key] =
    &joined::<{ gateway::KEYS.len() + WATCHERS.len() }>(gateway::KEYS, WATCHERS);
const WATCHERS: &[Key] =
    &joined::<{ console::KEYS.len() + verify::KEYS.len() }>(console::KEYS, verify::KEYS);

/// Two lists as one.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn joined<const N: usize>(first: &[Key], second: &[Key]) -> [Key; N] {
    let mut all = [key("", "", "", ""); N];
    let mut index = 0;
    while index < N {
        all[index] = if index < first.len() {
            first[index]
        } else {
            second[index - first.len()]
        };
        index += 1;
    }
    all
}

const SECTIONS: &[Key] = &[
    Key {
        secret: true,
        ..key(
            "source.url",
            "",
            "a postgres:// URL",
            "the database that changes are captured from",
        )
    },
    Key {
        secret: true,
        ..key(
            "source.primary_url",
            "",
            "a postgres:// URL",
            "the primary of a source that is a standby: heartbeats are written there",
        )
    },
    key(
        "source.slot",
        "tidewater",
        "1 to 63 of a-z, 0-9, _",
        "replication slot, created when missing",
    ),
    key(
        "source.slot_failover",
        "false",
        "true, false",
        "whether standbys keep a copy of the slot, with which they go on after a promotion",
    ),
    key(
        "source.publication",
        "tidewater",
        "1 to 63 characters",
        "publication, created when missing and rights allow, and then managed",
    ),
    key(
        "source.tables",
        "[\"public.*\"]",
        "patterns schema.table",
        "what is published; a leading ! excludes",
    ),
    key(
        "source.columns",
        "[\"*.*.*\"]",
        "patterns schema.table.column",
        "columns that are captured; a leading ! excludes",
    ),
    key(
        "source.messages",
        "",
        "patterns of prefixes",
        "messages of pg_logical_emit_message that are published; a leading ! excludes",
    ),
    key(
        "source.snapshot",
        "initial",
        "initial, never, when-needed, only",
        "what is read before streaming",
    ),
    key(
        "source.snapshot_workers",
        "2",
        "1 to 32",
        "parallel connections of a snapshot",
    ),
    key(
        "source.snapshot_rows_per_second",
        "0",
        "0 to 1000000000",
        "most rows that a snapshot reads in a second; 0: as many as it can",
    ),
    key(
        "source.added_tables",
        "read",
        "read, stream",
        "what becomes of the rows of a table that joins the publication later; never read with snapshot = never",
    ),
    key(
        "source.column_lists",
        "false",
        "true, false",
        "whether a publication that tidewater manages lists the captured columns, from PostgreSQL 15 on",
    ),
    key(
        "source.publication_interval",
        "10s",
        "100ms to 1h",
        "how often the publication is looked at for tables that joined or left",
    ),
    key(
        "source.decoding_memory_bytes",
        "268435456",
        "65536 to 2147482624",
        "server memory before a transaction spills to its disk",
    ),
    key(
        "source.heartbeat_interval",
        "1s",
        "0s to 5m",
        "how often a heartbeat is written; 0s switches it off",
    ),
    key(
        "source.on_incompatible_change",
        "continue",
        "continue, stop",
        "what happens when a table loses a column, or its type or key changes",
    ),
    key(
        "source.on_too_large",
        "stop",
        "stop, pass-over",
        "what happens with a change that is too large: it ends replication, or topic passed-over tells of it",
    ),
    key(
        "source.start_timeout",
        "30s",
        "0s to 1h",
        "how long a first start tries to reach source and brokers",
    ),
    key("kafka.brokers", "", "host:port, …", "brokers to begin with"),
    key(
        "kafka.prefix",
        "retail",
        "1 to 100 of letters, digits, . _ -",
        "first part of every topic's name",
    ),
    key(
        "kafka.partitions",
        "6",
        "1 to 10000",
        "partitions of the topics that tidewater creates",
    ),
    key(
        "kafka.replication_factor",
        "",
        "1 to 100",
        "replicas of those topics; the broker's default when not set",
    ),
    key(
        "kafka.delivery",
        "exactly-once",
        "exactly-once, at-least-once",
        "what a reader may count on",
    ),
    key(
        "kafka.message_bytes_max",
        "1000000",
        "1000 to 1000000000",
        "largest record",
    ),
    key(
        "kafka.transaction_timeout",
        "30s",
        "1s to 15m",
        "how long an open transaction may last",
    ),
    Key {
        secret: true,
        ..key(
            "kafka.client.*",
            "",
            "librdkafka's",
            "settings of every Kafka client",
        )
    },
    Key {
        secret: true,
        ..key(
            "kafka.producer.*",
            "",
            "librdkafka's",
            "settings of producers",
        )
    },
    Key {
        secret: true,
        ..key(
            "kafka.consumer.*",
            "",
            "librdkafka's",
            "settings of consumers",
        )
    },
    key(
        "format.values",
        "lossless",
        "lossless, debezium",
        "how column values look",
    ),
    key(
        "format.decimal",
        "precise",
        "precise, double, string",
        "how Debezium's values have numeric and money",
    ),
    key(
        "format.time",
        "adaptive",
        "adaptive, adaptive-microseconds, connect, microseconds, nanoseconds, isostring",
        "how Debezium's values have date, time and timestamp",
    ),
    key(
        "format.interval",
        "numeric",
        "numeric, string",
        "how Debezium's values have interval",
    ),
    key(
        "format.binary",
        "bytes",
        "bytes, base64, base64-url-safe, hex",
        "how Debezium's values have bytea",
    ),
    key(
        "format.hstore",
        "json",
        "json, map",
        "how Debezium's values have hstore",
    ),
    key(
        "format.unavailable_value",
        "__debezium_unavailable_value",
        "1 to 64 bytes",
        "what Debezium's values have for a TOAST value that the server did not send",
    ),
    key(
        "format.name_adjustment",
        "none",
        "none, avro, avro_unicode",
        "what Debezium's values do to column names that Avro does not have",
    ),
    key(
        "format.include_unknown_types",
        "false",
        "true, false",
        "whether Debezium's values have types without a form, as the bytes of their text",
    ),
    key(
        "format.truncate",
        "each-partition",
        "each-partition, once, skip",
        "what a TRUNCATE becomes; skip with flat rows",
    ),
    key(
        "format.encoding",
        "json",
        "json, json-schema, avro",
        "what records are written in",
    ),
    // Whoever puts a password there will not see it again.
    Key {
        secret: true,
        ..key(
            "format.registry.url",
            "",
            "http:// or https:// with a host",
            "schema registry for Avro: its Confluent interface",
        )
    },
    key(
        "format.registry.user",
        "",
        "1 to 1000 characters",
        "name at the registry",
    ),
    Key {
        secret: true,
        ..key(
            "format.registry.password",
            "",
            "1 to 1000 characters",
            "password of that name",
        )
    },
    Key {
        secret: true,
        ..key(
            "format.registry.token",
            "",
            "1 to 10000 characters",
            "bearer token, instead of a name",
        )
    },
    key(
        "format.registry.auto_register",
        "true",
        "true, false",
        "whether schemas that are not there are registered",
    ),
    key(
        "format.registry.certificates",
        "",
        "a path",
        "file of the certificates to trust; the system's when not set",
    ),
    key(
        "format.tombstones",
        "true",
        "true, false",
        "whether a tombstone follows a delete",
    ),
    key(
        "format.shape",
        "envelope",
        "envelope, flat",
        "what a value is: an event, or the row alone",
    ),
    key(
        "format.deletes",
        "tombstone",
        "tombstone, rewrite, skip",
        "what a delete becomes with flat rows; rewrite marks all rows with __deleted",
    ),
    key(
        "format.unchanged",
        "refuse",
        "refuse, placeholder",
        "what stands in a flat row for a TOAST value that the server did not send",
    ),
    key(
        "format.fields",
        "",
        "a list of op, ts_ms, ts_us, source.ts_ms, source.ts_us, position, lsn, txId, db, schema, table",
        "fields behind a flat row's columns, each with __ before its name",
    ),
    key(
        "format.headers",
        "",
        "a list of op, ts_ms, ts_us, source.ts_ms, source.ts_us, position, lsn, txId, db, schema, table",
        "headers of each record, each with __ before its name; they slow publishing down",
    ),
    key(
        "format.skip",
        "",
        "a list of c, u, d, t",
        "changes that are left out: inserts, updates, deletes, truncates",
    ),
    key(
        "format.skip_unchanged",
        "false",
        "true, false",
        "whether an update is left out whose row is known from before and shows no change",
    ),
    key(
        "format.transactions",
        "false",
        "true, false",
        "whether events carry their place in their transaction, and a topic its begin and end",
    ),
    Key {
        secret: true,
        ..key(
            "format.hash_salt",
            "",
            "1 to 1000 characters",
            "salt of hashed columns",
        )
    },
    key(
        "transform[].columns",
        "",
        "patterns schema.table.column",
        "columns whose values become others",
    ),
    key(
        "transform[].action",
        "",
        "mask, hash, truncate",
        "what becomes of them",
    ),
    key(
        "transform[].value",
        "",
        "any text",
        "what masked values show, *** when not set",
    ),
    key(
        "transform[].length",
        "",
        "1 to 1000000, 1000 for a mask",
        "characters kept of a truncated value; stars of a masked one",
    ),
    key(
        "policy[].tables",
        "",
        "patterns schema.table",
        "tables for which that is otherwise",
    ),
    key(
        "policy[].on_incompatible_change",
        "",
        "continue, stop",
        "what happens with them",
    ),
    key(
        "route[].tables",
        "",
        "patterns schema.table",
        "tables that are published in another way",
    ),
    key(
        "route[].topic",
        "",
        "up to 249 of letters, digits, . _ - and {prefix}, {schema}, {table}",
        "their topic",
    ),
    key(
        "route[].partitions",
        "",
        "1 to 10000",
        "its partitions when tidewater creates it",
    ),
    key(
        "route[].key",
        "",
        "a list of columns",
        "their record key, instead of the primary key",
    ),
    key(
        "route[].table_in_key",
        "true",
        "true, false",
        "whether keys in a topic of several tables name the table",
    ),
    key(
        "outbox.tables",
        "",
        "patterns schema.table",
        "tables whose rows are events of an application, each routed to the topic that it names",
    ),
    key(
        "outbox.topic",
        "outbox.event.{routed}",
        "up to 249 of letters, digits, . _ - and {routed}, {prefix}, {schema}, {table}",
        "the topic of a row; {routed} is its column of outbox.route_by",
    ),
    key(
        "outbox.partitions",
        "",
        "1 to 10000",
        "partitions of such a topic when tidewater creates it",
    ),
    key(
        "outbox.topics_max",
        "1000",
        "1 to 100000",
        "most such topics",
    ),
    key("outbox.id", "id", "a column", "column of the header id"),
    key(
        "outbox.key",
        "aggregateid",
        "a column",
        "column of the record key",
    ),
    key(
        "outbox.route_by",
        "aggregatetype",
        "a column",
        "column that the topic is named by",
    ),
    key(
        "outbox.payload",
        "payload",
        "a column",
        "column of the record's value; bytea is the value as it is",
    ),
    key(
        "outbox.timestamp",
        "",
        "a column of timestamp or timestamptz",
        "column of the record's time; that of its publication when not set",
    ),
    key(
        "outbox.partition",
        "",
        "a column of integers",
        "column of the record's partition; that of its key when not set",
    ),
    key(
        "outbox.headers",
        "",
        "a list of columns, each with :name where it is called otherwise",
        "columns that become headers",
    ),
    key(
        "outbox.fields",
        "",
        "a list of columns, each with :name where it is called otherwise",
        "columns that stand beside the payload in the value, which is then an object",
    ),
    key(
        "outbox.expand_json",
        "false",
        "true, false",
        "whether a payload that is a JSON object or array is that in the value, instead of a string",
    ),
    key(
        "outbox.tombstones",
        "false",
        "true, false",
        "whether a payload that is null or blank becomes a record without a value",
    ),
    key(
        "outbox.on_update",
        "warn",
        "warn, error, stop",
        "what an update of such a row does, which is no event: a warning or an error in the log, or the stream's end",
    ),
    key(
        "row_store.path",
        "",
        "a directory",
        "where the source's rows are kept, so that events show whole old rows; off when not set",
    ),
    key(
        "row_store.bytes_max",
        "10737418240",
        "67108864 to 1152921504606846976",
        "most bytes of its file on disk",
    ),
    key(
        "row_store.cache_bytes",
        "33554432",
        "1048576 to 1099511627776",
        "memory for pages of that file",
    ),
    key(
        "row_store.tables",
        "[\"*.*\"]",
        "patterns schema.table",
        "whose rows are kept, of the tables with a key and another replica identity than full",
    ),
    key(
        "row_store.missing",
        "refuse",
        "refuse, as-sent",
        "what becomes of a change whose old row is not there: it ends the stream, or shows what the server sent",
    ),
    Key {
        secret: true,
        ..key(
            "sink.url",
            "",
            "a postgres:// URL",
            "the database that the aggregates are in",
        )
    },
    key(
        "http.listen",
        "127.0.0.1:8080",
        "address:port",
        "metrics and health",
    ),
    key(
        "debug.step_file",
        "",
        "a path",
        "file that crash tests read the current step from",
    ),
    key(
        "debug.crash_at",
        "",
        "step or step:arrival",
        "step at which crash tests abort the process",
    ),
];
