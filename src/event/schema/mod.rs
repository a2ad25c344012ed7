//! The schema of a table's keys and values: one model for JSON with schemas and for Avro.
//!
//! ```text
//! Table, Format ─▶ record ─▶ Schema ─┬─▶ connect   {"type":"struct",…} of Kafka Connect
//!                    ▲               └─▶ avro      schema and binary form
//!        lossless, debezium (types)
//! ```
//!
//! The model is Kafka Connect's. It describes the JSON that the encoder writes: a struct is an object
//! whose fields come in the schema's order, bytes are base64, and a field may be absent where it is
//! optional. So each encoding is a rendering of that JSON, and says the same by construction.

mod connect;
mod debezium;
mod event;
mod lossless;
mod record;
mod routed;

pub(super) use connect::render as render_connect;
pub(super) use event::{message_schemas, transaction_schemas};
pub(super) use record::{Described, Schemas, schemas};
pub use record::{TOPIC_BYTES_MAX, is_topic_character, topic_characters};
pub(super) use routed::{RoutedSchemas, routed_schemas};

/// A type with everything that is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) form: Form,
    pub(super) optional: bool,
    /// What it means: a struct's own name, or that of a semantic type.
    pub(super) name: Option<String>,
    pub(super) version: Option<u32>,
    pub(super) doc: Option<&'static str>,
    pub(super) parameters: Vec<(&'static str, String)>,
    /// As JSON.
    pub(super) default: Option<String>,
}

/// What a value is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Base64 in JSON.
    Bytes,
    String,
    Array(Box<Schema>),
    /// Of strings to these.
    Map(Box<Schema>),
    Struct(Vec<Field>),
}

/// A field of a struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) schema: Schema,
}

impl Schema {
    /// One that has to be there.
    pub(super) fn new(form: Form) -> Self {
        Schema {
            form,
            optional: false,
            name: None,
            version: None,
            doc: None,
            parameters: Vec::new(),
            default: None,
        }
    }

    /// A semantic type of version 1.
    pub(super) fn semantic(form: Form, name: &str) -> Self {
        Schema::new(form).named(name).versioned(1)
    }

    pub(super) fn array(element: Schema) -> Self {
        Schema::new(Form::Array(Box::new(element)))
    }

    pub(super) fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    pub(super) fn versioned(mut self, version: u32) -> Self {
        self.version = Some(version);
        self
    }

    pub(super) fn documented(mut self, doc: &'static str) -> Self {
        self.doc = Some(doc);
        self
    }

    pub(super) fn with(mut self, parameter: &'static str, value: String) -> Self {
        self.parameters.push((parameter, value));
        self
    }

    pub(super) fn with_default(mut self, json: String) -> Self {
        self.default = Some(json);
        self
    }
}

impl Field {
    pub(super) fn new(name: &str, schema: Schema) -> Self {
        Field {
            name: name.to_owned(),
            schema,
        }
    }
}
