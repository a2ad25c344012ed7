//! What is taken of the source and what becomes of it on the way: columns, values, keys, topics.
//!
//! ```text
//! table ─▶ route   topic, partitions, record key
//!       └▶ columns ─▶ transforms   excluded, masked, hashed, truncated
//! ```
//!
//! Pure. The encoder asks for the transforms of each table it compiles, so that none can be forgotten: a
//! value is masked before its bytes leave the process, in snapshot and stream, key and value alike.

mod columns;
mod messages;
mod outbox;
mod pattern;
mod route;
mod transform;

use sha2::{Digest, Sha256};

pub use columns::Columns;
pub use messages::Messages;
pub(super) use outbox::has_type;
pub use outbox::{OnUpdate, Outbox, Placed, RouteError, Routed};
pub use pattern::{Pattern, included_and_excluded};
pub use route::Route;
pub use transform::{Transform, TransformRule};

use std::collections::HashMap;

use super::debezium::NameAdjustment;
use super::table::{ColumnShape, ReplicaIdentity, Table, TypeShape};

/// Everything that the configuration says of columns, values, keys and topics.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// Which columns are captured.
    pub columns: Columns,
    /// Which messages are published.
    pub messages: Messages,
    /// What becomes of values; the first rule that matches a column holds.
    pub transforms: Vec<TransformRule>,
    /// Where changes go; the first route that matches a table holds.
    pub routes: Vec<Route>,
    /// Tables whose rows are events, each for the topic that it names.
    pub outbox: Option<Outbox>,
    /// What an incompatible change of a table does; the first policy that matches it holds.
    pub policies: Vec<Policy>,
    /// What it does where none matches.
    pub stop_on_change: bool,
    /// What becomes of columns' names.
    pub names: NameAdjustment,
    /// Hash of all this as it was written, salt included.
    pub digest: String,
}

/// What an incompatible change of some tables does.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Patterns `schema.table`.
    pub tables: Vec<Pattern>,
    /// The stream ends; otherwise it goes on.
    pub stop: bool,
}

/// A table whose changes cannot be what the configuration asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Rows with different keys would look alike.
    #[error(
        "table {table}: column {column} is {how}, but is part of the record key, which must tell rows \
         apart: take it out of that pattern, hash it, or choose another key with [[route]] key"
    )]
    KeyTransformed {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
        /// What would become of it.
        how: &'static str,
    },
    /// Two columns would become one field of the events.
    #[error(
        "table {table}: columns {one} and {other} would both be the field {field}: leave one of them out with \
         source.columns, or choose another format.name_adjustment"
    )]
    FieldShared {
        /// Schema and table.
        table: String,
        /// The first column.
        one: String,
        /// Another column.
        other: String,
        /// What both would be called.
        field: String,
    },
    /// A configured key names a column that is not published.
    #[error(
        "table {table}: [[route]] key names column {column}, which the table does not have or the \
         publication does not publish"
    )]
    KeyMissing {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// The server does not send a configured key's old values.
    #[error(
        "table {table}: [[route]] key names column {column}, whose old value the server does not send: \
         run alter table {table} replica identity full, or use an index that holds it as the identity"
    )]
    KeyNotSent {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
    /// An outbox lacks a column that its rows are routed with.
    #[error(
        "table {table}: outbox.{key} names column {column}, which the table does not have, or which is not \
         published or captured"
    )]
    OutboxColumn {
        /// Schema and table.
        table: String,
        /// The key of `[outbox]`.
        key: &'static str,
        /// Column.
        column: String,
    },
    /// A column cannot be what `[outbox]` takes it for.
    #[error("table {table}: outbox.{key} names column {column}, whose type is not {expected}")]
    OutboxType {
        /// Schema and table.
        table: String,
        /// The key of `[outbox]`.
        key: &'static str,
        /// Column.
        column: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// Where a row goes is not hidden.
    #[error(
        "table {table}: column {column} is {how}, but is outbox.{key}, which says where a row goes: take it \
         out of that pattern"
    )]
    OutboxTransformed {
        /// Schema and table.
        table: String,
        /// The key of `[outbox]`.
        key: &'static str,
        /// Column.
        column: String,
        /// What would become of it.
        how: &'static str,
    },
    /// Only text can be cut.
    #[error(
        "table {table}: column {column} cannot be truncated, since it is not text: mask or hash it"
    )]
    NotText {
        /// Schema and table.
        table: String,
        /// Column.
        column: String,
    },
}

impl Selection {
    /// What becomes of the table's columns, each by its index; empty when nothing does.
    pub fn transforms(&self, table: &Table) -> Vec<Option<Transform>> {
        let transform =
            |column: &ColumnShape| self.transform(&table.schema, &table.name, &column.name);
        let transforms: Vec<Option<Transform>> = table.columns.iter().map(transform).collect();
        if transforms.iter().all(Option::is_none) {
            return Vec::new();
        }
        transforms
    }

    /// What becomes of one column.
    pub fn transform(&self, schema: &str, table: &str, column: &str) -> Option<Transform> {
        if !self.columns.captures(schema, table, column) {
            return Some(Transform::Excluded);
        }
        let names = [schema, table, column];
        let rule = self
            .transforms
            .iter()
            .find(|rule| rule.columns.iter().any(|pattern| pattern.matches(&names)));
        rule.map(|rule| rule.transform.clone())
    }

    /// The route of a table.
    pub fn route(&self, schema: &str, table: &str) -> Option<&Route> {
        self.routes
            .iter()
            .find(|route| route.matches(schema, table))
    }

    /// What a table is an outbox of, if it is one.
    pub fn outbox(&self, schema: &str, table: &str) -> Option<&Outbox> {
        let outbox = self.outbox.as_ref();
        outbox.filter(|outbox| outbox.matches(schema, table))
    }

    /// The template of its topic's name; `None` for `prefix.schema.table`.
    pub fn topic(&self, schema: &str, table: &str) -> Option<&str> {
        self.route(schema, table)?.topic.as_deref()
    }

    /// The field that keys of this table carry beside their columns, as Debezium's
    /// `ByLogicalTableRouter` does, where its topic may hold other tables' too.
    pub fn key_field(
        &self,
        prefix: &str,
        schema: &str,
        table: &str,
    ) -> Option<(&'static str, String)> {
        let route = self.route(schema, table)?;
        (route.is_shared() && route.table_in_key)
            .then(|| (TABLE_FIELD, format!("{prefix}.{schema}.{table}")))
    }

    /// The table with the key that is configured for it, once that is known to do. `identity` are the
    /// columns that the server sends of old rows.
    pub fn select(&self, table: Table, identity: &[usize]) -> Result<Table, SelectionError> {
        let key = match self.route(&table.schema, &table.name) {
            Some(route) if !route.key.is_empty() => chosen_key(&route.key, &table, identity)?,
            _ => table.key.clone(),
        };
        let table = Table { key, ..table };
        self.check(&table)?;
        match self.outbox(&table.schema, &table.name) {
            Some(outbox) => outbox.check(&table, &self.transforms(&table))?,
            None => self.check_fields(&table)?,
        }
        Ok(table)
    }

    /// That no two columns become one field.
    fn check_fields(&self, table: &Table) -> Result<(), SelectionError> {
        if self.names == NameAdjustment::None {
            return Ok(());
        }
        let mut taken: HashMap<String, &str> = HashMap::new();
        let transforms = self.transforms(table);
        for (index, column) in table.columns.iter().enumerate() {
            if transforms.get(index) == Some(&Some(Transform::Excluded)) {
                continue;
            }
            let field = self.names.field(&column.name);
            if let Some(one) = taken.insert(field.clone(), &column.name) {
                return Err(SelectionError::FieldShared {
                    table: full_name(table),
                    one: one.to_owned(),
                    other: column.name.clone(),
                    field,
                });
            }
        }
        Ok(())
    }

    fn check(&self, table: &Table) -> Result<(), SelectionError> {
        for (index, transform) in self.transforms(table).into_iter().enumerate() {
            let (Some(transform), Some(column)) = (transform, table.columns.get(index)) else {
                continue;
            };
            let names = || (full_name(table), column.name.clone());
            if table.key.contains(&index) && !matches!(transform, Transform::Hash(_)) {
                let (table, column) = names();
                let how = transform.verb();
                return Err(SelectionError::KeyTransformed { table, column, how });
            }
            if matches!(transform, Transform::Truncate(_)) && !is_text(column) {
                let (table, column) = names();
                return Err(SelectionError::NotText { table, column });
            }
        }
        Ok(())
    }

    /// Whether an incompatible change of the table ends the stream.
    pub fn stops_on_change(&self, schema: &str, table: &str) -> bool {
        let matches = |policy: &&Policy| {
            policy
                .tables
                .iter()
                .any(|pattern| pattern.matches(&[schema, table]))
        };
        let policy = self.policies.iter().find(matches);
        policy.map_or(self.stop_on_change, |policy| policy.stop)
    }

    /// Whether changes of the table are other than they would be without any of this.
    pub fn touches(&self, schema: &str, table: &str) -> bool {
        let names = [schema, table];
        let transformed = self.transforms.iter().flat_map(|rule| &rule.columns);
        self.route(schema, table).is_some()
            || self.outbox(schema, table).is_some()
            || self.columns.touches(schema, table)
            || transformed
                .into_iter()
                .any(|pattern| pattern.matches(&names))
    }
}

/// The field of [`Selection::key_field`].
pub const TABLE_FIELD: &str = "__dbz__physicalTableIdentifier";

fn chosen_key(
    names: &[String],
    table: &Table,
    identity: &[usize],
) -> Result<Vec<usize>, SelectionError> {
    let sent = |index: usize| {
        // There is never an old row then.
        table.replica_identity == ReplicaIdentity::Nothing || identity.contains(&index)
    };
    let index = |name: &String| {
        let found = table.columns.iter().position(|column| column.name == *name);
        let (table, column) = (full_name(table), name.clone());
        match found {
            None => Err(SelectionError::KeyMissing { table, column }),
            Some(index) if !sent(index) => Err(SelectionError::KeyNotSent { table, column }),
            Some(index) => Ok(index),
        }
    };
    names.iter().map(index).collect()
}

/// Of the character types, or of one made of them.
fn is_text(column: &ColumnShape) -> bool {
    let builtin = |oid: u32| matches!(oid, 19 | 25 | 1042 | 1043); // name, text, bpchar, varchar
    match &column.resolved {
        None => builtin(column.type_oid),
        Some(TypeShape::Builtin(oid)) => builtin(*oid),
        Some(TypeShape::Extension(name)) => name == "citext",
        Some(
            TypeShape::Enum(_)
            | TypeShape::Array { .. }
            | TypeShape::Composite(_)
            | TypeShape::Range(_)
            | TypeShape::Multirange(_)
            | TypeShape::Opaque,
        ) => false,
    }
}

fn full_name(table: &Table) -> String {
    format!("{}.{}", table.schema, table.name)
}

/// Hash of parts that are told apart, in short.
pub fn digest<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    // Half of it tells them apart.
    let half = hash.finalize().into_iter().take(8);
    half.fold(0_u64, |head, byte| head << 8 | u64::from(byte))
        .to_string()
}

#[cfg(test)]
mod tests;
