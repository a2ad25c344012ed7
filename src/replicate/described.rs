//! The published tables as a snapshot reads and records them.

use super::Error;
use super::row_store::FedTable;
use super::snapshot::{KeyColumn, ReadTable, SnapshotTable};
use super::start::Opening;
use super::tables::TypeNames;
use crate::event::selection::Columns;
use crate::event::{Encoder, KeyOrder, KeyRange, Plan, Position, Table};
use crate::kafka::{KeyPart, TableProgress};
use crate::postgres::{self, PublishedTable, TableKind, TableShape};

/// A published table: how it is read, and what is recorded of it.
pub(super) struct Described {
    pub(super) read: ReadTable,
    pub(super) progress: TableProgress,
    /// What the row store has to know of it; none if its rows are not stored.
    pub(super) fed: Option<FedTable>,
}

/// Tables that are looked up together.
const TABLES_TOGETHER: usize = 500;

impl Opening<'_> {
    /// Describes them as they are now, for the snapshot that was begun there and reads at `reading`.
    pub(super) async fn describe_tables(
        &mut self,
        begun: Position,
        reading: Position,
    ) -> Result<Vec<Described>, Error> {
        let encoder = self.encoder()?;
        let mut described = Vec::new();
        let mut names = TypeNames::default();
        let published = std::mem::take(&mut self.publication.tables);
        for published in published.chunks(TABLES_TOGETHER) {
            let ids: Vec<u32> = published.iter().map(|table| table.id).collect();
            let catalog = self.tables.catalog();
            let mut shapes = postgres::table_shapes(catalog, &ids).await?;
            let storages = postgres::table_storages(catalog, &ids).await?;
            let mut selected = Vec::new();
            // One that has been dropped meanwhile is left out.
            for published in published {
                if let Some(shape) = shapes.remove(&published.id) {
                    let shape = shape.with_columns(&published.columns);
                    let selection = &self.context.settings.selection;
                    let table = selection.select(shape.to_table(), &shape.identity())?;
                    selected.push((published, shape, encoder.published(&table), table));
                }
            }
            let shown = selected.iter().map(|(_, _, shown, _)| shown);
            self.tables.name_types(&mut names, shown).await?;
            for (published, shape, shown, table) in selected {
                // Nobody reads an outbox's rows as they are.
                if !self.tables.is_outbox(&shown.schema, &shown.name) {
                    self.tables.note_schema(&shown, reading, true, &names)?;
                }
                let storage = storages.get(&published.id).map_or("", String::as_str);
                let progress = (begun, storage);
                described.push(
                    self.described(&encoder, published, &shape, &table, progress)
                        .await?,
                );
            }
        }
        self.publication.tables = published;
        Ok(described)
    }

    async fn described(
        &mut self,
        encoder: &Encoder,
        published: &PublishedTable,
        shape: &TableShape,
        table: &Table,
        (begun, storage): (Position, &str),
    ) -> Result<Described, Error> {
        let (plan, partitions) = if self.tables.is_outbox(&shape.schema, &shape.name) {
            (encoder.compile(table, Plan::ROUTED), 0)
        } else {
            let topic = self.tables.table_topic(&shape.schema, &shape.name).await?;
            let mut plan = encoder.compile(table, topic.index);
            self.tables.identify(&mut plan).await?;
            (plan, topic.partitions)
        };
        let read = snapshot_table(shape, published, &self.context.settings.selection.columns);
        Ok(Described {
            fed: self.fed_table(shape, published).await?,
            progress: TableProgress {
                begun,
                table: published.table.to_string(),
                identity: identity(storage, &read),
                key: key_parts(shape, &read, &shape.to_table().key, table),
                rows_estimate: u64::try_from(published.rows_estimate).unwrap_or(0),
            },
            read: ReadTable {
                id: published.id,
                plan,
                partitions,
                rows_estimate: published.rows_estimate,
                bytes_estimate: published.bytes,
                remaining: vec![KeyRange::default()],
                table: read,
            },
        })
    }
}

/// What must be the same for the finished ranges of a table to count.
fn identity(storage: &str, table: &SnapshotTable) -> String {
    let key: Vec<String> = table
        .key
        .iter()
        .map(|column| format!("{} {}", column.name, column.type_name))
        .collect();
    let filter = table.row_filter.as_deref().unwrap_or_default();
    format!("storage {storage} key {} filter {filter}", key.join(", "))
}

/// The key that a table is read by, with its order. Where records have another key, none is told: rows of two
/// ranges may have the same record key, and a fence would tell apart what consumers do not.
fn key_parts(
    shape: &TableShape,
    read: &SnapshotTable,
    own_key: &[usize],
    table: &Table,
) -> Vec<KeyPart> {
    let is_record_key = own_key == table.key;
    let column = |index: usize| shape.columns.get(index);
    let parts = read.key.iter().map(|key| KeyPart {
        name: key.name.clone(),
        order: column(key.index)
            .filter(|_| is_record_key)
            .and_then(|column| KeyOrder::of(&column.shape, column.bytewise)),
    });
    parts.collect()
}

/// A table is cut into chunks by the key that its old rows carry: by that a streamed change tells which chunk
/// it is of. One whose key is not captured is read in one piece.
pub(super) fn snapshot_table(
    shape: &TableShape,
    published: &PublishedTable,
    captured: &Columns,
) -> SnapshotTable {
    let columns: Vec<Option<String>> = shape
        .columns
        .iter()
        .map(|column| column.shape.name.clone())
        .map(|name| {
            let captured = captured.captures(&shape.schema, &shape.name, &name);
            captured.then_some(name)
        })
        .collect();
    let key = shape.to_table().key.into_iter().map(|index| {
        let column = shape.columns.get(index)?;
        columns.get(index)?.as_ref()?;
        Some(KeyColumn {
            name: column.shape.name.clone(),
            type_name: column.type_name.clone(),
            index,
        })
    });
    SnapshotTable {
        schema: shape.schema.clone(),
        name: shape.name.clone(),
        key: key.collect::<Option<Vec<KeyColumn>>>().unwrap_or_default(),
        columns,
        partitioned: shape.kind == TableKind::Partitioned,
        row_filter: published.row_filter.clone(),
    }
}
