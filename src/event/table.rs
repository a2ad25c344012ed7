//! A table's shape: all that the encoder has to know of it before its first row.
//!
//! It comes from a relation message while streaming and from the catalog in a snapshot; what a
//! relation message lacks (the primary key, what lies behind a type's oid, defaults) the catalog adds.

use super::default::ColumnDefault;

use serde::{Deserialize, Serialize};

/// What the server sends of the old row, `REPLICA IDENTITY …` of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaIdentity {
    /// The primary key's columns.
    Default,
    /// Nothing: a table that is only ever inserted into.
    Nothing,
    /// The whole row.
    Full,
    /// The columns of a chosen unique index.
    Index,
}

impl ReplicaIdentity {
    /// Reads the letter of `pg_class.relreplident` and of relation messages.
    pub fn from_letter(letter: u8) -> Option<Self> {
        match letter {
            b'd' => Some(ReplicaIdentity::Default),
            b'n' => Some(ReplicaIdentity::Nothing),
            b'f' => Some(ReplicaIdentity::Full),
            b'i' => Some(ReplicaIdentity::Index),
            _ => None,
        }
    }
}

/// A table, or rather one version of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Schema name.
    pub schema: String,
    /// Table name.
    pub name: String,
    /// What the server sends of old rows.
    pub replica_identity: ReplicaIdentity,
    /// The published columns in the order in which rows carry them.
    pub columns: Vec<ColumnShape>,
    /// Indexes into `columns` of the record key, in the key's order; empty for a null key. See
    /// [`record_key`].
    pub key: Vec<usize>,
}

/// A column's name and type, and what else is known of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnShape {
    /// Column name.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, of a domain its base type's; −1 for none.
    pub type_modifier: i32,
    /// What the catalog says of a type that PostgreSQL was not born with (oid from 16384); `None`
    /// for built-in types, and for types the catalog was not asked about, which go as their text.
    pub resolved: Option<TypeShape>,
    /// What only the catalog says of it.
    #[serde(default)]
    pub facts: ColumnFacts,
}

/// What the catalog says of a column beside its type. It is as of now, not as of a change's place in the
/// log; a column that it no longer has is nullable and without default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnFacts {
    /// `not null`, of the column or of the domain that is its type.
    pub not_null: bool,
    /// Its default. A generated column has none.
    pub default: Option<ColumnDefault>,
}

/// What lies behind the oid of a type that somebody created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeShape {
    /// The built-in type of this oid. A domain is described as its base type.
    Builtin(u32),
    /// An enumeration of these.
    Enum(Vec<String>),
    /// A base type of an extension, by its name (`pg_type.typname`): `citext`, `ltree`.
    Extension(String),
    /// An array.
    Array {
        /// The element's type.
        element: Box<TypeShape>,
        /// What separates elements, `pg_type.typdelim` of the element.
        delimiter: u8,
    },
    /// A composite, its attributes in their order.
    Composite(Vec<(String, TypeShape)>),
    /// A range of that subtype.
    Range(Box<TypeShape>),
    /// A multirange of that subtype.
    Multirange(Box<TypeShape>),
    /// Anything else: its text.
    Opaque,
}

/// The columns that key a table's records, given its primary key and the columns that its replica
/// identity sends of old rows (for instance those that a relation message flags).
///
/// The key of a deleted row must be readable from what the server sends of it. So the primary key is
/// the record key if the replica identity contains it; a table whose identity is another unique index
/// is keyed by that index's columns. Without either the key is null.
pub fn record_key(
    primary_key: &[usize],
    replica_identity: ReplicaIdentity,
    identity: &[usize],
) -> Vec<usize> {
    match replica_identity {
        ReplicaIdentity::Default | ReplicaIdentity::Nothing | ReplicaIdentity::Full => {
            primary_key.to_vec()
        }
        ReplicaIdentity::Index => {
            let covered = primary_key.iter().all(|column| identity.contains(column));
            let usable = covered && !primary_key.is_empty();
            if usable {
                primary_key.to_vec()
            } else {
                identity.to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_key_can_be_read_from_an_old_row() {
        use ReplicaIdentity::{Default, Full, Index, Nothing};
        for (primary_key, replica_identity, identity, expected) in [
            (&[0][..], Default, &[0][..], &[0][..]),
            (&[2, 0], Full, &[0, 1, 2], &[2, 0]), // full flags every column
            (&[0], Nothing, &[], &[0]),           // there is never an old row
            (&[], Default, &[], &[]),
            (&[], Full, &[0, 1], &[]), // a whole row is not a key
            (&[0], Index, &[1], &[1]),
            (&[0], Index, &[0, 1], &[0]),
            (&[], Index, &[1, 2], &[1, 2]),
        ] {
            assert_eq!(
                record_key(primary_key, replica_identity, identity),
                expected,
                "{primary_key:?} {replica_identity:?} {identity:?}"
            );
        }
    }

    #[test]
    fn replica_identity_letters() {
        assert_eq!(
            ReplicaIdentity::from_letter(b'f'),
            Some(ReplicaIdentity::Full)
        );
        assert_eq!(ReplicaIdentity::from_letter(b'x'), None);
    }
}
