//! One run for all tests here: tables and rows, both systems, changes, and what they have written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewater::connection::{Database, connect};
use tidewater::event::Lsn;
use tokio::sync::OnceCell;

use super::events::Event;
use crate::model::read_topics;
use crate::support::{self, Connector, Debezium, Tidewater, kafka_brokers, until};

const TABLES: &str = include_str!("tables.sql");
/// `$ID` is before the first key of each table.
const ROWS: &str = include_str!("rows.sql");
const CHANGES: &str = include_str!("changes.sql");

/// How both are configured: Debezium's settings, and tidewater's.
pub(super) struct Mode {
    pub(super) name: &'static str,
    publication: &'static str,
    tables: &'static str,
    theirs: &'static [(&'static str, &'static str)],
    ours: &'static str,
}

/// What Debezium needs for schemas beside its keys and values.
pub(super) const WITH_SCHEMAS: [(&str, &str); 4] = [
    ("key.converter", JSON_CONVERTER),
    ("key.converter.schemas.enable", "true"),
    ("value.converter", JSON_CONVERTER),
    ("value.converter.schemas.enable", "true"),
];
/// And beside its headers.
const HEADERS_WITH_SCHEMAS: [(&str, &str); 2] = [
    ("header.converter", JSON_CONVERTER),
    ("header.converter.schemas.enable", "true"),
];
pub(super) const JSON_CONVERTER: &str = "org.apache.kafka.connect.json.JsonConverter";
/// Without a list Debezium would read a partitioned table's rows twice.
const NO_ROOT: (&str, &str) = ("table.exclude.list", "public.parted");

/// What some modes of Debezium cannot read.
const DAY: (&str, &str) = (
    "table.exclude.list",
    "public.parted,public.midnight,public.zero_stamps",
);
pub(super) const MODES: &[Mode] = &[
    Mode {
        name: "defaults",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[NO_ROOT],
        ours: "",
    },
    Mode {
        name: "json-schema",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[NO_ROOT, ("provide.transaction.metadata", "true")],
        ours: "encoding = \"json-schema\"\ntransactions = true\n",
    },
    Mode {
        name: "numbers",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            NO_ROOT,
            ("decimal.handling.mode", "double"),
            ("time.precision.mode", "microseconds"),
            ("interval.handling.mode", "string"),
            ("binary.handling.mode", "base64"),
            ("hstore.handling.mode", "map"),
            ("unavailable.value.placeholder", "[not sent]"),
        ],
        ours: "encoding = \"json-schema\"\ndecimal = \"double\"\ntime = \"microseconds\"\ninterval = \"string\"\n\
               binary = \"base64\"\nhstore = \"map\"\nunavailable_value = \"[not sent]\"\n",
    },
    Mode {
        name: "strings",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            DAY,
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "nanoseconds"),
            ("binary.handling.mode", "base64-url-safe"),
            ("field.name.adjustment.mode", "avro"),
            ("schema.name.adjustment.mode", "avro"),
            ("include.unknown.datatypes", "true"),
        ],
        ours: "encoding = \"json-schema\"\ndecimal = \"string\"\ntime = \"nanoseconds\"\nbinary = \"base64-url-safe\"\n\
               name_adjustment = \"avro\"\ninclude_unknown_types = true\n",
    },
    Mode {
        name: "connect",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            DAY,
            ("time.precision.mode", "connect"),
            ("binary.handling.mode", "hex"),
            ("field.name.adjustment.mode", "avro_unicode"),
            ("schema.name.adjustment.mode", "avro_unicode"),
            ("include.unknown.datatypes", "true"),
        ],
        ours: "encoding = \"json-schema\"\ntime = \"connect\"\nbinary = \"hex\"\nname_adjustment = \"avro_unicode\"\n\
               include_unknown_types = true\n",
    },
    Mode {
        name: "iso",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            NO_ROOT,
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "isostring"),
            ("interval.handling.mode", "string"),
            ("include.unknown.datatypes", "true"),
        ],
        ours: "encoding = \"json-schema\"\ndecimal = \"string\"\ntime = \"isostring\"\ninterval = \"string\"\n\
               include_unknown_types = true\n",
    },
    Mode {
        name: "clocks",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            NO_ROOT,
            ("time.precision.mode", "adaptive_time_microseconds"),
        ],
        ours: "encoding = \"json-schema\"\ntime = \"adaptive-microseconds\"\n",
    },
    Mode {
        name: "transactions",
        publication: "parity",
        tables: r#""*.*""#,
        theirs: &[
            NO_ROOT,
            ("provide.transaction.metadata", "true"),
            ("skip.messages.without.change", "true"),
        ],
        ours: "transactions = true\nskip_unchanged = true\n",
    },
    Mode {
        name: "root",
        publication: "parity_root",
        tables: r#""*.*""#,
        theirs: &[(
            "table.include.list",
            "public.parted,public.marker,public.zz_last",
        )],
        ours: "",
    },
];

/// Events by `schema.table`, in the order of the one partition.
pub(super) type Topics = BTreeMap<String, Vec<Event>>;

/// What both wrote in one mode.
pub(super) struct Captured {
    pub(super) theirs: Topics,
    pub(super) ours: Topics,
}

/// What both wrote, by mode. The first test to ask runs them.
pub(super) async fn captured() -> &'static BTreeMap<&'static str, Captured> {
    static CAPTURED: OnceCell<BTreeMap<&str, Captured>> = OnceCell::const_new();
    CAPTURED.get_or_init(run).await
}

async fn run() -> BTreeMap<&'static str, Captured> {
    static STARTED: AtomicBool = AtomicBool::new(false);
    let again = STARTED.swap(true, Ordering::Relaxed);
    assert!(
        !again,
        "the run has failed, and another test has its report"
    );
    let source = support::postgres_database("parity").await;
    let database = connect(&source).await.unwrap();
    assert_extensions(&database).await;
    database.batch_execute(TABLES).await.unwrap();
    database.batch_execute(&rows(0)).await.unwrap();

    let prefixes = prefixes("parity", MODES.len());
    let mut debezium = start_debezium(source.database(), &prefixes);
    let mut replicators = start_replicators(source.database(), &prefixes);
    for replicator in &mut replicators {
        until("tidewater's snapshot", async || {
            assert!(replicator.is_running(), "tidewater has ended");
            replicator.log().contains("streaming")
        })
        .await;
    }
    for (theirs, _) in &prefixes {
        // A slot's snapshot is as of its creation: whatever comes now will be streamed.
        until("Debezium's snapshot", async || {
            debezium.assert_running();
            exists(&database, theirs).await && has_events(theirs)
        })
        .await;
    }
    database.batch_execute(&rows(100)).await.unwrap();
    for batch in CHANGES.split("-- next\n") {
        database.batch_execute(batch).await.unwrap();
    }
    end(&database, debezium, replicators, &prefixes).await;
    MODES
        .iter()
        .zip(&prefixes)
        .map(|(mode, (theirs, ours))| {
            let captured = Captured {
                theirs: topics(theirs),
                ours: topics(ours),
            };
            (mode.name, captured)
        })
        .collect()
}

/// Slots and topics of both, for so many runs.
pub(super) fn prefixes(name: &str, runs: usize) -> Vec<(String, String)> {
    let both = |_| {
        let side = |side: &str| support::unique(&format!("{name}_{side}"));
        (side("theirs"), side("ours"))
    };
    (0..runs).map(both).collect()
}

/// Waits until both have written what was changed so far, and ends them. The database has a table `marker`.
pub(super) async fn end(
    database: &Database,
    mut debezium: Debezium,
    mut replicators: Vec<Tidewater>,
    prefixes: &[(String, String)],
) {
    let end = position(database).await;
    // Debezium confirms the transaction before the last one that it has written.
    for id in 1..=3 {
        let marker = format!("insert into marker values ({id})");
        database.batch_execute(&marker).await.unwrap();
    }
    for slot in prefixes.iter().flat_map(|(theirs, ours)| [theirs, ours]) {
        until(slot, async || {
            debezium.assert_running();
            assert!(replicators.iter_mut().all(Tidewater::is_running));
            confirmed(database, slot).await >= end
        })
        .await;
    }
    drop(debezium);
    for replicator in replicators {
        assert_eq!(replicator.terminate().code(), Some(0));
    }
}

/// The system's own server has PostGIS, from `scripts/install`; others may.
async fn assert_extensions(database: &Database) {
    let named = "select count(*) from pg_available_extensions where name = 'postgis'";
    let found: i64 = database.query_one(named, &[]).await.unwrap().get(0);
    let is_system = support::variable("TIDEWATER_TEST_POSTGRES_BIN").starts_with("/usr/lib/");
    assert!(
        found == 1 || !is_system,
        "postgis is missing: run scripts/install tests"
    );
}

fn rows(first: i64) -> String {
    ROWS.replace("$ID", &first.to_string())
}

fn start_debezium(database: &str, prefixes: &[(String, String)]) -> Debezium {
    let settings: Vec<Vec<(&str, &str)>> = MODES
        .iter()
        .map(|mode| {
            let mut settings = vec![("publication.name", mode.publication)];
            settings.extend_from_slice(mode.theirs);
            if mode.ours.contains("json-schema") {
                settings.extend(WITH_SCHEMAS);
                settings.extend(HEADERS_WITH_SCHEMAS);
            }
            settings
        })
        .collect();
    start_connectors(database, prefixes, &settings)
}

/// A connector for each run, with settings of its own.
pub(super) fn start_connectors(
    database: &str,
    prefixes: &[(String, String)],
    settings: &[Vec<(&str, &str)>],
) -> Debezium {
    let connectors: Vec<Connector<'_>> = prefixes
        .iter()
        .zip(settings)
        .map(|((name, _), settings)| Connector {
            name,
            database,
            settings,
        })
        .collect();
    Debezium::start(&connectors)
}

fn start_replicators(database: &str, prefixes: &[(String, String)]) -> Vec<Tidewater> {
    let start = |(mode, (_, prefix)): (&Mode, &(String, String))| {
        let config = format!(
            "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"{}\"\n\
             tables = [{}]\nmessages = [\"*\"]\nheartbeat_interval = \"0s\"\n\
             [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n\
             [format]\nvalues = \"debezium\"\ntruncate = \"once\"\n{}",
            support::database_url(database),
            mode.publication,
            mode.tables,
            kafka_brokers(),
            mode.ours
        );
        Tidewater::start(&["replicate"], &config)
    };
    MODES.iter().zip(prefixes).map(start).collect()
}

async fn exists(database: &Database, slot: &str) -> bool {
    let query = "select from pg_replication_slots where slot_name = $1";
    let slots = database.query(query, &[&slot]).await.unwrap();
    !slots.is_empty()
}

/// Whether the row that was there before has been read.
fn has_events(prefix: &str) -> bool {
    let topic = format!("{prefix}.public.zz_last");
    let topics = read_topics(&kafka_brokers(), &topic);
    topics.contains_key(&topic)
}

async fn position(database: &Database) -> Lsn {
    let now = "select pg_current_wal_lsn()::text";
    let now: String = database.query_one(now, &[]).await.unwrap().get(0);
    now.parse().unwrap()
}

async fn confirmed(database: &Database, slot: &str) -> Lsn {
    let slot = tidewater::postgres::read_slot(database, slot).await;
    let confirmed = slot.unwrap().and_then(|slot| slot.confirmed_flush_lsn);
    confirmed.unwrap_or(Lsn::ZERO)
}

/// Topics beside the tables' that both have.
const NO_TABLES: [&str; 2] = ["message", "transaction"];

/// Every event by the table's name, and those of what is no table. The topic of schemas is not compared.
fn topics(prefix: &str) -> Topics {
    let beginning = format!("{prefix}.");
    // As one of the modes has it in the names of schemas.
    let escaped = prefix.replace('_', "_u005f");
    let topics = read_topics(&kafka_brokers(), &beginning).into_iter();
    topics
        .map(|(topic, records)| (topic.trim_start_matches(&beginning).to_owned(), records))
        .filter(|(topic, _)| topic.contains('.') || NO_TABLES.contains(&topic.as_str()))
        .map(|(table, records)| {
            let events = records
                .into_iter()
                .map(|record| record.renamed(prefix, "prefix").renamed(&escaped, "prefix"))
                .filter_map(Event::of)
                .collect();
            (table, events)
        })
        .collect()
}
