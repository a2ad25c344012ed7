//! Rows of an outbox as records of the topics that they name.

use super::super::super::selection::{Outbox, Pattern, Placed};
use super::*;
use crate::event::{Encoding, Frames, Plan};

const VARCHAR: u32 = 1043;
const JSONB: u32 = 3802;
const BYTEA: u32 = 17;
const UUID: u32 = 2950;

fn placed(column: &str, alias: &str) -> Placed {
    Placed {
        column: column.to_owned(),
        alias: alias.to_owned(),
    }
}

fn outbox() -> Outbox {
    Outbox {
        tables: vec![Pattern::new("public.orders", 2).unwrap()],
        topic: "outbox.event.{routed}".to_owned(),
        id: "id".to_owned(),
        key: "aggregateid".to_owned(),
        route_by: "aggregatetype".to_owned(),
        payload: "payload".to_owned(),
        ..Outbox::default()
    }
}

fn events(payload: u32) -> Table {
    table(
        &[
            ("id", UUID),
            ("aggregatetype", VARCHAR),
            ("aggregateid", VARCHAR),
            ("type", VARCHAR),
            ("payload", payload),
            ("at", TIMESTAMPTZ),
            ("part", INT8),
        ],
        &[0],
    )
}

const EVENT: [Column<'static>; 7] = [
    Text(b"406c07f3-26f0-4eea-a50c-109940064b8f"),
    Text(b"order"),
    Text(b"1"),
    Text(b"created \"now\""),
    Text(br#"{"id": 1, "note": "a b"}"#),
    Text(b"2026-11-23 08:00:00.123456+00"),
    Text(b"2"),
];

fn with(index: usize, value: Column<'static>) -> [Column<'static>; 7] {
    let mut event = EVENT;
    event[index] = value;
    event
}

/// An encoder, and a plan that knows the topic `order` at index 9, with three partitions.
fn routed(outbox: Outbox, payload: u32, encoding: Encoding) -> (Encoder, Plan) {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    encoder.format.encoding = encoding;
    let encoder = encoder.selecting(Arc::new(Selection {
        outbox: Some(outbox),
        ..Selection::default()
    }));
    let mut plan = encoder.compile(&events(payload), Plan::ROUTED);
    let target = plan.target("order", 9, 3);
    plan.meet(b"order", target);
    (encoder, plan)
}

fn insert(outbox: Outbox, payload: u32, row: &[Column<'_>]) -> Result<Batch, EncodeError> {
    let (mut encoder, plan) = routed(outbox, payload, Encoding::Json);
    let mut batch = Batch::default();
    encoder
        .insert(&plan, CHANGE, row, &mut batch)
        .map(|()| batch)
}

/// The one value of what a row becomes.
fn value(outbox: Outbox, row: &[Column<'_>]) -> Option<String> {
    let batch = insert(outbox, JSONB, row).unwrap();
    assert_eq!(batch.records.len(), 1);
    records(&batch)[0].1.clone()
}

#[test]
fn a_row_is_a_record_of_the_topic_that_it_names() {
    let outbox = Outbox {
        headers: vec![placed("type", "eventType"), placed("part", "part")],
        ..outbox()
    };
    let batch = insert(outbox, JSONB, &EVENT).unwrap();
    let payload = r#""{\"id\": 1, \"note\": \"a b\"}""#;
    let headers = [
        "id=406c07f3-26f0-4eea-a50c-109940064b8f",
        "eventType=created \"now\"",
        "part=2",
    ];
    assert_eq!(
        records(&batch),
        [expected(Some("\"1\""), Some(payload), &headers)]
    );
    let record = &batch.records[0];
    assert_eq!(
        (record.topic, record.partition, record.timestamp_ms),
        (9, None, None)
    );
}

#[test]
fn a_row_names_its_partition_and_time() {
    let outbox = || Outbox {
        partition: Some("part".to_owned()),
        timestamp: Some("at".to_owned()),
        ..outbox()
    };
    let place = |row: &[Column<'_>]| {
        insert(outbox(), JSONB, row).map(|batch| {
            let record = &batch.records[0];
            (record.partition, record.timestamp_ms)
        })
    };
    assert_eq!(place(&EVENT), Ok((Some(2), Some(1_795_420_800_123))));
    let (nowhere, never) = (with(6, Null), with(5, Null));
    assert_eq!(place(&nowhere), Ok((None, Some(1_795_420_800_123))));
    assert_eq!(place(&never), Ok((Some(2), None)));
    for outside in [&b"3"[..], b"-1", b"99999999999"] {
        let outside = with(6, Text(outside));
        assert!(matches!(
            place(&outside),
            Err(EncodeError::NoPartition { partitions: 3, .. })
        ));
    }
    for odd in [&b"1969-12-31 23:59:59+00"[..], b"infinity", b"-infinity"] {
        let odd = with(5, Text(odd));
        assert!(matches!(place(&odd), Err(EncodeError::Value { .. })));
    }
}

#[test]
fn documents_are_expanded_where_that_is_asked_for() {
    let expanding = || Outbox {
        expand_json: true,
        ..outbox()
    };
    let of = |payload: &'static str| value(expanding(), &with(4, Text(payload.as_bytes())));
    assert_eq!(
        of(r#"{"id": 1, "note": "a b", "no": [ ]}"#).as_deref(),
        Some(r#"{"id":1,"note":"a b","no":[]}"#)
    );
    assert_eq!(of("[1, null, \"x\"]").as_deref(), Some(r#"[1,null,"x"]"#));
    assert_eq!(of("{broken").as_deref(), Some(r#""{broken""#));
    assert_eq!(of("7").as_deref(), Some(r#""7""#));
    assert_eq!(value(expanding(), &with(4, Null)).as_deref(), Some("null"));
}

#[test]
fn fields_stand_beside_the_payload() {
    let outbox = Outbox {
        expand_json: true,
        fields: vec![placed("type", "eventType"), placed("part", "part")],
        ..outbox()
    };
    assert_eq!(
        value(outbox, &EVENT).as_deref(),
        Some(r#"{"payload":{"id":1,"note":"a b"},"eventType":"created \"now\"","part":2}"#)
    );
}

#[test]
fn an_empty_payload_is_a_tombstone_where_that_is_asked_for() {
    let burying = || Outbox {
        tombstones: true,
        ..outbox()
    };
    for empty in [Null, Text(b""), Text(b" \t\n")] {
        assert_eq!(value(burying(), &with(4, empty)), None);
        assert!(value(outbox(), &with(4, empty)).is_some());
    }
    assert!(value(burying(), &EVENT).is_some());
}

#[test]
fn bytes_are_the_value_as_they_are() {
    let batch = insert(outbox(), BYTEA, &with(4, Text(b"\\x00ff10"))).unwrap();
    let value = batch.records[0].value.clone().unwrap();
    assert_eq!(batch.slice(&value), [0, 0xFF, 0x10]);
    for encoding in [Encoding::JsonSchema, Encoding::Avro] {
        let (_, plan) = routed(outbox(), BYTEA, encoding);
        let target = &mut plan.target("order", 9, 3);
        assert_eq!(target.frames_mut().value_schema(), None);
    }
}

#[test]
fn schemas_are_those_of_the_columns() {
    let (mut encoder, plan) = routed(outbox(), JSONB, Encoding::JsonSchema);
    let mut batch = Batch::default();
    encoder
        .insert(&plan, CHANGE, &EVENT[..], &mut batch)
        .unwrap();
    let (key, value, _) = records(&batch).remove(0);
    assert_eq!(
        key.as_deref(),
        Some(r#"{"schema":{"type":"string","optional":true},"payload":"1"}"#)
    );
    assert_eq!(
        value.as_deref(),
        Some(concat!(
            r#"{"schema":{"type":"string","optional":true,"name":"io.debezium.data.Json","version":1},"#,
            r#""payload":"{\"id\": 1, \"note\": \"a b\"}"}"#
        ))
    );
    let outbox = Outbox {
        fields: vec![placed("type", "eventType")],
        ..outbox()
    };
    let (_, plan) = routed(outbox, JSONB, Encoding::Avro);
    let mut target = plan.target("order", 9, 3);
    let schema = Frames::value_schema(target.frames_mut())
        .unwrap()
        .to_owned();
    assert!(
        schema.contains(r#""namespace":"retail.public.orders.order""#),
        "{schema}"
    );
}

#[test]
fn only_rows_that_appear_are_events() {
    let (mut encoder, plan) = routed(outbox(), JSONB, Encoding::Json);
    let (row, mut batch) = (&EVENT[..], Batch::default());
    let old = OldRow::Full(row);
    encoder.delete(&plan, CHANGE, old, &mut batch).unwrap();
    let other: &[Column<'_>] = &with(2, Text(b"2"));
    encoder
        .update(&plan, CHANGE, Some(old), other, &mut batch)
        .unwrap();
    encoder.truncate(&plan, CHANGE, 3, &mut batch).unwrap();
    encoder.snapshot_end(plan.topic(), 3, Position::new(1, Lsn(1), 0), 17, &mut batch);
    assert!(batch.records.is_empty() && batch.bytes.is_empty());
    encoder.begin_snapshot(&SnapshotRead::default());
    encoder
        .read(&plan, 0, SnapshotFlag::True, row, &mut batch)
        .unwrap();
    assert_eq!(batch.records.len(), 1);
}

#[test]
fn a_topic_is_known_before_its_first_row() {
    let (mut encoder, mut plan) = routed(outbox(), JSONB, Encoding::Json);
    assert_eq!(plan.unmet(&EVENT[..]), None);
    let (other, none) = (with(1, Text(b"customer")), with(1, Null));
    assert_eq!(plan.unmet(&other[..]), Some(b"customer".to_vec()));
    assert_eq!(plan.unmet(&none[..]), None);
    let mut batch = Batch::default();
    let mut insert = |encoder: &mut Encoder, plan: &Plan, row: &[Column<'_>]| {
        let result = encoder.insert(plan, CHANGE, row, &mut batch);
        (result, batch.records.len(), batch.bytes.len())
    };
    let (result, records, bytes) = insert(&mut encoder, &plan, &other);
    assert!(matches!(result, Err(EncodeError::Unrouted { .. })));
    assert_eq!((records, bytes), (0, 0));
    let (result, ..) = insert(&mut encoder, &plan, &none);
    assert!(matches!(result, Err(EncodeError::Unroutable { .. })));
    let target = plan.target("customer", 4, 1);
    plan.meet(b"customer", target);
    let (result, records, _) = insert(&mut encoder, &plan, &other);
    assert_eq!((result, records), (Ok(()), 1));
}

#[test]
fn a_record_that_is_too_large_leaves_nothing() {
    let (mut encoder, plan) = routed(outbox(), JSONB, Encoding::Json);
    encoder.format.record_bytes_max = 10;
    let mut batch = Batch::default();
    let error = encoder.insert(&plan, CHANGE, &EVENT[..], &mut batch);
    assert!(matches!(error, Err(EncodeError::RecordTooLarge { .. })));
    assert!(batch.bytes.is_empty() && batch.headers.is_empty());
}

#[test]
fn a_payload_without_a_form_is_refused() {
    const BOX: u32 = 603;
    let mut encoder = encoder(TruncateFormat::EachPartition);
    encoder.format.values = ValueFormat::Debezium;
    let encoder = &mut encoder.selecting(Arc::new(Selection {
        outbox: Some(outbox()),
        ..Selection::default()
    }));
    let mut plan = encoder.compile(&events(BOX), Plan::ROUTED);
    let target = plan.target("order", 9, 3);
    plan.meet(b"order", target);
    let row = with(4, Text(b"(1,1),(0,0)"));
    let error = encoder.insert(&plan, CHANGE, &row[..], &mut Batch::default());
    assert!(matches!(error, Err(EncodeError::Formless { .. })));
}
