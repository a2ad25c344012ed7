//! The lossless type table as schemas: the forms of `kind`, with a semantic name where a known one means
//! just that form.
//!
//! A type without a schema of its own is a string, numeric among them: a decimal of some precision has no
//! room for `NaN`. Composites and ranges are structs, named after the column that has them.

use super::{Field, Form, Schema};
use crate::event::builtin::builtin_array;
use crate::event::table::{ColumnShape, TypeShape};

const UUID: &str = "io.debezium.data.Uuid";
const JSON: &str = "io.debezium.data.Json";
const XML: &str = "io.debezium.data.Xml";
const ZONED_TIMESTAMP: &str = "io.debezium.time.ZonedTimestamp";
const INTERVAL: &str = "io.debezium.time.Interval";

/// The schema of a column's values; `path` names structs within.
pub(super) fn of_column(column: &ColumnShape, path: &str) -> Schema {
    match &column.resolved {
        Some(shape) => of_shape(shape, path),
        None => of_builtin(column.type_oid, path),
    }
}

fn of_shape(shape: &TypeShape, path: &str) -> Schema {
    match shape {
        TypeShape::Builtin(oid) => of_builtin(*oid, path),
        TypeShape::Array { element, .. } => Schema::array(of_shape(element, path).optional()),
        TypeShape::Composite(attributes) => {
            let field = |(name, shape): &(String, TypeShape)| {
                let path = format!("{path}.{name}");
                Field::new(name, of_shape(shape, &path).optional())
            };
            let fields = attributes.iter().map(field).collect();
            Schema::new(Form::Struct(fields)).named(path)
        }
        TypeShape::Range(subtype) => range(of_shape(subtype, &format!("{path}.bound")), path),
        TypeShape::Multirange(subtype) => {
            Schema::array(range(of_shape(subtype, &format!("{path}.bound")), path))
        }
        TypeShape::Extension(name) if name == "hstore" => {
            Schema::new(Form::Map(Box::new(Schema::new(Form::String).optional())))
        }
        TypeShape::Enum(_) | TypeShape::Extension(_) | TypeShape::Opaque => {
            Schema::new(Form::String)
        }
    }
}

fn of_builtin(oid: u32, path: &str) -> Schema {
    match builtin_array(oid) {
        Some((element, _)) => Schema::array(of_element(element, path).optional()),
        None => of_element(oid, path),
    }
}

/// Any built-in type that is no array.
fn of_element(oid: u32, path: &str) -> Schema {
    let range_of = |subtype| range(of_scalar(subtype), path);
    match oid {
        3904 => range_of(23),   // int4range
        3906 => range_of(1700), // numrange
        3908 => range_of(1114), // tsrange
        3910 => range_of(1184), // tstzrange
        3912 => range_of(1082), // daterange
        3926 => range_of(20),   // int8range
        4451 => Schema::array(range_of(23)),
        4532 => Schema::array(range_of(1700)),
        4533 => Schema::array(range_of(1114)),
        4534 => Schema::array(range_of(1184)),
        4535 => Schema::array(range_of(1082)),
        4536 => Schema::array(range_of(20)),
        _ => of_scalar(oid),
    }
}

/// Oids are those of `pg_type.dat`, which never change.
fn of_scalar(oid: u32) -> Schema {
    match oid {
        16 => Schema::new(Form::Boolean),
        17 => Schema::new(Form::Bytes),
        20 | 26 => Schema::new(Form::Int64), // int8, oid
        21 => Schema::new(Form::Int16),
        23 => Schema::new(Form::Int32),
        700 => Schema::new(Form::Float32),
        701 => Schema::new(Form::Float64),
        114 | 3802 => Schema::semantic(Form::String, JSON),
        142 => Schema::semantic(Form::String, XML),
        1184 => Schema::semantic(Form::String, ZONED_TIMESTAMP),
        1186 => Schema::semantic(Form::String, INTERVAL),
        2950 => Schema::semantic(Form::String, UUID),
        _ => Schema::new(Form::String),
    }
}

fn range(bound: Schema, path: &str) -> Schema {
    let fields = vec![
        Field::new("lower", bound.clone().optional()),
        Field::new("upper", bound.optional()),
        Field::new("bounds", Schema::new(Form::String).optional()),
        Field::new("empty", Schema::new(Form::Boolean)),
    ];
    Schema::new(Form::Struct(fields)).named(path)
}
