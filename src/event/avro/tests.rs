//! Avro read back by a standard decoder says what the JSON of the same event says.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "whatever is not named stays as it is, or fails the test"
)]

use apache_avro::types::Value as Avro;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::super::row::Column::{self, Null, Text, Unchanged};
use super::super::row::NOT_SENT;
use super::super::{
    Batch, BinaryHandling, Change, ColumnFacts, ColumnShape, DecimalHandling, EncodeError, Encoder,
    Encoding, Flat, FlatDeletes, Format, Handling, HstoreHandling, IntervalHandling, Lsn,
    NameAdjustment, OldRow, Plan, ReplicaIdentity, Shape, SourceName, Table, TimeHandling,
    Transaction, TypeShape, UnchangedFormat, ValueFormat,
};

const CHANGE: Change = Change {
    lsn: Lsn(24_023_128),
    ordinal: 1,
    now_us: 1_763_884_800_130_456,
};

/// Columns and rows of them: a type, and two texts of it.
const COLUMNS: &[(&str, u32, [&str; 2])] = &[
    ("flag", 16, ["t", "f"]),
    ("small", 21, ["-32768", "7"]),
    ("int", 23, ["2147483647", "-1"]),
    ("big int", 20, ["-9223372036854775808", "0"]),
    ("big-int", 20, ["9223372036854775807", "64"]),
    ("oid", 26, ["4294967295", "1"]),
    ("real", 700, ["1.5e-07", "NaN"]),
    ("double", 701, ["1e+16", "-Infinity"]),
    ("numeric", 1700, ["12.50", "-0.001"]),
    ("text", 25, ["a \"quoted\"\n\u{1}\\", "\u{1F600} ä"]),
    ("uuid", 2950, ["6ba7b810-9dad-11d1-80b4-00c04fd430c8"; 2]),
    ("bytes", 17, ["\\x", "\\x00ff10"]),
    ("date", 1082, ["2026-02-03", "0044-03-15 BC"]),
    ("time", 1083, ["24:00:00", "04:05:06.000007"]),
    (
        "stamp",
        1114,
        ["2026-02-03 04:05:06.5", "2026-02-03 04:05:06"],
    ),
    ("zoned", 1184, ["2026-02-03 04:05:06.000007+00", "infinity"]),
    ("interval", 1186, ["P1Y2M-3DT4H5M6.5S", "PT0S"]),
    ("json", 3802, ["{\"a\": [1, 1.0]}", "null"]),
    ("ints", 1007, ["{}", "{1,NULL,3}"]),
    ("texts", 1009, ["{\"a \\\"b\\\"\",\"NULL\",NULL}", "{x}"]),
];
const LOSSLESS: &[(&str, u32, [&str; 2])] = &[
    ("range", 3904, ["empty", "[1,5)"]),
    ("ranges", 3906, ["[1.5,)", "(,2]"]),
    ("multi", 4451, ["{[1,3),[5,6)}", "{}"]),
];

/// Of types that Debezium leaves out, unless they are asked for.
const UNKNOWN: &[(&str, u32, [&str; 2])] = &[
    ("position", 3220, ["0/16E9058", "0/0"]),
    ("box", 603, ["(1,1),(0,0)", "(2.5,2),(0,0)"]),
    ("positions", 3221, ["{0/1,0/2}", "{}"]),
];

fn columns(values: ValueFormat) -> Vec<(ColumnShape, [&'static str; 2])> {
    let plain = |(name, type_oid, texts): &(&str, u32, [&'static str; 2])| {
        let shape = ColumnShape {
            name: (*name).to_owned(),
            type_oid: *type_oid,
            type_modifier: -1,
            resolved: None,
            facts: ColumnFacts::default(),
        };
        (shape, *texts)
    };
    let mut columns: Vec<_> = COLUMNS.iter().map(plain).collect();
    if values == ValueFormat::Debezium {
        columns.extend(UNKNOWN.iter().map(plain));
    } else {
        columns.extend(LOSSLESS.iter().map(plain));
    }
    for (name, resolved, texts) in created() {
        if values == ValueFormat::Debezium && name != "map" {
            continue;
        }
        let (shape, _) = plain(&(name, 70_000, [""; 2]));
        let resolved = Some(resolved);
        columns.push((ColumnShape { resolved, ..shape }, texts));
    }
    columns
}

fn created() -> [(&'static str, TypeShape, [&'static str; 2]); 2] {
    let pair = TypeShape::Composite(vec![
        ("n".to_owned(), TypeShape::Builtin(20)),
        ("words".to_owned(), TypeShape::Builtin(1009)),
        (
            "span".to_owned(),
            TypeShape::Range(Box::new(TypeShape::Builtin(25))),
        ),
    ]);
    let hstore = TypeShape::Extension("hstore".to_owned());
    [
        ("pair", pair, ["(1,\"{a,NULL}\",\"[a,b)\")", "(,,)"]),
        ("map", hstore, ["\"a\"=>\"1\", \"b\"=>NULL", ""]),
    ]
}

fn table(columns: &[(ColumnShape, [&str; 2])]) -> Table {
    Table {
        schema: "public".to_owned(),
        name: "my table".to_owned(),
        replica_identity: ReplicaIdentity::Full,
        columns: columns.iter().map(|(shape, _)| shape.clone()).collect(),
        key: vec![3, 10],
    }
}

fn encoder(format: Format) -> Encoder {
    let source = SourceName {
        prefix: "shop-1".to_owned(),
        database: "shop".to_owned(),
    };
    let mut encoder = Encoder::new(&source, format);
    encoder.begin(&Transaction {
        epoch: 1,
        commit_lsn: Lsn(0x16E_9058),
        commit_time_us: 1_763_884_800_123_456,
        xid: Some(755),
        last_commit_lsn: None,
    });
    encoder
}

/// An insert, an update of another row with nulls and what was not sent, a truncate and a delete.
fn history(encoder: &mut Encoder, plan: &Plan, columns: &[(ColumnShape, [&str; 2])]) -> Batch {
    let row = |place: usize| -> Vec<Column<'_>> {
        let texts = columns.iter().map(|(_, texts)| texts[place].as_bytes());
        texts.map(Text).collect()
    };
    let (first, mut second) = (row(0), row(1));
    second[9] = Unchanged;
    second[5] = Null;
    let mut batch = Batch::default();
    encoder
        .insert(plan, CHANGE, &first[..], &mut batch)
        .unwrap();
    // The key stays.
    second[3] = first[3];
    second[10] = first[10];
    encoder
        .update(plan, CHANGE, NOT_SENT, &second[..], &mut batch)
        .unwrap();
    encoder.truncate(plan, CHANGE, 1, &mut batch).unwrap();
    encoder
        .delete(plan, CHANGE, OldRow::Full(&first[..]), &mut batch)
        .unwrap();
    batch
}

/// A decoded value in the form of JSON events.
fn json_of(value: &Avro) -> Value {
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => (*value).into(),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => (*value).into(),
        Avro::Long(value) | Avro::TimestampMillis(value) => (*value).into(),
        Avro::Float(value) => float(f64::from(*value), &value.to_string()),
        Avro::Double(value) => float(*value, &value.to_string()),
        Avro::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Avro::Decimal(decimal) => STANDARD
            .encode(Vec::<u8>::try_from(decimal).unwrap())
            .into(),
        Avro::String(text) => text.as_str().into(),
        Avro::Union(_, value) => json_of(value),
        Avro::Array(items) => items.iter().map(json_of).collect(),
        Avro::Map(members) => {
            let members = members.iter();
            Value::Object(
                members
                    .map(|(name, value)| (name.clone(), json_of(value)))
                    .collect(),
            )
        }
        Avro::Record(fields) => {
            let fields = fields.iter();
            Value::Object(
                fields
                    .map(|(name, value)| (name.clone(), json_of(value)))
                    .collect(),
            )
        }
        other => panic!("{other:?}"),
    }
}

/// As the JSON has it: the shortest digits, and words for what is no number.
fn float(value: f64, shortest: &str) -> Value {
    if value.is_finite() {
        return json!(shortest.parse::<f64>().unwrap());
    }
    let word = match value {
        _ if value.is_nan() => "NaN",
        _ if value > 0.0 => "Infinity",
        _ => "-Infinity",
    };
    word.into()
}

/// Numbers by their value, names by Avro's rules, and no member that is null: it may be absent.
fn normal(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!(number.as_f64().map(f64::to_bits)),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            let rename = |name: String| match name.as_str() {
                "big int" => "big_int".to_owned(),
                "big-int" => "big_int_2".to_owned(),
                _ => name,
            };
            let members = members.map(|(name, value)| (rename(name), normal(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn decoded(schema: &str, bytes: &[u8], id: u32) -> Value {
    let schema = apache_avro::Schema::parse_str(schema).unwrap();
    let (head, mut datum) = bytes.split_at(5);
    assert_eq!(head, [&[0], &id.to_be_bytes()[..]].concat());
    let reader = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
        .build()
        .unwrap();
    let value = reader.read_value(&mut datum).unwrap();
    assert!(datum.is_empty(), "{} bytes too many", datum.len());
    json_of(&value)
}

fn formats() -> Vec<Format> {
    let flat = Shape::Flat(Flat {
        deletes: FlatDeletes::Rewrite,
        unchanged: UnchangedFormat::Placeholder,
        fields: super::super::Extra::ALL.into_iter().collect(),
    });
    let mut formats = Vec::new();
    for values in [ValueFormat::Lossless, ValueFormat::Debezium] {
        for shape in [Shape::Envelope, flat] {
            formats.push(Format {
                values,
                shape,
                encoding: Encoding::Avro,
                ..Format::default()
            });
        }
    }
    formats.extend(handlings().map(|handling| Format {
        values: ValueFormat::Debezium,
        handling,
        encoding: Encoding::Avro,
        ..Format::default()
    }));
    formats
}

/// Every handling mode of Debezium's values but the default, in some set.
fn handlings() -> [Handling; 4] {
    [
        Handling {
            decimal: DecimalHandling::Double,
            time: TimeHandling::Microseconds,
            interval: IntervalHandling::String,
            binary: BinaryHandling::Base64,
            hstore: HstoreHandling::Map,
            ..Handling::default()
        },
        Handling {
            decimal: DecimalHandling::String,
            time: TimeHandling::Nanoseconds,
            binary: BinaryHandling::Hex,
            include_unknown: true,
            ..Handling::default()
        },
        Handling {
            time: TimeHandling::Connect,
            binary: BinaryHandling::Base64UrlSafe,
            names: NameAdjustment::AvroUnicode,
            ..Handling::default()
        },
        Handling {
            time: TimeHandling::IsoString,
            include_unknown: true,
            ..Handling::default()
        },
    ]
}

#[test]
fn a_standard_decoder_reads_what_the_json_says() {
    for format in formats() {
        let columns = columns(format.values);
        let mut in_json = encoder(Format {
            encoding: Encoding::Json,
            ..format
        });
        let plan = in_json.compile(&table(&columns), 0);
        let expected = history(&mut in_json, &plan, &columns);
        let mut in_avro = encoder(format);
        let mut plan = in_avro.compile(&table(&columns), 0);
        plan.frames_mut().identify_key(70_000);
        plan.frames_mut().identify_value(8);
        let found = history(&mut in_avro, &plan, &columns);
        assert_eq!(found.records.len(), expected.records.len());
        for (found_record, record) in found.records.iter().zip(&expected.records) {
            for (range, json, schema, id) in [
                (
                    &found_record.key,
                    &record.key,
                    plan.frames().key_schema(),
                    70_000,
                ),
                (
                    &found_record.value,
                    &record.value,
                    plan.frames().value_schema(),
                    8,
                ),
            ] {
                let json = json
                    .as_ref()
                    .map(|json| serde_json::from_slice(expected.slice(json)).unwrap());
                let decoded = range
                    .as_ref()
                    .map(|range| decoded(schema.unwrap(), found.slice(range), id));
                assert_eq!(decoded.map(normal), json.map(normal), "{format:?}");
            }
        }
    }
}

#[test]
fn a_row_before_its_schema_is_refused() {
    let format = formats()[0];
    let columns = columns(format.values);
    let mut encoder = encoder(format);
    let plan = encoder.compile(&table(&columns), 0);
    let row: Vec<Column<'_>> = columns
        .iter()
        .map(|(_, texts)| Text(texts[0].as_bytes()))
        .collect();
    let mut batch = Batch::default();
    let refused = encoder.insert(&plan, CHANGE, &row[..], &mut batch);
    let table = "public.my table".to_owned();
    assert_eq!(refused, Err(EncodeError::SchemaUnregistered { table }));
    assert!(batch.is_empty() && batch.bytes.is_empty());
}

#[test]
fn what_a_schema_has_no_room_for_is_refused() {
    for encoding in [Encoding::Avro, Encoding::JsonSchema] {
        let mut encoder = encoder(Format {
            encoding,
            ..Format::default()
        });
        let columns: Vec<_> = columns(ValueFormat::Lossless)
            .into_iter()
            .filter(|(shape, _)| shape.name == "ints")
            .collect();
        let table = Table {
            key: Vec::new(),
            ..table(&columns)
        };
        let mut plan = encoder.compile(&table, 0);
        plan.frames_mut().identify_value(1);
        let mut batch = Batch::default();
        let row = &[Text(b"{{1},{2}}")][..];
        let refused = encoder.insert(&plan, CHANGE, row, &mut batch).unwrap_err();
        let refused = refused.to_string();
        assert!(
            refused.contains("column ints is not an array of one dimension"),
            "{refused}"
        );
    }
}
