//! Faults come all at once, and name the key, the value, the bound and the remedy.

use super::*;
use crate::config::settings::{Delivery, SnapshotMode};
use crate::event::Operations;
use crate::event::selection::Transform;
use std::time::Duration;

const MINIMAL: &str = r#"
    [source]
    url = "postgres://tidewater@localhost/shop"
    [kafka]
    brokers = "127.0.0.1:9092"
"#;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[track_caller]
fn faults(text: &str) -> Vec<String> {
    let faults = parse(text, []).unwrap_err().0;
    faults
        .into_iter()
        .map(|fault| format!("{}: {}; {}", fault.key, fault.problem, fault.remedy))
        .collect()
}

#[test]
fn the_smallest_file_has_every_default() {
    let settings = parse(MINIMAL, []).unwrap();
    let source = settings.source.unwrap();
    assert_eq!(
        (source.slot.as_str(), source.snapshot),
        ("tidewater", SnapshotMode::Initial)
    );
    assert_eq!(source.tables, ["public.*"]);
    assert_eq!(source.heartbeat_interval, Duration::from_secs(1));
    let kafka = settings.kafka.unwrap();
    assert_eq!(
        (kafka.partitions, kafka.delivery),
        (6, Delivery::ExactlyOnce)
    );
    assert!(settings.sink.is_none());
}

#[test]
fn every_default_is_within_its_own_bound() {
    let sections = format!("{MINIMAL}\n[sink]\nurl = \"postgres://tidewater@localhost/sink\"");
    assert!(parse(&sections, []).is_ok());
}

#[test]
fn all_faults_are_reported_together() {
    let text = r#"
        [source]
        url = "postgres://tidewater@localhost/shop"
        slot = "My-Slot"
        tabels = ["public.*"]
        [kafka]
        brokers = "nowhere"
        partitions = 0
        [format]
        truncate = "twice"
    "#;
    assert_eq!(
        faults(text),
        [
            "source.tabels: there is no such key; did you mean source.tables?",
            "source.slot: \"My-Slot\" is out of bounds; it may be 1 to 63 of a-z, 0-9, _",
            "kafka.brokers: \"nowhere\" is out of bounds; it may be host:port, …",
            "kafka.partitions: \"0\" is out of bounds; it may be 1 to 10000",
            "format.truncate: \"twice\" is out of bounds; it may be each-partition, once, skip",
        ]
    );
}

#[test]
fn counted_transactions_and_stored_rows_exclude_each_other() {
    let stored = format!("{MINIMAL}\n[row_store]\npath = \"rows\"\n");
    assert!(parse(&stored, []).is_ok());
    let both = faults(&format!("{stored}[format]\ntransactions = true"));
    assert_eq!(both.len(), 1, "{both:?}");
    assert!(
        both[0].starts_with("row_store.path: format.transactions"),
        "{both:?}"
    );
}

#[test]
fn keys_of_the_format_that_contradict_each_other_are_faults() {
    for (format, expected) in [
        (
            "deletes = \"skip\"\nfields = [\"op\"]",
            &[
                "format.deletes: is for flat rows, and format.shape is \"envelope\"; \
                 remove it, or set format.shape = \"flat\"",
                "format.fields: is for flat rows, and format.shape is \"envelope\"; \
                 remove it, or set format.shape = \"flat\"",
            ][..],
        ),
        (
            "time = \"connect\"",
            &[
                "format.time: is for Debezium's values, and format.values is \"lossless\"; \
                 remove it, or set format.values = \"debezium\"",
            ],
        ),
        (
            "values = \"debezium\"\ntime = \"slow\"",
            &[
                "format.time: \"slow\" is out of bounds; it may be adaptive, adaptive-microseconds, \
                 connect, microseconds, nanoseconds, isostring",
            ],
        ),
        (
            "shape = \"flat\"\ntruncate = \"once\"",
            &[
                "format.truncate: a flat row cannot say it, and format.shape is \"flat\"; \
                 remove it, or set it to skip",
            ],
        ),
        (
            "shape = \"flat\"\ntombstones = false",
            &[
                "format.tombstones: is false, and format.deletes is \"tombstone\"; \
                 set format.deletes to rewrite or skip",
            ],
        ),
        (
            "headers = [\"op\", \"when\"]",
            &[
                "format.headers: \"when\" is out of bounds; it may be a list of op, ts_ms, ts_us, \
                 source.ts_ms, source.ts_us, position, lsn, txId, db, schema, table",
            ],
        ),
        (
            "shape = \"flat\"\ntombstones = false\ndeletes = \"rewrite\"",
            &[],
        ),
    ] {
        let text = format!("{MINIMAL}\n[format]\n{format}");
        let found = parse(&text, [])
            .err()
            .map_or_else(Vec::new, |_| faults(&text));
        assert_eq!(found, expected, "{format}");
    }
}

#[test]
fn avro_needs_a_registry() {
    let text = |registry: &str| format!("{MINIMAL}\n[format]\nencoding = \"avro\"\n{registry}");
    assert_eq!(
        faults(&text("")),
        [
            "format.registry.url: is missing, and format.encoding is \"avro\"; \
          set it to the registry's Confluent interface"
        ]
    );
    for url in [
        "registry:8081",
        "ftp://registry",
        "http://me:hunter2@registry",
    ] {
        let found = faults(&text(&format!("registry.url = \"{url}\"")));
        assert!(
            found[0].ends_with("is out of bounds; it may be http:// or https:// with a host"),
            "{found:?}"
        );
    }
    let half = "[format.registry]\nurl = \"http://registry\"\nuser = \"me\"\ntoken = \"hunter2\"";
    assert_eq!(
        faults(&text(half)),
        [
            "format.registry.user: does not go with what is set beside it; \
          set user and password, or token alone"
        ]
    );
    let whole = half.replace("user = \"me\"", "");
    let shown = format!("{:?}", parse(&text(&whole), []).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn the_environment_overrides_the_file() {
    let environment = variables(&[
        ("TIDEWATER_KAFKA_BROKERS", "kafka:9092"),
        ("TIDEWATER_SOURCE_TABLES", r#"["public.*", "!public.log"]"#),
        ("TIDEWATER_KAFKA_PRODUCER_COMPRESSION_TYPE", "zstd"),
        ("PATH", "/bin"),
        ("TIDEWATER_TEST_SEED", "1"),
    ]);
    let settings = parse(MINIMAL, environment).unwrap();
    let kafka = settings.kafka.unwrap();
    assert_eq!(kafka.brokers, "kafka:9092");
    assert_eq!(
        kafka.producer.get("compression.type").map(String::as_str),
        Some("zstd")
    );
    assert_eq!(settings.source.unwrap().tables, ["public.*", "!public.log"]);
}

#[test]
fn a_secret_comes_from_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("secret");
    std::fs::write(&file, "s3cret\n").unwrap();
    let environment = variables(&[("TIDEWATER_RETAIL_CODE_SECRET_FILE", file.to_str().unwrap())]);
    assert_eq!(
        parse(MINIMAL, environment).unwrap().retail.code_secret,
        "s3cret"
    );
}

#[test]
fn a_secret_is_never_shown() {
    let text = "[source]\nurl = \"mysql://user:hunter2@host/db\"\n";
    let shown = faults(text).join("\n");
    assert!(!shown.contains("hunter2"), "{shown}");
    let text = MINIMAL.replace("tidewater@", "tidewater:hunter2@");
    let shown = format!("{:?}", parse(&text, []).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}

const SHAPED: &str = r#"
    [format]
    hash_salt = "pepper"
    skip = ["t", "d"]
    [[transform]]
    columns = ["*.*.email"]
    action = "hash"
    [[transform]]
    columns = ["public.customers.phone"]
    action = "mask"
    length = 4
    [[route]]
    tables = ["public./order_[0-9]+/"]
    topic = "{prefix}.orders"
    partitions = 12
    key = ["order_id"]
"#;

#[test]
fn shapes_and_routes_are_read_in_their_order() {
    let settings = parse(&format!("{MINIMAL}{SHAPED}"), []).unwrap();
    let shape = |column| settings.selection.transform("public", "customers", column);
    assert_eq!(shape("email"), Some(Transform::Hash("pepper".into())));
    assert_eq!(shape("phone"), Some(Transform::Mask("****".into())));
    assert_eq!(shape("name"), None);
    let route = settings.selection.route("public", "order_7").unwrap();
    assert_eq!(
        (route.topic.as_deref(), route.partitions, &route.key[..]),
        (
            Some("{prefix}.orders"),
            Some(12),
            &["order_id".to_owned()][..]
        )
    );
    assert!(settings.selection.route("public", "orders").is_none());
    let skip = settings.format.skip;
    assert!(skip.contains(Operations::DELETE.with(Operations::TRUNCATE)));
    assert!(!skip.contains(Operations::INSERT));
}

#[test]
fn all_that_decides_what_a_value_becomes_is_in_the_digest() {
    let digest = |text: &str| {
        parse(&format!("{MINIMAL}{text}"), [])
            .unwrap()
            .selection
            .digest
            .clone()
    };
    let all = digest(SHAPED);
    for (from, to) in [
        ("pepper", "salt"),
        ("\"mask\"", "\"truncate\""),
        ("length = 4", "length = 5"),
        ("{prefix}.orders", "orders"),
        ("\"order_id\"", "\"id\""),
        ("*.*.email", "*.*.mail"),
    ] {
        assert_ne!(digest(&SHAPED.replace(from, to)), all, "{from}");
    }
    assert_eq!(digest(SHAPED), all);
}

#[test]
fn faults_of_shapes_and_routes_name_the_section() {
    let text = r#"
        [source]
        url = "postgres://tidewater@localhost/shop"
        columns = ["!customers.email"]
        [kafka]
        brokers = "127.0.0.1:9092"
        [format]
        skip = ["r"]
        [[transform]]
        columns = ["*.*.email"]
        action = "hash"
        [[transform]]
        columns = ["*.email"]
        action = "mask"
        value = "x"
        length = 3
        [[route]]
        tables = ["public./(/"]
        topic = "orders of {table}"
        colour = "red"
    "#;
    assert_eq!(
        faults(text),
        [
            "route[0].colour: there is no such key; remove it, or see the keys in tidewater --help",
            "format.skip: \"r\" is out of bounds; it may be a list of c, u, d, t",
            "source.columns: \"!customers.email\" is out of bounds; it may be patterns schema.table.column",
            "format.hash_salt: is missing; set it to 1 to 1000 characters",
            "transform[1].columns: \"*.email\" is out of bounds; it may be patterns schema.table.column",
            "transform[1].value: is given together with length; keep one of them",
            "route[0].tables: \"public./(/\" is out of bounds; it may be patterns schema.table",
            "route[0].topic: \"orders of {table}\" is out of bounds; it may be up to 249 of letters, \
             digits, . _ - and {prefix}, {schema}, {table}",
        ]
    );
}

#[test]
fn what_the_aggregates_are_made_from_stays_as_it_is() {
    let sink = format!("{MINIMAL}[sink]\nurl = \"postgres://tidewater@localhost/sink\"\n");
    let mask = "[[transform]]\ncolumns = [\"*.*.email\"]\naction = \"mask\"\n";
    let shown = faults(&format!("{sink}{mask}")).join("\n");
    assert!(
        shown.contains(
            "retail.customers.table: source.columns, [[transform]], [[route]] or [outbox]"
        ),
        "{shown}"
    );
    let elsewhere = mask.replace("*.*.email", "public.users.email");
    assert!(parse(&format!("{sink}{elsewhere}"), []).is_ok());
}

#[test]
fn a_salt_is_never_shown() {
    let shown = format!("{:?}", parse(&format!("{MINIMAL}{SHAPED}"), []).unwrap());
    assert!(!shown.contains("pepper"), "{shown}");
}

#[test]
fn an_unknown_variable_is_a_fault() {
    let environment = variables(&[("TIDEWATER_KAFKA_BROKER", "kafka:9092")]);
    let faults = parse(MINIMAL, environment).unwrap_err();
    assert!(
        faults.to_string().contains("TIDEWATER_KAFKA_BROKER"),
        "{faults}"
    );
}

#[test]
fn an_outbox_has_the_defaults_of_debeziums_router() {
    let outbox = |text: &str| {
        let text = format!("{MINIMAL}[outbox]\ntables = [\"public.outbox\"]\n{text}");
        parse(&text, []).map(|settings| settings.selection.outbox.clone().unwrap())
    };
    let found = outbox("headers = [\"type:eventType\", \"version\"]\n").unwrap();
    let columns = [&found.id, &found.key, &found.route_by, &found.payload];
    assert_eq!(columns, ["id", "aggregateid", "aggregatetype", "payload"]);
    assert_eq!(
        (found.topic.as_str(), found.topics_max),
        ("outbox.event.{routed}", 1000)
    );
    assert_eq!((found.timestamp, found.partition), (None, None));
    let headers: Vec<_> = found
        .headers
        .iter()
        .map(|placed| (&*placed.column, &*placed.alias))
        .collect();
    assert_eq!(headers, [("type", "eventType"), ("version", "version")]);
    for (text, expected) in [
        (
            "topic = \"{row}\"",
            "outbox.topic: \"{row}\" is out of bounds",
        ),
        (
            "headers = [\"type:\"]",
            "outbox.headers: \"type:\" is out of bounds",
        ),
        (
            "fields = [\"a\", \"b:payload\"]",
            "outbox.fields: gives two fields of the value one name",
        ),
        (
            "expand_json = true\n[format]\nencoding = \"json-schema\"",
            "outbox.expand_json: is true, and format.encoding is \"json-schema\"",
        ),
        (
            "topics_max = 0",
            "outbox.topics_max: \"0\" is out of bounds",
        ),
    ] {
        let faults = outbox(text).unwrap_err().to_string();
        assert!(faults.contains(expected), "{faults}");
    }
    assert!(parse(MINIMAL, []).unwrap().selection.outbox.is_none());
}

#[test]
fn run_has_a_gateway_where_one_is_configured() {
    let enabled = |text: &str, environment: &[(&str, &str)]| {
        let settings = parse(text, variables(environment)).unwrap();
        settings.gateway.enabled
    };
    assert!(!enabled(MINIMAL, &[]));
    assert!(enabled("[gateway]\nenabled = true", &[]));
    assert!(enabled("[gateway]\nevents_per_second = 5", &[]));
    assert!(enabled("", &[("TIDEWATER_GATEWAY_LISTEN", "127.0.0.1:1")]));
    let off = "[gateway]\nenabled = false\nlisten = \"127.0.0.1:1\"";
    assert!(!enabled(off, &[]));
}

#[test]
fn one_request_of_the_gateway_fits_into_what_all_share() {
    let text = "[gateway]\nbatch_events_max = 30000\nbytes_in_flight_max = 2000\nlisten = \"here\"";
    let found = faults(text).join("\n");
    for part in [
        "gateway.events_burst: 5000 is less than gateway.batch_events_max, 30000",
        "gateway.events_in_flight_max: 20000 is less than",
        "gateway.bytes_in_flight_max: 2000 is less than gateway.body_bytes_max",
        "gateway.listen: \"here\" is out of bounds",
    ] {
        assert!(found.contains(part), "no {part} in {found}");
    }
}

#[test]
fn the_arms_are_everybody() {
    let arms = |text: &str| parse(&format!("{MINIMAL}\n[retail.arms]\n{text}"), []);
    let retail = arms("stream = 45\nbatch = 45\nholdout = 10")
        .unwrap()
        .retail;
    assert_eq!(
        (retail.arms.stream, retail.arms.batch, retail.arms.holdout),
        (45, 45, 10)
    );
    assert_eq!(arms("").unwrap().retail.arms.stream, 100);
    let text = format!("{MINIMAL}\n[retail.arms]\nholdout = 10");
    let expected = "retail.arms: stream 100, batch 0 and holdout 10 are 110 percent; \
                    set all three so that they are 100 in all";
    assert_eq!(faults(&text), [expected]);
}
