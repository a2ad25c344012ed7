//! Versions of tables' schemas: what the schema-changes topic holds, and what is new to it.
//!
//! A version is committed in an earlier Kafka transaction than the first row that it describes, so that
//! whoever sees the row finds it. The topic is read back at a start. The stream may then begin before
//! versions that are in it already, since their rows were not: so a table is compared with the version
//! that holds *at its place*, and what is written there once is never written again.
//!
//! A relation message is as of its place in the log, the catalog as of now. Where later versions are
//! known, or the catalog shows another table already, what it says tells nothing of the place: it is not
//! compared, and nullability and defaults are those of the version before.

mod compatibility;
mod version;

use std::collections::HashMap;

pub(crate) use version::{SchemaVersion, VersionColumn};

use compatibility::incompatibility;

use super::Error;
use crate::event::selection::Selection;

/// The versions known of every table, by schema and name.
#[derive(Debug, Default)]
pub(crate) struct SchemaHistory {
    /// In the order of their positions.
    tables: HashMap<(String, String), Vec<SchemaVersion>>,
}

impl SchemaHistory {
    /// Takes a version that is in the topic.
    pub(crate) fn add(&mut self, version: SchemaVersion) {
        let name = (version.schema.clone(), version.table.clone());
        let versions = self.tables.entry(name).or_default();
        let place = versions.partition_point(|known| known.position <= version.position);
        versions.insert(place, version);
    }

    /// What has to be written before a row of the table as it is described at its position: nothing if
    /// that is known. An error if the table has become what its policy does not allow. `current`: the
    /// catalog shows the same columns.
    pub(crate) fn admit(
        &mut self,
        mut described: SchemaVersion,
        current: bool,
        selection: &Selection,
    ) -> Result<Option<SchemaVersion>, Error> {
        let name = (described.schema.clone(), described.table.clone());
        let versions = self.tables.get(&name).map_or(&[][..], Vec::as_slice);
        let later = versions.partition_point(|known| known.position <= described.position);
        let held = later.checked_sub(1).and_then(|last| versions.get(last));
        if let Some(held) = held {
            let is_current = current && later == versions.len();
            if held.is_same(&described) || (!is_current && held.has_same_columns(&described)) {
                return Ok(None);
            }
            if !current {
                described.take_facts_of(held);
            }
            refuse(held, &described, selection)?;
        }
        let last = versions.iter().map(|known| known.version).max();
        let version = SchemaVersion {
            version: last.unwrap_or(0) + 1,
            ..described
        };
        self.add(version.clone());
        Ok(Some(version))
    }
}

fn refuse(
    held: &SchemaVersion,
    described: &SchemaVersion,
    selection: &Selection,
) -> Result<(), Error> {
    let change = incompatibility(held, described);
    match change.filter(|_| selection.stops_on_change(&held.schema, &held.table)) {
        None => Ok(()),
        Some(change) => Err(Error::SchemaIncompatible {
            table: format!("{}.{}", held.schema, held.table),
            change,
            position: described.position,
        }),
    }
}

#[cfg(test)]
mod tests;
