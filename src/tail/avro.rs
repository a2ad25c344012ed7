//! Avro records as the JSON they would be, with the schemas of the registry.

use std::collections::HashMap;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use tokio::runtime::Handle;

use crate::registry::{self, Registry};

/// Reads Avro, and remembers the schemas. Blocks: for a thread of its own.
#[derive(Debug)]
pub struct Decoder {
    registry: Registry,
    runtime: Handle,
    schemas: HashMap<u32, Schema>,
}

/// Why a record of the registry's wire format cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Its schema cannot be had.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Its schema or its bytes are no Avro.
    #[error("schema {id} does not fit a record that names it")]
    Avro {
        /// The schema's id.
        id: u32,
        /// What is wrong.
        source: Box<apache_avro::Error>,
    },
}

impl Decoder {
    /// Asks `registry` on `runtime`.
    pub fn new(registry: Registry, runtime: Handle) -> Self {
        Decoder {
            registry,
            runtime,
            schemas: HashMap::new(),
        }
    }

    /// The JSON of a key or value; `None` for bytes that are not in the registry's wire format, a zero and
    /// an id of four bytes.
    pub fn json(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, DecodeError> {
        let Some((&[0, a, b, c, d], mut datum)) = bytes.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let id = u32::from_be_bytes([a, b, c, d]);
        let unreadable = |source| DecodeError::Avro {
            id,
            source: Box::new(source),
        };
        let schema = match self.schemas.entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(unknown) => {
                let text = self.runtime.block_on(self.registry.schema(id))?;
                unknown.insert(Schema::parse_str(&text).map_err(unreadable)?)
            }
        };
        let reader = GenericDatumReader::builder(schema)
            .build()
            .map_err(unreadable)?;
        let value = reader.read_value(&mut datum).map_err(unreadable)?;
        Ok(Some(json(&value).to_string().into_bytes()))
    }
}

/// In the forms of JSON events: bytes are base64, and numbers that JSON has no digits for are words.
fn json(value: &Avro) -> Value {
    let object = |members: &mut dyn Iterator<Item = (&String, &Avro)>| {
        let members = members.map(|(name, value)| (name.clone(), json(value)));
        Value::Object(members.collect::<Map<_, _>>())
    };
    match value {
        Avro::Null => Value::Null,
        Avro::Boolean(value) => (*value).into(),
        Avro::Int(value) | Avro::Date(value) | Avro::TimeMillis(value) => (*value).into(),
        Avro::Long(value)
        | Avro::TimeMicros(value)
        | Avro::TimestampMillis(value)
        | Avro::TimestampMicros(value) => (*value).into(),
        // Through the text: the shortest that reads back the same.
        Avro::Float(value) => number(value.to_string()),
        Avro::Double(value) => number(value.to_string()),
        Avro::Bytes(bytes) | Avro::Fixed(_, bytes) => STANDARD.encode(bytes).into(),
        Avro::Decimal(decimal) => {
            let bytes = Vec::<u8>::try_from(decimal).unwrap_or_default();
            STANDARD.encode(bytes).into()
        }
        Avro::String(text) | Avro::Enum(_, text) => text.as_str().into(),
        Avro::Union(_, value) => json(value),
        Avro::Array(items) => items.iter().map(json).collect(),
        Avro::Map(members) => object(&mut members.iter()),
        Avro::Record(fields) => object(&mut fields.iter().map(|(name, value)| (name, value))),
        Avro::BigDecimal(_)
        | Avro::TimestampNanos(_)
        | Avro::LocalTimestampMillis(_)
        | Avro::LocalTimestampMicros(_)
        | Avro::LocalTimestampNanos(_)
        | Avro::Duration(_)
        | Avro::Uuid(_) => format!("{value:?}").into(),
    }
}

fn number(shortest: String) -> Value {
    match shortest.parse::<f64>() {
        Ok(number) if number.is_finite() => number.into(),
        _ => match shortest.as_str() {
            "inf" => "Infinity".into(),
            "-inf" => "-Infinity".into(),
            _ => shortest.into(),
        },
    }
}
