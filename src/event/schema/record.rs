//! Whole keys and values: the structs around the columns.

use super::{Field, Form, Schema, debezium, event, lossless};
use crate::event::extra::Extra;
use crate::event::format::{Format, TruncateFormat, ValueFormat};
use crate::event::shape::{DELETED_FIELD, Flat, FlatDeletes, Shape};
use crate::event::table::{ColumnShape, Table};

/// What a topic's records are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::event) struct Schemas {
    /// Of the key; a table without one has none.
    pub(in crate::event) key: Option<Schema>,
    /// Of the value.
    pub(in crate::event) value: Schema,
}

/// What is described.
pub(in crate::event) struct Described<'a> {
    pub(in crate::event) table: &'a Table,
    /// First part of the names.
    pub(in crate::event) prefix: &'a str,
    /// A field of text at the end of keys.
    pub(in crate::event) key_field: Option<&'a str>,
}

/// The schemas of a table's records, without the columns that are left out. Names begin with
/// `<prefix>.<schema>.<table>`, wherever the table's records go.
pub(in crate::event) fn schemas(
    described: &Described<'_>,
    excluded: impl Fn(usize) -> bool,
    format: &Format,
) -> Schemas {
    let table = described.table;
    let topic = format!("{}.{}.{}", described.prefix, table.schema, table.name);
    let names = format.handling.names;
    let topic = names.schema(&topic_characters(&topic));
    let key_name = format!("{topic}.Key");
    let mut key: Vec<Field> = table
        .key
        .iter()
        .filter(|index| !excluded(**index))
        .filter_map(|index| table.columns.get(*index))
        .filter_map(|column| field(column, &key_name, format, true))
        .collect();
    if !key.is_empty() {
        key.extend(described.key_field.map(string));
    }
    let key = (!key.is_empty()).then(|| Schema::new(Form::Struct(key)).named(&key_name));
    let value_name = format!("{topic}.Value");
    let is_key = |place: usize| table.key.contains(&place);
    let columns = table.columns.iter().enumerate();
    let mut fields: Vec<Field> = columns
        .filter(|(place, _)| !excluded(*place))
        .filter_map(|(place, column)| field(column, &value_name, format, is_key(place)))
        .collect();
    if let Shape::Flat(flat) = format.shape {
        fields.extend(extra_fields(flat));
    }
    let row = Schema::new(Form::Struct(fields)).named(&value_name);
    let value = match format.shape {
        Shape::Flat(_) => row,
        Shape::Envelope => envelope(row, &topic, format),
    };
    Schemas { key, value }
}

/// Longest name of a topic that Kafka allows, bytes.
pub const TOPIC_BYTES_MAX: usize = 249;

/// Kafka allows letters, digits, dot, underscore and hyphen in a topic's name.
pub fn is_topic_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// A name for a topic: what Kafka does not allow becomes an underscore.
pub fn topic_characters(name: &str) -> String {
    name.chars()
        .map(|c| if is_topic_character(c) { c } else { '_' })
        .collect()
}

/// A column; `None` where Debezium leaves it out.
///
/// Without loss every column but the key's may be absent: from old rows, and when a value was not sent.
pub(super) fn field(
    column: &ColumnShape,
    record: &str,
    format: &Format,
    is_key: bool,
) -> Option<Field> {
    let schema = match format.values {
        ValueFormat::Debezium => debezium::of_column(column, &format.handling, is_key)?,
        ValueFormat::Lossless => {
            let mut schema = lossless::of_column(column, &format!("{record}.{}", column.name));
            schema.optional = !is_key;
            schema
        }
    };
    Some(Field::new(
        &format.handling.names.field(&column.name),
        schema,
    ))
}

fn extra_fields(flat: Flat) -> impl Iterator<Item = Field> {
    let deleted = (flat.deletes == FlatDeletes::Rewrite)
        .then(|| Field::new(DELETED_FIELD, Schema::new(Form::String).optional()));
    let extra = |extra: Extra| {
        let form = match extra {
            Extra::TsMs
            | Extra::TsUs
            | Extra::SourceTsMs
            | Extra::SourceTsUs
            | Extra::Lsn
            | Extra::TxId => Form::Int64,
            Extra::Op | Extra::Position | Extra::Database | Extra::Schema | Extra::Table => {
                Form::String
            }
        };
        Field::new(extra.field(), Schema::new(form).optional())
    };
    deleted.into_iter().chain(flat.fields.iter().map(extra))
}

fn envelope(row: Schema, topic: &str, format: &Format) -> Schema {
    let row = row.optional();
    let mut fields = vec![
        Field::new("before", row.clone()),
        Field::new("after", row),
        Field::new("source", source(format)),
        Field::new("transaction", event::transaction_block()),
        string("op"),
    ];
    fields.extend(["ts_ms", "ts_us", "ts_ns"].map(|name| optional(long(name))));
    Schema::new(Form::Struct(fields))
        .named(&format!("{topic}.Envelope"))
        .versioned(2)
}

pub(super) fn source(format: &Format) -> Schema {
    let values = format.values;
    let snapshot = Schema::new(Form::String)
        .optional()
        .with_default("\"false\"".to_owned());
    let snapshot = match values {
        ValueFormat::Lossless => snapshot,
        ValueFormat::Debezium => debezium::snapshot(snapshot),
    };
    let mut fields = vec![
        string("version"),
        string("connector"),
        string("name"),
        long("ts_ms"),
        Field::new("snapshot", snapshot),
        string("db"),
        optional(string("sequence")),
        optional(long("ts_us")),
        optional(long("ts_ns")),
        string("schema"),
        string("table"),
        optional(long("txId")),
        optional(long("lsn")),
        optional(long("xmin")),
    ];
    // Truncates alone have it.
    let scope =
        (format.truncate == TruncateFormat::EachPartition).then(|| optional(string("scope")));
    match values {
        ValueFormat::Lossless => {
            let names = Schema::array(Schema::new(Form::String)).optional();
            fields.push(string("position"));
            fields.push(Field::new("unchanged", names));
            fields.extend(scope);
            Schema::new(Form::Struct(fields)).named("tidewater.Source")
        }
        ValueFormat::Debezium => {
            fields.extend([optional(string("origin")), optional(long("origin_lsn"))]);
            fields.extend(scope);
            Schema::new(Form::Struct(fields))
                .named("io.debezium.connector.postgresql.Source")
                .versioned(1)
        }
    }
}

pub(super) fn string(name: &str) -> Field {
    Field::new(name, Schema::new(Form::String))
}

pub(super) fn long(name: &str) -> Field {
    Field::new(name, Schema::new(Form::Int64))
}

pub(super) fn optional(field: Field) -> Field {
    Field {
        schema: field.schema.optional(),
        ..field
    }
}
