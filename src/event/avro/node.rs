//! A schema compiled for writing: what the binary form needs, and nothing else.

use crate::event::plan::quoted_content;
use crate::event::schema::{Field, Form, Schema};

/// How one value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::event) enum Node {
    Boolean,
    Integer,
    Float,
    Double,
    Bytes,
    String,
    /// A union with null.
    Optional {
        null: Branch,
        value: Box<Node>,
    },
    Array(Box<Node>),
    Map(Box<Node>),
    Record(Box<[NodeField]>),
}

/// The place of null among the two of a union.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::event) enum Branch {
    First,
    Second,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::event) struct NodeField {
    /// As people know it.
    pub(super) name: String,
    /// `"name":`, as the JSON has it.
    pub(super) label: Box<[u8]>,
    pub(super) node: Node,
}

impl Node {
    pub(in crate::event) fn of(schema: &Schema) -> Self {
        let value = match &schema.form {
            Form::Boolean => Node::Boolean,
            Form::Int16 | Form::Int32 | Form::Int64 => Node::Integer,
            Form::Float32 => Node::Float,
            Form::Float64 => Node::Double,
            Form::Bytes => Node::Bytes,
            Form::String => Node::String,
            Form::Array(element) => Node::Array(Box::new(Node::of(element))),
            Form::Map(value) => Node::Map(Box::new(Node::of(value))),
            Form::Struct(fields) => Node::Record(fields.iter().map(NodeField::of).collect()),
        };
        if !schema.optional {
            return value;
        }
        let null = match schema.default {
            None => Branch::First,
            Some(_) => Branch::Second,
        };
        Node::Optional {
            null,
            value: Box::new(value),
        }
    }
}

impl NodeField {
    fn of(field: &Field) -> Self {
        let mut label = vec![b'"'];
        label.extend(quoted_content(&field.name));
        label.extend_from_slice(b"\":");
        NodeField {
            name: field.name.clone(),
            label: label.into(),
            node: Node::of(&field.schema),
        }
    }
}
