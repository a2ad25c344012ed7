//! Relation and type messages: what rows of a table look like from here on.
//!
//! The server sends a relation message before the first change of a table in a session and again
//! after its definition changed, possibly in the middle of a transaction.

use super::cursor::{Cursor, ParseError};
use crate::event::{ColumnFacts, ColumnShape, ReplicaIdentity, Table, record_key};

/// A table as the server announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// `pg_class.oid`; later messages refer to the table by it.
    pub id: u32,
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// What is sent of old rows.
    pub replica_identity: ReplicaIdentity,
    /// The published columns.
    pub columns: Vec<RelationColumn>,
}

/// A column as the server announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Column name.
    pub name: String,
    /// Part of the replica identity; with `REPLICA IDENTITY FULL` every column is.
    pub identity: bool,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, −1 for none.
    pub type_modifier: i32,
}

/// A type that PostgreSQL was not born with; sent before the relation that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserType {
    /// `pg_type.oid`.
    pub id: u32,
    /// Schema name.
    pub schema: String,
    /// Type name.
    pub name: String,
}

impl Relation {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let id = cursor.u32("relation id")?;
        let schema = schema_name(cursor.text("schema name")?);
        let name = cursor.text("table name")?.to_owned();
        let offset = cursor.offset();
        let letter = cursor.u8("replica identity")?;
        let replica_identity = ReplicaIdentity::from_letter(letter).ok_or(ParseError::Unknown {
            field: "replica identity",
            value: letter.into(),
            offset,
        })?;
        let mut columns = Vec::new();
        for _ in 0..cursor.count16("column count")? {
            columns.push(RelationColumn::read(cursor)?);
        }
        Ok(Relation {
            id,
            schema,
            name,
            replica_identity,
            columns,
        })
    }

    /// Indexes of the columns that are part of the replica identity.
    pub fn identity(&self) -> Vec<usize> {
        self.columns
            .iter()
            .enumerate()
            .filter_map(|(index, column)| column.identity.then_some(index))
            .collect()
    }

    /// Where the named columns stand, in the order of the names; those not published are left out.
    pub fn indexes_of<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<usize> {
        names
            .into_iter()
            .filter_map(|name| self.columns.iter().position(|column| column.name == name))
            .collect()
    }

    /// The encoder's view of it. `primary_key` are indexes into the columns; `complete` adds to a column
    /// what the catalog knows.
    pub fn table(
        &self,
        primary_key: &[usize],
        complete: impl FnMut(ColumnShape) -> ColumnShape,
    ) -> Table {
        Table {
            schema: self.schema.clone(),
            name: self.name.clone(),
            replica_identity: self.replica_identity,
            columns: self
                .columns
                .iter()
                .map(|column| ColumnShape {
                    name: column.name.clone(),
                    type_oid: column.type_oid,
                    type_modifier: column.type_modifier,
                    resolved: None,
                    facts: ColumnFacts::default(),
                })
                .map(complete)
                .collect(),
            key: record_key(primary_key, self.replica_identity, &self.identity()),
        }
    }
}

impl RelationColumn {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        let offset = cursor.offset();
        let identity = match cursor.u8("column flags")? {
            0 => false,
            1 => true,
            flags => {
                let value = flags.into();
                return Err(ParseError::Unknown {
                    field: "column flags",
                    value,
                    offset,
                });
            }
        };
        Ok(RelationColumn {
            identity,
            name: cursor.text("column name")?.to_owned(),
            type_oid: cursor.u32("type oid")?,
            type_modifier: cursor.i32("type modifier")?,
        })
    }
}

impl UserType {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ParseError> {
        Ok(UserType {
            id: cursor.u32("type oid")?,
            schema: schema_name(cursor.text("schema name")?),
            name: cursor.text("type name")?.to_owned(),
        })
    }
}

/// The protocol leaves the name of `pg_catalog` empty.
fn schema_name(sent: &str) -> String {
    if sent.is_empty() {
        "pg_catalog".to_owned()
    } else {
        sent.to_owned()
    }
}
