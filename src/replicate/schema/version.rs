//! One version of a table's schema, as its record on the topic has it.

use serde::{Deserialize, Serialize};

use crate::event::{ColumnShape, Position, ReplicaIdentity, Table};

/// A table from a position on, until the next version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SchemaVersion {
    /// Schema name.
    pub(crate) schema: String,
    /// Table name.
    pub(crate) table: String,
    /// Counted from 1 for each table.
    pub(crate) version: u64,
    /// The first change, or the snapshot, that it describes.
    pub(crate) position: Position,
    /// Where the table's events are.
    pub(crate) topic: String,
    /// `default`, `nothing`, `full` or `index`.
    pub(crate) replica_identity: String,
    /// Columns of the record key; empty without one.
    pub(crate) key: Vec<String>,
    /// The columns of events, in their order.
    pub(crate) columns: Vec<VersionColumn>,
}

/// A column of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VersionColumn {
    /// Column name.
    pub(crate) name: String,
    /// The type as SQL writes it, `numeric(12,2)`.
    #[serde(rename = "type")]
    pub(crate) type_name: String,
    /// `pg_attribute.atttypid`.
    pub(crate) type_oid: u32,
    /// `pg_attribute.atttypmod`, −1 for none.
    pub(crate) type_modifier: i32,
    /// Whether it may be null, as far as the catalog knew.
    pub(crate) nullable: bool,
    /// Its default's expression.
    pub(crate) default: Option<String>,
}

impl SchemaVersion {
    /// Describes a table as it is published; `type_names` are those of its columns.
    pub(crate) fn of(
        table: &Table,
        topic: &str,
        position: Position,
        type_names: Vec<String>,
    ) -> Self {
        let key = table
            .key
            .iter()
            .filter_map(|index| table.columns.get(*index));
        SchemaVersion {
            schema: table.schema.clone(),
            table: table.name.clone(),
            version: 0,
            position,
            topic: topic.to_owned(),
            replica_identity: identity(table.replica_identity).to_owned(),
            key: key.map(|column| column.name.clone()).collect(),
            columns: table
                .columns
                .iter()
                .zip(type_names)
                .map(|(column, type_name)| VersionColumn::of(column, type_name))
                .collect(),
        }
    }

    /// Whether it says the same of the table.
    pub(super) fn is_same(&self, other: &SchemaVersion) -> bool {
        let placed = SchemaVersion {
            version: self.version,
            position: self.position,
            ..other.clone()
        };
        *self == placed
    }

    /// Whether it has the columns that a relation message would show.
    pub(super) fn has_same_columns(&self, other: &SchemaVersion) -> bool {
        let shown = |version: &SchemaVersion| -> Vec<(String, u32, i32)> {
            version
                .columns
                .iter()
                .map(|column| (column.name.clone(), column.type_oid, column.type_modifier))
                .collect()
        };
        self.replica_identity == other.replica_identity && shown(self) == shown(other)
    }

    /// Takes over what only a catalog says, of the columns that are as they were.
    pub(super) fn take_facts_of(&mut self, held: &SchemaVersion) {
        for column in &mut self.columns {
            let same = |other: &&VersionColumn| {
                (&other.name, other.type_oid) == (&column.name, column.type_oid)
            };
            if let Some(held) = held.columns.iter().find(same) {
                column.nullable = held.nullable;
                column.default.clone_from(&held.default);
            }
        }
    }

    /// Key and value of its record.
    pub(crate) fn to_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let key = serde_json::json!({"schema": self.schema, "table": self.table});
        // Serialising plain numbers and strings into memory does not fail.
        (
            key.to_string().into_bytes(),
            serde_json::to_vec(self).unwrap_or_default(),
        )
    }
}

impl VersionColumn {
    fn of(column: &ColumnShape, type_name: String) -> Self {
        VersionColumn {
            name: column.name.clone(),
            type_name,
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            nullable: !column.facts.not_null,
            default: column
                .facts
                .default
                .as_ref()
                .map(|default| default.expression.clone()),
        }
    }
}

fn identity(identity: ReplicaIdentity) -> &'static str {
    match identity {
        ReplicaIdentity::Default => "default",
        ReplicaIdentity::Nothing => "nothing",
        ReplicaIdentity::Full => "full",
        ReplicaIdentity::Index => "index",
    }
}
