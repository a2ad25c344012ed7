//! Whole events in this format: what differs from the lossless ones beside the values.

use std::ops::Range;

use super::super::row::Column::{self, Null, Text, Unchanged};
use super::super::row::NOT_SENT;
use super::super::{
    Batch, Change, ColumnFacts, ColumnShape, Encoder, Format, Lsn, OldRow, ReplicaIdentity,
    SourceName, Table, Transaction, TruncateFormat, ValueFormat,
};

const CHANGE: Change = Change {
    lsn: Lsn(24_023_720),
    ordinal: 3,
    now_us: 1_795_526_569_755_000,
};

fn encoder() -> Encoder {
    let source = SourceName {
        prefix: "p".to_owned(),
        database: "postgres".to_owned(),
    };
    let format = Format {
        values: ValueFormat::Debezium,
        truncate: TruncateFormat::Once,
        ..Format::default()
    };
    let mut encoder = Encoder::new(&source, format);
    encoder.begin(&Transaction {
        epoch: 1,
        commit_lsn: Lsn(24_023_656),
        commit_time_us: 1_795_526_569_567_796,
        xid: Some(845),
        last_commit_lsn: Some(Lsn(24_023_656)),
    });
    encoder
}

/// Of a column that Debezium has no form for, a key, a text and a decimal.
fn table() -> Table {
    let columns = [
        ("tid", 27, -1),
        ("id", 23, -1),
        ("big", 25, -1),
        ("n", 1700, -1),
    ];
    let column = |(name, type_oid, type_modifier): (&str, u32, i32)| ColumnShape {
        name: name.to_owned(),
        type_oid,
        type_modifier,
        resolved: None,
        facts: ColumnFacts::default(),
    };
    Table {
        schema: "public".to_owned(),
        name: "t".to_owned(),
        replica_identity: ReplicaIdentity::Default,
        columns: columns.into_iter().map(column).collect(),
        key: vec![1],
    }
}

fn event(before: &str, after: &str, op: &str) -> String {
    format!(
        concat!(
            r#"{{"before":{},"after":{},"source":{{"version":"{}","connector":"postgresql","#,
            r#""name":"p","ts_ms":1795526569567,"snapshot":"false","db":"postgres","#,
            r#""sequence":"[\"24023656\",\"24023720\"]","ts_us":1795526569567796,"#,
            r#""ts_ns":1795526569567796000,"schema":"public","table":"t","txId":845,"#,
            r#""lsn":24023720,"xmin":null,"origin":null,"origin_lsn":null}},"transaction":null,"#,
            r#""op":"{}","ts_ms":1795526569755,"ts_us":1795526569755000,"#,
            r#""ts_ns":1795526569755000000}}"#,
        ),
        before,
        after,
        env!("CARGO_PKG_VERSION"),
        op
    )
}

/// Keys, values and headers' values.
fn records(batch: &Batch) -> Vec<(String, String, Vec<String>)> {
    let text = |range: &Range<usize>| String::from_utf8(batch.slice(range).to_vec()).unwrap();
    let optional = |range: &Option<Range<usize>>| range.as_ref().map(text).unwrap_or_default();
    batch
        .records
        .iter()
        .map(|record| {
            let headers = record.headers.start as usize..record.headers.end as usize;
            let headers = batch.headers[headers].iter();
            let headers = headers.map(|header| text(&header.value)).collect();
            (optional(&record.key), optional(&record.value), headers)
        })
        .collect()
}

#[test]
fn an_update_shows_placeholders_and_debezium_s_source() {
    let mut encoder = encoder();
    let plan = encoder.compile(&table(), 0);
    let mut batch = Batch::default();
    let new: &[Column<'_>] = &[Text(b"(0,1)"), Text(b"7"), Unchanged, Null];
    encoder
        .update(&plan, CHANGE, NOT_SENT, new, &mut batch)
        .unwrap();
    let after = r#"{"id":7,"big":"__debezium_unavailable_value","n":null}"#;
    let expected = (r#"{"id":7}"#.to_owned(), event("null", after, "u"), vec![]);
    assert_eq!(records(&batch), [expected]);
}

#[test]
fn the_rest_of_an_old_row_is_null() {
    let mut encoder = encoder();
    let plan = encoder.compile(&table(), 0);
    let mut batch = Batch::default();
    let old: &[Column<'_>] = &[Null, Text(b"7"), Null, Null];
    encoder
        .delete(&plan, CHANGE, OldRow::Key(old), &mut batch)
        .unwrap();
    let key = r#"{"id":7}"#.to_owned();
    let before = r#"{"id":7,"big":null,"n":null}"#;
    assert_eq!(
        records(&batch),
        [
            (key.clone(), event(before, "null", "d"), vec![]),
            (key, String::new(), vec![])
        ]
    );
}

#[test]
fn a_changed_key_has_its_header_on_the_tombstone_too() {
    let mut encoder = encoder();
    let plan = encoder.compile(&table(), 0);
    let mut batch = Batch::default();
    let old: &[Column<'_>] = &[Null, Text(b"7"), Null, Null];
    let new: &[Column<'_>] = &[Null, Text(b"8"), Text(b"x"), Text(b"1.50")];
    encoder
        .update(&plan, CHANGE, Some(OldRow::Key(old)), new, &mut batch)
        .unwrap();
    let (old_key, new_key) = (r#"{"id":7}"#.to_owned(), r#"{"id":8}"#.to_owned());
    let before = r#"{"id":7,"big":null,"n":null}"#;
    let after = r#"{"id":8,"big":"x","n":{"scale":1,"value":"Dw=="}}"#;
    assert_eq!(
        records(&batch),
        [
            (
                old_key.clone(),
                event(before, "null", "d"),
                vec![new_key.clone()]
            ),
            (old_key.clone(), String::new(), vec![new_key.clone()]),
            (new_key, event("null", after, "c"), vec![old_key]),
        ]
    );
}

#[test]
fn a_truncate_is_debezium_s() {
    let mut encoder = encoder();
    let plan = encoder.compile(&table(), 0);
    let mut batch = Batch::default();
    encoder.truncate(&plan, CHANGE, 3, &mut batch).unwrap();
    let expected = (String::new(), event("null", "null", "t"), vec![]);
    assert_eq!(records(&batch), [expected]);
}
