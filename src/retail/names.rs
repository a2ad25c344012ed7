//! Columns under their owner's names, read into types whose fields have the roles' names.
//!
//! ```text
//! {"Qty": 40, "on_hand": 1}  ── Qty is on_hand ──▶  {"on_hand": 40, "": 1}  ──▶  LevelColumns
//! ```
//!
//! A column that the mapping does not name is called nothing, whatever its owner calls it, so that it is never
//! taken for another. Nothing is allocated for a row: this is done for every record.

use std::marker::PhantomData;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use crate::config::mapping::MappedTable;

/// What a column is called that the mapping does not name: like no field.
const NOTHING: &str = "";

/// The names of one table's columns.
#[derive(Clone, Debug)]
pub(super) struct Names {
    columns: Vec<Name>,
    key: String,
}

/// One column's.
#[derive(Clone, Debug)]
struct Name {
    owners: String,
    role: &'static str,
}

impl Names {
    pub(super) fn new(table: &MappedTable) -> Names {
        let names = table.columns.iter().map(|column| Name {
            owners: column.name.clone(),
            role: column.role.name,
        });
        Names {
            columns: names.collect(),
            key: table.key().collect::<Vec<_>>().join(" and "),
        }
    }

    /// The columns of the key, for people.
    pub(super) fn key(&self) -> &str {
        &self.key
    }

    /// Reads an object whose members have the owner's names.
    pub(super) fn read<T: DeserializeOwned>(&self, json: &[u8]) -> Result<T, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(json);
        let row = Renamed {
            names: self,
            row: PhantomData,
        };
        let row = row.deserialize(&mut json)?;
        json.end()?;
        Ok(row)
    }

    fn find(&self, owners: &str) -> Option<&Name> {
        self.columns.iter().find(|name| name.owners == owners)
    }
}

/// A type with the roles' names.
struct Renamed<'n, T> {
    names: &'n Names,
    row: PhantomData<T>,
}

impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Renamed<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for Renamed<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object of columns")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(Columns {
            map,
            names: self.names,
            current: None,
        }))
    }
}

/// The object's members, each called by its role.
struct Columns<'n, A> {
    map: A,
    names: &'n Names,
    current: Option<&'n Name>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Columns<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        let Some(found) = self.map.next_key_seed(Lookup(self.names))? else {
            return Ok(None);
        };
        self.current = found;
        let role = found.map_or(NOTHING, |name| name.role);
        seed.deserialize(StrDeserializer::new(role)).map(Some)
    }

    // What is wrong with a value never says the value.
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        let current = self.current;
        self.map
            .next_value_seed(seed)
            .map_err(|error| match current {
                Some(name) => A::Error::custom(format_args!("column {}: {error}", name.owners)),
                None => error,
            })
    }
}

/// The name that a member's is, if it is any.
struct Lookup<'n>(&'n Names);

impl<'de, 'n> DeserializeSeed<'de> for Lookup<'n> {
    type Value = Option<&'n Name>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl<'n> Visitor<'_> for Lookup<'n> {
    type Value = Option<&'n Name>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a column's name")
    }

    fn visit_str<E: Error>(self, owners: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(owners))
    }
}
