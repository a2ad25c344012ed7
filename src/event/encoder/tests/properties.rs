//! Rows of every kind of value against a naive tree.

use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::*;

/// A value as the test thinks of it.
#[derive(Clone, Debug)]
enum Cell {
    Null,
    Boolean(bool),
    Integer(i64),
    /// Few enough digits that `serde_json` reads them exactly.
    Float(f64),
    String(String),
    Bytes(Vec<u8>),
    Texts(Vec<Option<String>>),
}

impl Cell {
    fn type_oid(&self) -> u32 {
        match self {
            Cell::Null | Cell::String(_) => TEXT,
            Cell::Boolean(_) => 16,
            Cell::Integer(_) => INT8,
            Cell::Float(_) => 701,
            Cell::Bytes(_) => 17,
            Cell::Texts(_) => 1009,
        }
    }

    /// As PostgreSQL would write it.
    fn text(&self) -> Option<String> {
        Some(match self {
            Cell::Null => return None,
            Cell::Boolean(value) => if *value { "t" } else { "f" }.to_owned(),
            Cell::Integer(value) => value.to_string(),
            Cell::Float(value) => format!("{value:e}"),
            Cell::String(value) => value.clone(),
            Cell::Bytes(value) => value
                .iter()
                .fold("\\x".to_owned(), |hex, byte| format!("{hex}{byte:02x}")),
            Cell::Texts(values) => {
                let elements: Vec<String> = values
                    .iter()
                    .map(|value| match value {
                        None => "NULL".to_owned(),
                        Some(text) => {
                            let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                            format!("\"{text}\"")
                        }
                    })
                    .collect();
                format!("{{{}}}", elements.join(","))
            }
        })
    }

    fn json(&self) -> Value {
        use base64::Engine;
        match self {
            Cell::Null => Value::Null,
            Cell::Boolean(value) => json!(value),
            Cell::Integer(value) => json!(value),
            Cell::Float(value) => Value::Number(Number::from_f64(*value).unwrap()),
            Cell::String(value) => json!(value),
            Cell::Bytes(value) => {
                json!(base64::engine::general_purpose::STANDARD.encode(value))
            }
            Cell::Texts(values) => json!(values),
        }
    }
}

fn string() -> impl Strategy<Value = String> {
    "(\\PC|[\\x01-\\x1f\"\\\\{},]|[\u{80}-\u{10ffff}]){0,40}"
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        any::<bool>().prop_map(Cell::Boolean),
        any::<i64>().prop_map(Cell::Integer),
        any::<i32>().prop_map(|n| Cell::Float(f64::from(n) / 64.0)),
        string().prop_map(Cell::String),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Cell::Bytes),
        prop::collection::vec(prop::option::of(string()), 0..5).prop_map(Cell::Texts),
    ]
}

proptest! {
    #[test]
    fn a_row_equals_its_tree(cells in prop::collection::vec((string(), cell()), 1..12)) {
        let mut shape = table(&[], &[]);
        let mut after = Map::new();
        for (index, (name, cell)) in cells.iter().enumerate() {
            let name = format!("{name}{index}");
            after.insert(name.clone(), cell.json());
            shape.columns.push(ColumnShape {
                name,
                type_oid: cell.type_oid(),
                type_modifier: -1,
                resolved: None,
                facts: ColumnFacts::default(),
            });
        }
        let texts: Vec<Option<String>> = cells.iter().map(|(_, cell)| cell.text()).collect();
        let row: Vec<Column<'_>> = texts
            .iter()
            .map(|text| text.as_ref().map_or(Null, |text| Text(text.as_bytes())))
            .collect();

        let mut encoder = encoder(TruncateFormat::EachPartition);
        let plan = encoder.compile(&shape, 0);
        let mut batch = Batch::default();
        encoder.insert(&plan, CHANGE, &row[..], &mut batch).unwrap();

        let value = batch.slice(batch.records[0].value.as_ref().unwrap());
        let tree: Value = serde_json::from_slice(value).unwrap();
        prop_assert_eq!(&tree["after"], &Value::Object(after));
        let read: Envelope<'_> = serde_json::from_slice(value).unwrap();
        prop_assert_eq!(read.source.position.as_deref(), Some("1:0/16E9058:1"));
    }
}
