//! A schema as Kafka Connect's `JsonConverter` writes it, member by member in its order.

use super::{Form, Schema};
use crate::event::debezium::string;
use crate::event::json;

/// Appends the schema as JSON.
pub(in crate::event) fn render(schema: &Schema, out: &mut Vec<u8>) {
    open(schema, out);
    out.push(b'}');
}

fn open(schema: &Schema, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":");
    string(type_name(&schema.form), out);
    match &schema.form {
        Form::Array(element) => {
            out.extend_from_slice(b",\"items\":");
            render(element, out);
        }
        Form::Map(value) => {
            out.extend_from_slice(b",\"keys\":");
            render(&Schema::new(Form::String), out);
            out.extend_from_slice(b",\"values\":");
            render(value, out);
        }
        Form::Struct(fields) => {
            out.extend_from_slice(b",\"fields\":[");
            for (place, field) in fields.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                open(&field.schema, out);
                out.extend_from_slice(b",\"field\":");
                string(&field.name, out);
                out.push(b'}');
            }
            out.push(b']');
        }
        Form::Boolean
        | Form::Int16
        | Form::Int32
        | Form::Int64
        | Form::Float32
        | Form::Float64
        | Form::Bytes
        | Form::String => {}
    }
    describe(schema, out);
}

fn describe(schema: &Schema, out: &mut Vec<u8>) {
    out.extend_from_slice(if schema.optional {
        b",\"optional\":true"
    } else {
        b",\"optional\":false"
    });
    if let Some(name) = &schema.name {
        out.extend_from_slice(b",\"name\":");
        string(name, out);
    }
    if let Some(version) = schema.version {
        out.extend_from_slice(b",\"version\":");
        json::number(version, out);
    }
    if let Some(doc) = schema.doc {
        out.extend_from_slice(b",\"doc\":");
        string(doc, out);
    }
    if !schema.parameters.is_empty() {
        out.extend_from_slice(b",\"parameters\":{");
        for (place, (name, value)) in schema.parameters.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            string(name, out);
            out.push(b':');
            string(value, out);
        }
        out.push(b'}');
    }
    if let Some(default) = &schema.default {
        out.extend_from_slice(b",\"default\":");
        out.extend_from_slice(default.as_bytes());
    }
}

fn type_name(form: &Form) -> &'static str {
    match form {
        Form::Boolean => "boolean",
        Form::Int16 => "int16",
        Form::Int32 => "int32",
        Form::Int64 => "int64",
        Form::Float32 => "float",
        Form::Float64 => "double",
        Form::Bytes => "bytes",
        Form::String => "string",
        Form::Array(_) => "array",
        Form::Map(_) => "map",
        Form::Struct(_) => "struct",
    }
}
