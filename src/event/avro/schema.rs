//! A schema as Avro's JSON, mapped as Kafka Connect's Avro converter does: what Avro has no word for goes
//! into properties that begin with `connect.`.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::name;
use crate::event::schema::{Field, Form, Schema};

/// Kafka Connect's decimal, which Avro has too.
const DECIMAL: &str = "org.apache.kafka.connect.data.Decimal";
/// And its dates and times, with Avro's names for them.
const TEMPORAL: [(&str, &str); 3] = [
    ("org.apache.kafka.connect.data.Date", "date"),
    ("org.apache.kafka.connect.data.Time", "time-millis"),
    (
        "org.apache.kafka.connect.data.Timestamp",
        "timestamp-millis",
    ),
];
/// What the converter says where a precision is not known.
const PRECISION_UNKNOWN: u64 = 64;

/// The schema's text.
pub(in crate::event) fn render(schema: &Schema) -> String {
    of(schema, &mut HashSet::new()).to_string()
}

/// `defined` are the records so far: Avro knows each by its name after the first time.
fn of(schema: &Schema, defined: &mut HashSet<String>) -> Value {
    let base = described(schema, defined);
    match (schema.optional, &schema.default) {
        (false, _) => base,
        (true, None) => json!(["null", base]),
        (true, Some(_)) => json!([base, "null"]),
    }
}

fn described(schema: &Schema, defined: &mut HashSet<String>) -> Value {
    let mut object = match &schema.form {
        Form::Boolean => plain("boolean"),
        Form::Int16 => {
            let mut object = plain("int");
            object.insert("connect.type".to_owned(), "int16".into());
            object
        }
        Form::Int32 => plain("int"),
        Form::Int64 => plain("long"),
        Form::Float32 => plain("float"),
        Form::Float64 => plain("double"),
        Form::Bytes => plain("bytes"),
        Form::String => plain("string"),
        Form::Array(element) => {
            let mut object = plain("array");
            object.insert("items".to_owned(), of(element, defined));
            object
        }
        Form::Map(value) => {
            let mut object = plain("map");
            object.insert("values".to_owned(), of(value, defined));
            object
        }
        Form::Struct(fields) => {
            let full = name::full(schema.name.as_deref().unwrap_or("ConnectDefault"));
            if !defined.insert(full.clone()) {
                return full.into();
            }
            record(&full, fields, defined)
        }
    };
    annotate(schema, &mut object);
    match object.get("type") {
        // A type without properties goes by its name alone.
        Some(simple) if object.len() == 1 => simple.clone(),
        _ => Value::Object(object),
    }
}

fn plain(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), name.into())])
}

fn record(full: &str, fields: &[Field], defined: &mut HashSet<String>) -> Map<String, Value> {
    let mut object = plain("record");
    let (namespace, name) = full.rsplit_once('.').unwrap_or(("", full));
    object.insert("name".to_owned(), name.into());
    if !namespace.is_empty() {
        object.insert("namespace".to_owned(), namespace.into());
    }
    let names = &mut HashSet::new();
    let fields = fields.iter().map(|field| {
        let mut object = Map::new();
        object.insert("name".to_owned(), name::field(&field.name, names).into());
        object.insert("type".to_owned(), of(&field.schema, defined));
        if let Some(default) = default_of(&field.schema) {
            object.insert("default".to_owned(), default);
        } else if field.schema.optional {
            object.insert("default".to_owned(), Value::Null);
        }
        Value::Object(object)
    });
    object.insert("fields".to_owned(), fields.collect());
    object
}

fn annotate(schema: &Schema, object: &mut Map<String, Value>) {
    let mut put = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    if let Some(doc) = schema.doc {
        put("connect.doc", doc.into());
    }
    if let Some(version) = schema.version {
        put("connect.version", version.into());
    }
    if !schema.parameters.is_empty() {
        let parameters = schema.parameters.iter();
        let parameters =
            parameters.map(|(name, value)| ((*name).to_owned(), value.as_str().into()));
        put("connect.parameters", Value::Object(parameters.collect()));
    }
    if let Some(default) = default_of(schema) {
        put("connect.default", default);
    }
    if let Some(name) = &schema.name {
        // The name of a record is adjusted; that of a semantic type is only said.
        let name = if matches!(schema.form, Form::Struct(_)) {
            name::full(name)
        } else {
            name.clone()
        };
        put("connect.name", name.into());
    }
    let semantic = schema.name.as_deref();
    if let Some((_, logical)) = TEMPORAL.iter().find(|(name, _)| semantic == Some(*name)) {
        put("logicalType", (*logical).into());
    }
    if semantic == Some(DECIMAL) {
        let parameter = |wanted: &str| {
            let (_, value) = schema.parameters.iter().find(|(name, _)| *name == wanted)?;
            value.parse::<u64>().ok()
        };
        let scale = parameter("scale").unwrap_or(0);
        let precision = parameter("connect.decimal.precision").unwrap_or(PRECISION_UNKNOWN);
        if scale <= precision {
            put("logicalType", "decimal".into());
            put("precision", precision.into());
            put("scale", scale.into());
        }
    }
}

fn default_of(schema: &Schema) -> Option<Value> {
    let json = serde_json::from_str(schema.default.as_deref()?).ok()?;
    Some(default(schema, json))
}

/// Avro writes bytes as a string of characters below 256, where JSON events have base64.
fn default(schema: &Schema, value: Value) -> Value {
    match (&schema.form, value) {
        (Form::Bytes, Value::String(text)) => {
            let bytes = STANDARD.decode(text).unwrap_or_default();
            bytes.into_iter().map(char::from).collect::<String>().into()
        }
        (Form::Struct(fields), Value::Object(mut members)) => {
            let member = |field: &Field| {
                let value = members.remove(&field.name).unwrap_or_default();
                (name::part(&field.name), default(&field.schema, value))
            };
            Value::Object(fields.iter().map(member).collect())
        }
        (_, value) => value,
    }
}
