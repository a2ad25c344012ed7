//! `Frames`: what stands around the JSON of a topic's keys and values, or what it is turned into.

use std::ops::Range;

use super::Batch;
use super::avro::{self, Misfit, Node};
use super::error::EncodeError;
use super::format::Encoding;
use super::schema::{Schema, Schemas, render_connect};

/// Of the keys and of the values of one topic's records.
#[derive(Clone, Debug)]
pub struct Frames {
    pub(super) key: Frame,
    pub(super) value: Frame,
}

impl Frames {
    /// JSON without a schema.
    pub(super) const BARE: Frames = Frames {
        key: Frame::Bare,
        value: Frame::Bare,
    };

    pub(super) fn of(schemas: &Schemas, encoding: Encoding) -> Self {
        let key = schemas.key.as_ref();
        Frames {
            key: key.map_or(Frame::Bare, |key| Frame::of(key, encoding)),
            value: Frame::of(&schemas.value, encoding),
        }
    }

    /// The Avro schema of the keys, which the registry has to give an id to before the first record.
    pub fn key_schema(&self) -> Option<&str> {
        self.key.schema()
    }

    /// The Avro schema of the values, which the registry has to give an id to before the first record.
    pub fn value_schema(&self) -> Option<&str> {
        self.value.schema()
    }

    /// Sets the id of [`Frames::key_schema`].
    pub fn identify_key(&mut self, id: u32) {
        self.key.identify(id);
    }

    /// Sets the id of [`Frames::value_schema`].
    pub fn identify_value(&mut self, id: u32) {
        self.value.identify(id);
    }
}

/// Of the keys or of the values of one topic.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// The JSON alone.
    Bare,
    /// `{"schema":…,"payload":`, and a brace behind it.
    Schema(Box<[u8]>),
    /// Avro in the registry's wire format.
    Avro(Box<AvroFrame>),
}

#[derive(Clone, Debug)]
pub(super) struct AvroFrame {
    /// As the registry gets it.
    pub(super) schema: String,
    node: Node,
    /// A zero byte and the id; absent until the registry has given one.
    head: Option<[u8; 5]>,
}

impl Frame {
    pub(super) fn of(schema: &Schema, encoding: Encoding) -> Self {
        match encoding {
            Encoding::Json => Frame::Bare,
            Encoding::JsonSchema => {
                let mut opening = b"{\"schema\":".to_vec();
                render_connect(schema, &mut opening);
                opening.extend_from_slice(b",\"payload\":");
                Frame::Schema(opening.into())
            }
            Encoding::Avro => Frame::Avro(Box::new(AvroFrame {
                schema: avro::render(schema),
                node: Node::of(schema),
                head: None,
            })),
        }
    }

    /// The text of an Avro schema.
    pub(super) fn schema(&self) -> Option<&str> {
        match self {
            Frame::Avro(avro) => Some(&avro.schema),
            Frame::Bare | Frame::Schema(_) => None,
        }
    }

    /// Sets the id that the registry has given to the schema.
    pub(super) fn identify(&mut self, id: u32) {
        if let Frame::Avro(avro) = self {
            let [a, b, c, d] = id.to_be_bytes();
            avro.head = Some([0, a, b, c, d]);
        }
    }

    /// Appends what comes before the JSON.
    #[inline]
    pub(super) fn open(&self, bytes: &mut Vec<u8>) {
        if let Frame::Schema(opening) = self {
            bytes.extend_from_slice(opening);
        }
    }

    /// Ends what began at `start`. `scratch` is reused.
    #[inline]
    pub(super) fn close(
        &self,
        start: usize,
        scratch: &mut Vec<u8>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Failed<'_>> {
        match self {
            Frame::Bare => Ok(()),
            Frame::Schema(_) => {
                bytes.push(b'}');
                Ok(())
            }
            Frame::Avro(avro) => avro.close(start, scratch, bytes),
        }
    }
}

impl Batch {
    /// Appends a key or a value; where it lies.
    pub(super) fn framed<'f>(
        &mut self,
        frame: &'f Frame,
        scratch: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Range<usize>, Failed<'f>> {
        let start = self.bytes.len();
        frame.open(&mut self.bytes);
        write(&mut self.bytes);
        frame.close(start, scratch, &mut self.bytes)?;
        Ok(start..self.bytes.len())
    }
}

impl AvroFrame {
    fn close(
        &self,
        start: usize,
        scratch: &mut Vec<u8>,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Failed<'_>> {
        scratch.clear();
        scratch.extend_from_slice(&self.head.ok_or(Failed::Unregistered)?);
        let json = bytes.get(start..).unwrap_or_default();
        avro::write(&self.node, json, scratch).map_err(|Misfit(field)| Failed::Misfit(field))?;
        bytes.truncate(start);
        bytes.extend_from_slice(scratch);
        Ok(())
    }
}

/// Why a record could not be ended.
#[derive(Clone, Copy, Debug)]
pub(super) enum Failed<'f> {
    Unregistered,
    Misfit(Option<&'f str>),
}

impl Failed<'_> {
    #[cold]
    pub(super) fn of_table(self, table: String) -> EncodeError {
        match self {
            Failed::Unregistered => EncodeError::SchemaUnregistered { table },
            Failed::Misfit(field) => EncodeError::SchemaMisfit {
                table,
                field: field.unwrap_or_default().to_owned(),
            },
        }
    }
}
