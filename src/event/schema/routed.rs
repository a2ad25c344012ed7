//! The records of an outbox: a column each as key and value, or a struct of the payload and what stands beside.

use super::record::field;
use super::{Field, Form, Schema, Schemas, topic_characters};
use crate::event::format::Format;
use crate::event::selection::{Outbox, Placed};
use crate::event::table::Table;

/// What the records of all of an outbox's topics have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::event) struct RoutedSchemas {
    key: Schema,
    payload: Schema,
    fields: Vec<Field>,
    /// `shop.public.outbox`
    table: String,
}

impl RoutedSchemas {
    /// Those of a topic: structs are named after what its rows are routed by.
    pub(in crate::event) fn of(&self, routed: &str) -> Schemas {
        let value = if self.fields.is_empty() {
            self.payload.clone()
        } else {
            let payload = Field::new("payload", self.payload.clone());
            let fields = [payload].into_iter().chain(self.fields.iter().cloned());
            let name = format!("{}.{routed}.Value", self.table);
            Schema::new(Form::Struct(fields.collect())).named(&name)
        };
        Schemas {
            key: Some(self.key.clone()),
            value,
        }
    }
}

/// The schemas of an outbox's columns, as those of its rows would have them.
pub(in crate::event) fn routed_schemas(
    table: &Table,
    prefix: &str,
    outbox: &Outbox,
    format: &Format,
) -> RoutedSchemas {
    let name = topic_characters(&format!("{prefix}.{}.{}", table.schema, table.name));
    let record = format!("{name}.Value");
    let schema = |name: &str| {
        let place = table.columns.iter().position(|column| column.name == name);
        let found = place.and_then(|place| {
            let column = table.columns.get(place)?;
            field(column, &record, format, table.key.contains(&place))
        });
        found.map_or_else(
            || Schema::new(Form::String).optional(),
            |field| field.schema,
        )
    };
    let placed = |placed: &Placed| Field::new(&placed.alias, schema(&placed.column));
    RoutedSchemas {
        key: schema(&outbox.key),
        payload: schema(&outbox.payload),
        fields: outbox.fields.iter().map(placed).collect(),
        table: name,
    }
}
