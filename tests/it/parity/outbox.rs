//! Outbox tables against Debezium's `EventRouter`: topics, keys, values, headers and times of the same rows.
//!
//! Left out is an array as the payload that is to be expanded, which ends a task of Debezium.

use std::collections::BTreeMap;

use tidewater::connection::connect;

use super::run::{JSON_CONVERTER, WITH_SCHEMAS, end, prefixes, start_connectors};
use crate::model::{Record, read_topics};
use crate::support::{self, Tidewater, kafka_brokers, until};

const TABLES: &str = "
    create table outbox (
        id uuid primary key, aggregatetype varchar(255) not null, aggregateid varchar(255) not null,
        type varchar(255) not null, payload jsonb, n integer, price numeric(10,2), at timestamp(3), part integer);
    create table plain (
        id bigint primary key, aggregatetype text not null, aggregateid bigint not null, payload text, type text);
    create table binaries (
        id integer primary key, aggregatetype text not null, aggregateid text not null, payload bytea);
    create table odd (
        id integer primary key, aggregatetype text not null, aggregateid text not null, payload jsonb, type text);
    create table marker (id integer primary key);
    create publication parity_outbox for all tables;";

/// `$ID` tells the rows of the snapshot from those of the stream.
const ROWS: &str = r#"
    insert into outbox values
        ('406c07f3-26f0-4eea-a50c-10994006$ID1', 'order', '1', 'made', '{"id": 1, "lines": [{"n": 1}, {"n": 2}],
          "price": 1.5, "big": 12345678901, "ok": true, "text": "a \"q\" \\ é"}', 7, 12.50, '2026-01-02 03:04:05.678', 0),
        ('406c07f3-26f0-4eea-a50c-10994006$ID2', 'customer', 'with "q" é', 'made "now"', '"text"', 1, 0, '2026-01-02', null),
        ('406c07f3-26f0-4eea-a50c-10994006$ID3', 'order', '2', 'gone', null, 2, -1.25, '1999-01-02', 0);
    insert into plain values
        ($ID1, 'order', 12, '{"a": {"b": "c"},  "d": 1}', 'x'), ($ID2, 'order', 13, 'no document', 'y'),
        ($ID3, 'thing', 14, '', 'z'), ($ID4, 'thing', 15, '  ', 'z'), ($ID5, 'thing', 16, '{broken', 'z');
    insert into odd values ($ID1, 'order', 'k', '{"a": null, "b": [], "c": 1e2}'),
        ($ID2, 'order', 'k', '{"c": [1, "x"]}'), ($ID3, 'order', 'k', '1');
    insert into binaries values ($ID1, 'order', 'k', '\x000102ff'), ($ID2, 'order', 'k', '\x');
"#;
const CHANGES: &str = "
    update outbox set n = 3; delete from outbox; update plain set type = 'other'; delete from plain; delete from binaries";

struct Mode {
    name: &'static str,
    table: &'static str,
    theirs: &'static [(&'static str, &'static str)],
    ours: &'static str,
    format: &'static str,
}

const MODES: &[Mode] = &[
    Mode {
        name: "headers",
        table: "outbox",
        theirs: &[(
            "table.fields.additional.placement",
            "type:header:eventType,n:header,price:header",
        )],
        ours: "headers = [\"type:eventType\", \"n\", \"price\"]\n",
        format: "",
    },
    Mode {
        name: "expanded",
        table: "outbox",
        theirs: &[
            ("table.expand.json.payload", "true"),
            ("route.tombstone.on.empty.payload", "true"),
            ("table.field.event.timestamp", "at"),
        ],
        ours: "expand_json = true\ntombstones = true\ntimestamp = \"at\"\n",
        format: "",
    },
    Mode {
        name: "fields",
        table: "outbox",
        theirs: &[
            ("table.expand.json.payload", "true"),
            (
                "table.fields.additional.placement",
                "type:envelope:eventType,n:envelope,price:envelope,part:partition",
            ),
        ],
        ours: "expand_json = true\nfields = [\"type:eventType\", \"n\", \"price\"]\npartition = \"part\"\n",
        format: "",
    },
    Mode {
        name: "texts",
        table: "plain",
        theirs: &[
            ("table.expand.json.payload", "true"),
            ("route.tombstone.on.empty.payload", "true"),
            ("table.field.event.id", "type"),
        ],
        ours: "expand_json = true\ntombstones = true\nid = \"type\"\n",
        format: "",
    },
    Mode {
        name: "schemas",
        table: "plain",
        theirs: &WITH_SCHEMAS,
        ours: "",
        format: "encoding = \"json-schema\"\n",
    },
    Mode {
        name: "struct",
        table: "outbox",
        theirs: &[
            WITH_SCHEMAS[0],
            WITH_SCHEMAS[1],
            WITH_SCHEMAS[2],
            WITH_SCHEMAS[3],
            (
                "table.fields.additional.placement",
                "type:envelope:eventType,at:envelope,n:header",
            ),
        ],
        ours: "fields = [\"type:eventType\", \"at\"]\nheaders = [\"n\"]\n",
        format: "encoding = \"json-schema\"\n",
    },
    Mode {
        name: "odd",
        table: "odd",
        theirs: &[
            ("table.expand.json.payload", "true"),
            ("table.fields.additional.placement", "type:header"),
        ],
        ours: "expand_json = true\nheaders = [\"type\"]\n",
        format: "",
    },
    Mode {
        name: "bytes",
        table: "binaries",
        theirs: &[
            (
                "value.converter",
                "io.debezium.converters.BinaryDataConverter",
            ),
            ("value.converter.delegate.converter.type", JSON_CONVERTER),
            (
                "value.converter.delegate.converter.type.schemas.enable",
                "false",
            ),
        ],
        ours: "",
        format: "",
    },
];

/// Settings of a connector with the router, whose topics begin with the connector's name.
fn router(mode: &Mode, name: &str) -> Vec<(String, String)> {
    let mut settings = vec![
        ("publication.name".to_owned(), "parity_outbox".to_owned()),
        (
            "table.include.list".to_owned(),
            format!("public.{},public.marker", mode.table),
        ),
        ("transforms".to_owned(), "outbox".to_owned()),
        ("predicates".to_owned(), "marker".to_owned()),
        (
            "predicates.marker.type".to_owned(),
            "org.apache.kafka.connect.transforms.predicates.TopicNameMatches".to_owned(),
        ),
        (
            "predicates.marker.pattern".to_owned(),
            ".*marker".to_owned(),
        ),
        (
            "transforms.outbox.predicate".to_owned(),
            "marker".to_owned(),
        ),
        ("transforms.outbox.negate".to_owned(), "true".to_owned()),
        (
            "transforms.outbox.type".to_owned(),
            "io.debezium.transforms.outbox.EventRouter".to_owned(),
        ),
        (
            "transforms.outbox.route.topic.replacement".to_owned(),
            format!("{name}.event.${{routedByValue}}"),
        ),
    ];
    settings.extend(mode.theirs.iter().map(|(key, value)| {
        let of_router = key.starts_with("table.") || key.starts_with("route.");
        let key = if of_router {
            format!("transforms.outbox.{key}")
        } else {
            (*key).to_owned()
        };
        (key, (*value).to_owned())
    }));
    settings
}

/// Records of the routed topics by the topic's last part, as text, without where they lie.
fn routed(prefix: &str) -> BTreeMap<String, Vec<String>> {
    let beginning = format!("{prefix}.event.");
    let shown = |record: &Record| {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes
                .as_ref()
                .map(|bytes| String::from_utf8_lossy(bytes).replace(prefix, "prefix"))
        };
        let headers = record.headers.iter();
        let headers: Vec<_> = headers
            .filter(|(name, _)| !name.starts_with("__debezium.context."))
            .collect();
        format!(
            "{:?} {:?} {headers:?}",
            text(&record.key),
            text(&record.value)
        )
    };
    read_topics(&kafka_brokers(), &beginning)
        .into_iter()
        .map(|(topic, records)| {
            let topic = topic.trim_start_matches(&beginning).to_owned();
            (topic, records.iter().map(shown).collect())
        })
        .collect()
}

/// Two rows of docs/debezium.md: what is expanded loses nothing, and a null makes no header.
fn explained(theirs: &BTreeMap<String, Vec<String>>, ours: &BTreeMap<String, Vec<String>>) {
    let values = |topics: &BTreeMap<String, Vec<String>>| -> Vec<String> {
        let of = |record: &String| record.replace("Some(\"\\\"k\\\"\") ", "");
        let shown = topics["order"].iter().map(of);
        shown
            .map(|record| record.split_once(" [(").unwrap().0.to_owned())
            .take(3)
            .collect()
    };
    let some = |value: &str| format!("{:?}", Some(value));
    let expected = [r#"{"c":100}"#, r#""{\"c\": [1, \"x\"]}""#, r#""1""#].map(some);
    assert_eq!(values(theirs), expected);
    let expected = [r#"{"a":null,"b":[],"c":100}"#, r#"{"c":[1,"x"]}"#, r#""1""#].map(some);
    assert_eq!(values(ours), expected);
    let has_header = |record: &String| record.contains("\"type\"");
    assert!(theirs["order"].iter().all(has_header));
    assert!(!ours["order"].iter().any(has_header));
}

#[tokio::test]
async fn both_route_the_same_events() {
    let source = support::postgres_database("parity_outbox").await;
    let database = connect(&source).await.unwrap();
    database.batch_execute(TABLES).await.unwrap();
    database
        .batch_execute(&ROWS.replace("$ID", "100"))
        .await
        .unwrap();
    let names = prefixes("router", MODES.len());
    let settings: Vec<Vec<(String, String)>> = MODES
        .iter()
        .zip(&names)
        .map(|(mode, (theirs, _))| router(mode, theirs))
        .collect();
    let borrowed: Vec<Vec<(&str, &str)>> = settings
        .iter()
        .map(|settings| {
            settings
                .iter()
                .map(|(key, value)| (&**key, &**value))
                .collect()
        })
        .collect();
    let mut debezium = start_connectors(source.database(), &names, &borrowed);
    let mut replicators: Vec<Tidewater> = MODES
        .iter()
        .zip(&names)
        .map(|(mode, (_, prefix))| {
            let config = format!(
                "[source]\nurl = \"{}\"\nslot = \"{prefix}\"\npublication = \"parity_outbox\"\n\
                 tables = [\"public.{table}\", \"public.marker\"]\nheartbeat_interval = \"0s\"\n\
                 [kafka]\nbrokers = \"{}\"\nprefix = \"{prefix}\"\npartitions = 1\n\
                 [outbox]\ntables = [\"public.{table}\"]\ntopic = \"{{prefix}}.event.{{routed}}\"\n{}\
                 [format]\nvalues = \"debezium\"\n{}",
                support::database_url(source.database()),
                kafka_brokers(),
                mode.ours,
                mode.format,
                table = mode.table,
            );
            Tidewater::start(&["replicate"], &config)
        })
        .collect();
    for ((theirs, _), replicator) in names.iter().zip(&mut replicators) {
        until("both snapshots", async || {
            debezium.assert_running();
            assert!(replicator.is_running(), "{}", replicator.log());
            replicator.log().contains("streaming") && !routed(theirs).is_empty()
        })
        .await;
    }
    database
        .batch_execute(&ROWS.replace("$ID", "200"))
        .await
        .unwrap();
    database.batch_execute(CHANGES).await.unwrap();
    database
        .batch_execute(&ROWS.replace("$ID", "300"))
        .await
        .unwrap();
    end(&database, debezium, replicators, &names).await;
    for (mode, (theirs, ours)) in MODES.iter().zip(&names) {
        let (theirs, mut ours) = (routed(theirs), routed(ours));
        if mode.name == "struct" {
            // A row of docs/debezium.md: Debezium names them all after the topic that it met first.
            for record in ours.get_mut("customer").unwrap() {
                let named = record.replace(".outbox.customer.Value", ".outbox.order.Value");
                assert_ne!(named, *record);
                *record = named;
            }
        }
        if mode.name == "odd" {
            explained(&theirs, &ours);
            continue;
        }
        assert!(
            theirs.len() > usize::from(mode.name != "bytes"),
            "{theirs:#?}"
        );
        assert_eq!(theirs, ours, "{}: theirs differs from ours", mode.name);
    }
}
