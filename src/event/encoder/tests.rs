//! Goldens, byte by byte, and what each kind of change becomes.

use super::super::row::Column::{self, Text};
use super::super::{ColumnShape, ReplicaIdentity};
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
            truncate,
            record_bytes_max: 1_000_000,
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

/// Key, value and headers of every record.
fn records(batch: &Batch) -> Vec<(Option<String>, Option<String>, Vec<String>)> {
    let headers = |record: &Record| {
        batch.headers[record.headers.start as usize..record.headers.end as usize]
            .iter()
            .map(|header| {
                format!(
                    "{}={}",
                    header.name,
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
    r#""source":{"version":"0.1.0","connector":"postgresql","name":"retail","#,
    r#""ts_ms":1763884800123,"snapshot":"false","db":"shop","#,
    r#""sequence":"[\"24023000\",\"24023128\"]","ts_us":1763884800123456,"#,
    r#""ts_ns":1763884800123456000,"schema":"public","table":"orders","txId":755,"#,
    r#""lsn":24023128,"xmin":null,"position":"1:0/16E9058:1""#,
);

const CLOCK: &str =
    concat!(r#""ts_ms":1763884800130,"ts_us":1763884800130456,"ts_ns":1763884800130456000"#,);

const ORDER_JSON: &str = concat!(
    r#"{"order_id":7,"unit_price":"12.50","#,
    r#""placed_at":"2026-11-23T08:00:00.123456Z","status":"placed"}"#,
);

#[test]
fn an_insert_byte_by_byte() {
    let mut encoder = encoder(TruncateFormat::EachPartition);
    let plan = encoder.compile(&orders(), 3);
    let mut batch = Batch::default();
    encoder.insert(&plan, CHANGE, ORDER, &mut batch).unwrap();
    let value = format!(
        r#"{{"before":null,"after":{ORDER_JSON},{SOURCE}}},"transaction":null,"op":"c",{CLOCK}}}"#
    );
    assert_eq!(
        records(&batch),
        [(Some(r#"{"order_id":7}"#.into()), Some(value), vec![])]
    );
    assert_eq!(batch.records[0].topic, 3);
    assert_eq!(batch.records[0].partition, None);
}
