//! Goldens, byte by byte, and what each kind of change becomes.

use super::super::format::TruncateFormat;
use super::super::row::Column::{self, Null, Text, Unchanged};
use super::super::row::NOT_SENT;
use super::super::{
    ColumnFacts, ColumnShape, EncodeError, Envelope, HEARTBEAT_PREFIX, LogicalMessage, Lsn,
    Position, ReplicaIdentity,
};
use super::*;

const INT8: u32 = 20;
const TEXT: u32 = 25;
const NUMERIC: u32 = 1700;
const TIMESTAMPTZ: u32 = 1184;

fn table(columns: &[(&str, u32)], key: &[usize]) -> Table {
    Table {
        schema: "public".to_owned(),
        name: "orders".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns
            .iter()
            .map(|(name, type_oid)| ColumnShape {
                name: (*name).to_owned(),
                type_oid: *type_oid,
                type_modifier: -1,
                resolved: None,
                facts: ColumnFacts::default(),
            })
            .collect(),
        key: key.to_vec(),
    }
}

fn orders() -> Table {
    table(
        &[
            ("order_id", INT8),
            ("unit_price", NUMERIC),
            ("placed_at", TIMESTAMPTZ),
            ("status", TEXT),
        ],
        &[0],
    )
}

const ORDER: &[Column<'static>] = &[
    Text(b"7"),
    Text(b"12.50"),
    Text(b"2026-11-23 08:00:00.123456+00"),
    Text(b"placed"),
];

const CHANGE: Change = Change {
    lsn: Lsn(24_023_128),
    ordinal: 1,
    now_us: 1_763_884_800_130_456,
};

fn encoder(truncate: TruncateFormat) -> Encoder {
    let source = SourceName {
        prefix: "retail".to_owned(),
        database: "shop".to_owned(),
    };
    let mut encoder = Encoder::new(
        &source,
        Format {
            values: ValueFormat::Lossless,
            truncate,
            ..Format::default()
        },
    );
    encoder.begin(&Transaction {
        epoch: 1,
        commit_lsn: Lsn(0x16E_9058),
        commit_time_us: 1_763_884_800_123_456,
        xid: Some(755),
        last_commit_lsn: Some(Lsn(24_023_000)),
    });
    encoder
}

fn rendered(range: Option<&Range<usize>>, batch: &Batch) -> Option<String> {
    range.map(|range| String::from_utf8(batch.slice(range).to_vec()).unwrap())
}

/// Key, value and headers.
type Rendered = (Option<String>, Option<String>, Vec<String>);

fn records(batch: &Batch) -> Vec<Rendered> {
    let headers = |record: &Record| {
        batch.headers[record.headers.start as usize..record.headers.end as usize]
            .iter()
            .map(|header| {
                format!(
                    "{}={}",
                    &*header.name,
                    rendered(Some(&header.value), batch).unwrap()
                )
            })
            .collect()
    };
    batch
        .records
        .iter()
        .map(|record| {
            (
                rendered(record.key.as_ref(), batch),
                rendered(record.value.as_ref(), batch),
                headers(record),
            )
        })
        .collect()
}

const SOURCE: &str = concat!(
    r#""source":{"version":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","connector":"postgresql","name":"retail","#,
    r#""ts_ms":1763884800123,"snapshot":"false","db":"shop","#,
    r#""sequence":"[\"24023000\",\"24023128\"]","ts_us":1763884800123456,"#,
    r#""ts_ns":1763884800123456000,"schema":"public","table":"orders","txId":755,"#,
    r#""lsn":24023128,"xmin":null,"position":"1:0/16E9058:1""#,
);

const CLOCK: &str = r#""ts_ms":1763884800130,"ts_us":1763884800130456,"ts_ns":1763884800130456000"#;

const ORDER_JSON: &str = concat!(
    r#"{"order_id":7,"unit_price":"12.50","#,
    r#""placed_at":"2026-11-23T08:00:00.123456Z","status":"placed"}"#,
);

/// An envelope around `body`, with `extra` at the end of `source`.
fn envelope(before: &str, after: &str, extra: &str, op: &str) -> String {
    format!(
        r#"{{"before":{before},"after":{after},{SOURCE}{extra}}},"transaction":null,"op":"{op}",{CLOCK}}}"#
    )
}

/// A record as [`records`] renders it.
fn expected(key: Option<&str>, value: Option<&str>, headers: &[&str]) -> Rendered {
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    (key.map(str::to_owned), value.map(str::to_owned), headers)
}

#[test]
fn an_insert_byte_by_byte() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 3);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    let value = envelope("null", ORDER_JSON, "", "c");
    assert_eq!(
        records(&batch),
        [expected(Some(r#"{"order_id":7}"#), Some(&value), &[])]
    );
    assert_eq!(
        (batch.records[0].topic, batch.records[0].partition),
        (3, None)
    );
    assert!(plan.has_key());
}

#[test]
fn the_smallest_record() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&table(&[], &[]), 0);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, &[][..], &mut batch).unwrap();
    assert_eq!(
        records(&batch),
        [expected(None, Some(&envelope("null", "{}", "", "c")), &[])]
    );
}

/// Names that have to be escaped, a key in another order than the columns, and an array.
fn largest_table() -> Table {
    let mut columns = orders().columns;
    columns.push(ColumnShape {
        name: "say \"hi\"\n".to_owned(),
        type_oid: 1009,
        type_modifier: -1,
        resolved: None,
        facts: ColumnFacts::default(),
    });
    let mut table = Table {
        columns,
        key: vec![3, 0],
        ..orders()
    };
    table.name = "tab\"le".to_owned();
    table.replica_identity = ReplicaIdentity::Full;
    table
}

/// Every number as long as it gets.
fn largest_encoder() -> Encoder {
    let source = SourceName {
        prefix: "re\"tail".to_owned(),
        database: "sh\\op".to_owned(),
    };
    let format = Format {
        values: ValueFormat::Lossless,
        truncate: TruncateFormat::EachPartition,
        record_bytes_max: usize::MAX,
        ..Format::default()
    };
    let mut encoder = Encoder::new(&source, format);
    encoder.begin(&Transaction {
        epoch: u32::MAX,
        commit_lsn: Lsn(u64::MAX),
        commit_time_us: 9_223_372_036_854_775,
        xid: Some(u32::MAX),
        last_commit_lsn: Some(Lsn(u64::MAX)),
    });
    encoder
}

#[test]
fn the_largest_record() {
    let mut encoder = largest_encoder();
    let plan = encoder.compile(&largest_table(), u32::MAX);
    let change = Change {
        lsn: Lsn(u64::MAX),
        ordinal: u64::MAX,
        now_us: 9_223_372_036_854_775,
    };
    let old: &[Column<'_>] = &[
        Text(b"-9223372036854775808"),
        Null,
        Text(b"294276-12-31 23:59:59.999999+00"),
        Text(b"\x01\x02"),
        Text(b"{\"\\\"\",NULL}"),
    ];
    let new = &[
        Text(b"-9223372036854775808"),
        Text(b"NaN"),
        Text(b"-infinity"),
        Text(b"\x01\x02"),
        Unchanged,
    ][..];
    let mut batch = Batch::default();
    encoder
        .update(&plan, change, Some(OldRow::Full(old)), new, &mut batch)
        .unwrap();
    let key = r#"{"status":"\u0001\u0002","order_id":-9223372036854775808}"#;
    let value = concat!(
        r#"{"before":{"order_id":-9223372036854775808,"unit_price":null,"#,
        r#""placed_at":"+294276-12-31T23:59:59.999999Z","status":"\u0001\u0002","#,
        r#""say \"hi\"\n":["\"",null]},"#,
        r#""after":{"order_id":-9223372036854775808,"unit_price":"NaN","#,
        r#""placed_at":"-infinity","status":"\u0001\u0002","say \"hi\"\n":["\"",null]},"#,
        r#""source":{"version":""#,
        env!("CARGO_PKG_VERSION"),
        r#"","connector":"postgresql","name":"re\"tail","#,
        r#""ts_ms":9223372036854,"snapshot":"false","db":"sh\\op","#,
        r#""sequence":"[\"18446744073709551615\",\"18446744073709551615\"]","#,
        r#""ts_us":9223372036854775,"ts_ns":9223372036854775000,"schema":"public","#,
        r#""table":"tab\"le","txId":4294967295,"lsn":18446744073709551615,"xmin":null,"#,
        r#""position":"4294967295:FFFFFFFF/FFFFFFFF:18446744073709551615"},"#,
        r#""transaction":null,"op":"u","ts_ms":9223372036854,"ts_us":9223372036854775,"#,
        r#""ts_ns":9223372036854775000}"#,
    );
    assert_eq!(records(&batch), [expected(Some(key), Some(value), &[])]);
    assert!(serde_json::from_str::<serde_json::Value>(value).is_ok());
}

#[test]
fn an_update_without_old_row() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let new = &[Text(b"7"), Unchanged, Null, Unchanged][..];
    encoder
        .update(&plan, CHANGE, NOT_SENT, new, &mut batch)
        .unwrap();
    let value = envelope(
        "null",
        r#"{"order_id":7,"placed_at":null}"#,
        r#","unchanged":["unit_price","status"]"#,
        "u",
    );
    assert_eq!(
        records(&batch),
        [expected(Some(r#"{"order_id":7}"#), Some(&value), &[])]
    );
}

#[test]
fn an_update_of_a_full_row_takes_unchanged_values_from_it() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let new = &[Text(b"7"), Text(b"1"), Null, Unchanged][..];
    encoder
        .update(&plan, CHANGE, Some(OldRow::Full(ORDER)), new, &mut batch)
        .unwrap();
    let after = r#"{"order_id":7,"unit_price":"1","placed_at":null,"status":"placed"}"#;
    let value = envelope(ORDER_JSON, after, "", "u");
    assert_eq!(
        records(&batch),
        [expected(Some(r#"{"order_id":7}"#), Some(&value), &[])]
    );
}

/// The order's old key, 6, as the server sends it.
const OLD_KEY: &[Column<'static>] = &[Text(b"6"), Null, Null, Null];

#[test]
fn a_changed_key_is_delete_tombstone_create() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    let full = &[Text(b"6"), Text(b"1"), Null, Text(b"x")][..];
    let full_json = r#"{"order_id":6,"unit_price":"1","placed_at":null,"status":"x"}"#;
    for (old, before) in [
        (OldRow::Key(OLD_KEY), r#"{"order_id":6}"#),
        (OldRow::Full(full), full_json),
    ] {
        let mut batch = Batch::default();
        encoder
            .update(&plan, CHANGE, Some(old), ORDER, &mut batch)
            .unwrap();
        let (old_key, new_key) = (r#"{"order_id":6}"#, r#"{"order_id":7}"#);
        let delete = envelope(before, "null", "", "d");
        let create = envelope("null", ORDER_JSON, "", "c");
        let moved_to = format!("__debezium.newkey={new_key}");
        let moved_from = format!("__debezium.oldkey={old_key}");
        assert_eq!(
            records(&batch),
            [
                expected(Some(old_key), Some(&delete), &[&moved_to]),
                expected(Some(old_key), None, &[]),
                expected(Some(new_key), Some(&create), &[&moved_from]),
            ]
        );
    }
}

#[test]
fn an_old_identity_with_the_same_key_is_a_plain_update() {
    // The identity is an index over order_id and status, the key order_id alone.
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    let old = &[Text(b"7"), Null, Null, Text(b"new")][..];
    encoder
        .update(&plan, CHANGE, Some(OldRow::Key(old)), ORDER, &mut batch)
        .unwrap();
    let value = envelope("null", ORDER_JSON, "", "u");
    assert_eq!(
        records(&batch),
        [expected(Some(r#"{"order_id":7}"#), Some(&value), &[])]
    );
}

#[test]
fn a_key_kept_out_of_line_comes_from_the_old_identity() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&table(&[("name", TEXT), ("n", INT8)], &[0]), 0);
    let mut batch = Batch::default();
    let old = OldRow::Key(&[Text(b"long"), Null][..]);
    let new = &[Unchanged, Text(b"2")][..];
    encoder
        .update(&plan, CHANGE, Some(old), new, &mut batch)
        .unwrap();
    let value = envelope("null", r#"{"name":"long","n":2}"#, "", "u");
    assert_eq!(
        records(&batch),
        [expected(Some(r#"{"name":"long"}"#), Some(&value), &[])]
    );
}

#[test]
fn a_delete_is_followed_by_a_tombstone() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    for (old, before, key) in [
        (
            OldRow::Key(OLD_KEY),
            r#"{"order_id":6}"#,
            r#"{"order_id":6}"#,
        ),
        (OldRow::Full(ORDER), ORDER_JSON, r#"{"order_id":7}"#),
    ] {
        let mut batch = Batch::default();
        encoder.delete(&plan, CHANGE, old, &mut batch).unwrap();
        let delete = envelope(before, "null", "", "d");
        assert_eq!(
            records(&batch),
            [
                expected(Some(key), Some(&delete), &[]),
                expected(Some(key), None, &[])
            ]
        );
    }
}

#[test]
fn a_table_without_key_has_null_keys_and_no_tombstones() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(
        &Table {
            key: vec![],
            ..orders()
        },
        0,
    );
    assert!(!plan.has_key());
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    let moved = &[Text(b"8"), Null, Null, Null][..];
    encoder
        .update(&plan, CHANGE, Some(OldRow::Full(ORDER)), moved, &mut batch)
        .unwrap();
    encoder
        .delete(&plan, CHANGE, OldRow::Full(ORDER), &mut batch)
        .unwrap();
    let keys: Vec<_> = records(&batch).into_iter().map(|(key, ..)| key).collect();
    assert_eq!(keys, [None, None, None]);
}

#[test]
fn a_snapshot_read() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 0);
    let mut batch = Batch::default();
    encoder.begin_snapshot(&SnapshotRead {
        position: Position::new(2, Lsn(0x16E_9058), 0),
        exported_at_us: 1_763_884_800_123_456,
    });
    for flag in [SnapshotFlag::True, SnapshotFlag::Last, SnapshotFlag::True] {
        encoder
            .read(&plan, CHANGE.now_us, flag, ORDER, &mut batch)
            .unwrap();
    }
    let value = |flag| {
        let source = SOURCE
            .replace("false", flag)
            .replace(r#"\"24023000\",\"24023128"#, r#"null,\"24023128"#)
            .replace("755", "null")
            .replace("1:0/16E9058:1", "2:0/16E9058:0");
        format!(
            r#"{{"before":null,"after":{ORDER_JSON},{source}}},"transaction":null,"op":"r",{CLOCK}}}"#
        )
    };
    let key = Some(r#"{"order_id":7}"#);
    let expected = [
        expected(key, Some(&value("true")), &[]),
        expected(key, Some(&value("last")), &[]),
        expected(key, Some(&value("true")), &[]),
    ];
    assert_eq!(records(&batch), expected);
}

#[test]
fn a_truncate_in_each_format() {
    for (format, partitions, scope) in [
        (
            TruncateFormat::EachPartition,
            &[Some(0), Some(1), Some(2)][..],
            true,
        ),
        (TruncateFormat::Once, &[None], false),
        (TruncateFormat::Skip, &[], false),
    ] {
        let mut encoder = encoder(format);
        let plan = encoder.compile(&orders(), 0);
        let mut batch = Batch::default();
        encoder.truncate(&plan, CHANGE, 3, &mut batch).unwrap();
        let written: Vec<_> = batch
            .records
            .iter()
            .map(|record| record.partition)
            .collect();
        assert_eq!(written, partitions);
        let extra = if scope { r#","scope":"partition""# } else { "" };
        for record in records(&batch) {
            assert_eq!(
                record,
                expected(None, Some(&envelope("null", "null", extra, "t")), &[])
            );
        }
    }
}

#[test]
fn a_heartbeat_and_another_message() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    for (prefix, key) in [
        (HEARTBEAT_PREFIX, r#"{"source":"retail"}"#),
        ("out\"box", r#"{"prefix":"out\"box"}"#),
    ] {
        let mut batch = Batch::default();
        let message = LogicalMessage {
            transactional: true,
            prefix,
            content: &[1, 2],
        };
        if prefix == HEARTBEAT_PREFIX {
            encoder.heartbeat(9, CHANGE, &message, &mut batch);
        } else {
            let outline = encoder.outline_messages(9);
            encoder
                .message(&outline, CHANGE, &message, &mut batch)
                .unwrap();
        }
        let source = SOURCE.replace(r#""public","table":"orders""#, r#""","table":"""#);
        let prefix = prefix.replace('"', "\\\"");
        let value = format!(
            concat!(
                r#"{{"before":null,"after":null,{}}},"transaction":null,"op":"m",{},"#,
                r#""message":{{"transactional":true,"prefix":"{}","content":"AQI="}}}}"#,
            ),
            source, CLOCK, prefix
        );
        assert_eq!(records(&batch), [expected(Some(key), Some(&value), &[])]);
        assert_eq!(batch.records[0].topic, 9);
        let read: Envelope<'_> = serde_json::from_str(&value).unwrap();
        assert_eq!(read.message.unwrap().content, "AQI=");
    }
}

#[test]
fn a_snapshot_end_is_marked_in_every_partition() {
    let end = |format: Format| {
        let mut batch = Batch::default();
        let position = Position::new(1, Lsn(0x16E_9058), 0);
        let source = SourceName {
            prefix: "retail".to_owned(),
            database: "shop".to_owned(),
        };
        Encoder::new(&source, format).snapshot_end(4, 2, position, 17, &mut batch);
        batch
    };
    for format in [
        Format {
            values: ValueFormat::Debezium,
            ..Format::default()
        },
        Format {
            encoding: Encoding::JsonSchema,
            ..Format::default()
        },
    ] {
        assert!(end(format).records.is_empty(), "readers do not expect it");
    }
    let batch = end(Format::default());
    let mark = expected(
        None,
        None,
        &[
            "tidewater.mark=snapshot-end",
            "tidewater.position=1:0/16E9058:0",
            "tidewater.ts_us=17",
        ],
    );
    assert_eq!(records(&batch), [mark.clone(), mark]);
    let partitions: Vec<_> = batch
        .records
        .iter()
        .map(|record| record.partition)
        .collect();
    assert_eq!(partitions, [Some(0), Some(1)]);
}

mod flat;
mod outbox;
mod properties;
mod refusals;
mod shaping;
mod unchanged;
