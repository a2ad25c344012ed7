//! Rows of the source against the sink's images of them, end to end.
//!
//! ```text
//! source   snapshot of a temporary slot at C ─▶ rows of a range ─┐
//! Kafka    position record past C ─▶ the topic's ends            ├─▶ equal, unless the image is of C or later
//! sink     offsets at those ends ─▶ images of the range ─────────┘
//! ```
//!
//! The sink has applied everything below C by then. An image whose position is below C is therefore of the row as
//! the snapshot has it. One that is not has changed since, and is looked at again, at a new point; so is one that
//! differs, since to a snapshot that is older than a TRUNCATE or a rewriting ALTER TABLE the table looks empty.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::{Chunk, Image, Range};
use crate::config::mapping::MappedTable;
use crate::config::settings::{Kafka, Settings, Source};
use crate::connection::{self, Database, quote_identifier};
use crate::event::Position;
use crate::postgres::{self, TableName};
use crate::verify::rows::query;
use crate::verify::source::{self, Shaping, Table};
use crate::verify::value::Kind;
use crate::verify::{Error, topics};

/// How long the source's snapshot, the replicator and the consumer may each take.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the sink's offsets are looked at.
const POLL: Duration = Duration::from_millis(200);
/// How often a row that keeps changing is looked at.
const LOOKS_MAX: usize = 3;

/// What it works with.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) kafka: &'a Kafka,
    pub(super) settings: &'a Settings,
}

/// What is compared of one of the three tables.
struct Layout {
    image: &'static str,
    key: &'static [&'static str],
    /// The SQL that tells whether an image's row is present; where there is none, its columns tell it.
    present: &'static str,
    columns: Vec<Column>,
    topic: String,
    from: String,
}

/// A column of both.
struct Column {
    name: &'static str,
    kind: Kind,
    /// What the image has where the source has null.
    null: Option<&'static str>,
}

/// An image's row: whether it is present, the columns, and the position that they are of.
struct ImageRow {
    present: bool,
    columns: Vec<Option<String>>,
    position: Position,
}

type Rows<V> = BTreeMap<Vec<i64>, V>;

/// Compares the next rows.
pub(super) async fn chunk(
    sink: &Client,
    context: Context<'_>,
    image: Image,
    mut range: Range,
) -> Result<Chunk, Error> {
    let Context { source, kafka, .. } = context;
    let guard = begin(source).await?;
    let layout = Layout::of(&guard, context, image).await?;
    let last = context.settings.verify.chunk_rows - 1;
    let end = layout.end(sink, layout.image, &range, last).await;
    let ends = [
        end.map_err(query("looking for a chunk's end"))?,
        layout
            .end(&guard, &layout.from, &range, last)
            .await
            .map_err(source_query)?,
    ];
    for end in ends.into_iter().flatten() {
        range.upto = range.upto.min(end);
    }
    // A writer that waits for its lock would keep the slot from being made.
    drop(guard);
    let mut chunk = Chunk {
        end: range.end(),
        ..Chunk::default()
    };
    let mut again: Option<BTreeSet<Vec<i64>>> = None;
    for _ in 0..LOOKS_MAX {
        let (reader, point) = source::snapshot(source, PATIENCE).await?;
        let expected = layout.read_source(&reader, &range).await?;
        drop(reader);
        let record = source::reach(kafka, &source.slot, point, PATIENCE).await?;
        let point = Position::new(record.epoch, point, 0);
        await_applied(sink, kafka, &layout.topic).await?;
        let found = layout.read_images(sink, &range).await?;
        let keys: BTreeSet<&Vec<i64>> = expected.keys().chain(found.keys()).collect();
        let mut moved = BTreeSet::new();
        for key in keys {
            let image = found.get(key);
            let looked_at = again.as_ref().is_none_or(|again| again.contains(key));
            let same = layout.same(expected.get(key), image);
            let (first, has_moved) = (
                again.is_none(),
                image.is_some_and(|one| one.position >= point),
            );
            if looked_at && (has_moved || first && !same) {
                moved.insert(key.clone());
            } else if looked_at {
                chunk.rows += 1;
                if !same {
                    chunk.differs(layout.shown(key));
                }
            }
        }
        chunk.moving = moved.len() as u64;
        if moved.is_empty() {
            break;
        }
        again = Some(moved);
    }
    Ok(chunk)
}

async fn begin(source: &Source) -> Result<Database, Error> {
    let connected = connection::connect(&source.connection).await;
    let guard = connected.map_err(postgres::Error::from)?;
    guard.batch_execute("begin").await.map_err(source_query)?;
    Ok(guard)
}

/// Waits until the sink has applied everything that the topic holds now.
async fn await_applied(sink: &Client, kafka: &Kafka, topic: &str) -> Result<(), Error> {
    const STANDS: &str = "select partition, next_offset from consumer_offset where topic = $1";
    let deadline = Instant::now() + PATIENCE;
    let (asked, name) = (kafka.clone(), topic.to_owned());
    let ends = tokio::task::spawn_blocking(move || topics::ends(&asked, &name)).await??;
    loop {
        let rows = sink
            .query(STANDS, &[&topic])
            .await
            .map_err(query("reading the offsets"))?;
        let stands: BTreeMap<i32, i64> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        let reached = |(partition, end): &(i32, i64)| {
            *end == 0 || stands.get(partition).is_some_and(|at| at >= end)
        };
        if ends.iter().all(reached) {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Error::NotApplied {
                topic: topic.to_owned(),
                after: PATIENCE,
            });
        }
        tokio::time::sleep(POLL).await;
    }
}

impl Layout {
    /// Looks at the source's table. A column that is not captured as it is, or is not of the type that the image has,
    /// is left out.
    async fn of(guard: &Client, context: Context<'_>, image: Image) -> Result<Layout, Error> {
        let mapping = &context.settings.retail.mapping;
        let (mapped, key, present): (_, &'static [&'static str], _) = match image {
            Image::Inventory => (&mapping.inventory, &["store_id", "product_id"], LEVEL),
            Image::Orders => (&mapping.orders, &["order_id"], "present"),
            Image::Customers => (&mapping.customers, &["customer_id"], "present"),
        };
        let name = TableName {
            schema: mapped.schema.clone(),
            name: mapped.name.clone(),
        };
        let shaping = Shaping {
            selection: &context.settings.selection,
            skipped: context.settings.format.skip,
        };
        let only = Some(&name);
        let mut tables =
            source::published(guard, context.source, context.kafka, shaping, only).await?;
        let Some(table) = tables.pop() else {
            return Err(Error::Unpublished {
                table: name.to_string(),
            });
        };
        let columns = columns(image, mapped, &table);
        let named = key
            .iter()
            .copied()
            .chain(columns.iter().map(|column| column.name));
        let named: Vec<String> = named
            .filter_map(|role| {
                let name = quote_identifier(mapped.column(role)?);
                Some(format!("{name} as {}", quote_identifier(role)))
            })
            .collect();
        Ok(Layout {
            image: image.table(),
            key,
            present,
            columns,
            from: format!(
                "(select {} from {}) as mapped",
                named.join(", "),
                table.from
            ),
            topic: table.topic,
        })
    }

    /// The key at which a chunk of so many rows more is full; `None` where it is the last.
    async fn end(
        &self,
        client: &Client,
        from: &str,
        range: &Range,
        more: i64,
    ) -> Result<Option<Vec<i64>>, tokio_postgres::Error> {
        let key = self.key.join(", ");
        let rows = self.key.len() * 2 + 1;
        let sql = format!(
            "select {key} from (select {} from {from}) k where {} order by {key} offset ${rows} limit 1",
            self.key_columns(),
            self.in_range()
        );
        let row = client.query_opt(&sql, &parameters(range, &[&more])).await?;
        Ok(row.map(|row| self.key_of(&row)))
    }

    /// The source may have other integers.
    fn key_columns(&self) -> String {
        let column = |name: &&str| format!("{name}::bigint as {name}");
        let columns: Vec<String> = self.key.iter().map(column).collect();
        columns.join(", ")
    }

    /// Above the first parameters, and not above those that follow.
    fn in_range(&self) -> String {
        let part = |index: usize| format!("${index}::bigint");
        let (key, count) = (self.key.join(", "), self.key.len());
        let above: Vec<String> = (1..=count).map(part).collect();
        let upto: Vec<String> = (count + 1..=count * 2).map(part).collect();
        format!(
            "({key}) > ({}) and ({key}) <= ({})",
            above.join(", "),
            upto.join(", ")
        )
    }

    fn key_of(&self, row: &Row) -> Vec<i64> {
        (0..self.key.len()).map(|index| row.get(index)).collect()
    }

    fn texts(&self) -> String {
        // The type's own text, as a simple query shows it.
        let text = |column: &Column| {
            let name = quote_identifier(column.name);
            format!(", case when {name} is not null then format('%s', {name}) end")
        };
        self.columns.iter().map(text).collect()
    }

    async fn read_source(
        &self,
        reader: &Client,
        range: &Range,
    ) -> Result<Rows<Vec<Option<String>>>, Error> {
        let sql = format!(
            "select {}{} from {} where {}",
            self.key_columns(),
            self.texts(),
            self.from,
            self.in_range()
        );
        let rows = reader
            .query(&sql, &parameters(range, &[]))
            .await
            .map_err(source_query)?;
        let columns = self.key.len()..self.key.len() + self.columns.len();
        Ok(rows
            .iter()
            .map(|row| {
                let columns = columns.clone().map(|index| row.get(index)).collect();
                (self.key_of(row), columns)
            })
            .collect())
    }

    async fn read_images(&self, sink: &Client, range: &Range) -> Result<Rows<ImageRow>, Error> {
        let sql = format!(
            "select {}{}, position, {} from {} where {}",
            self.key.join(", "),
            self.texts(),
            self.present,
            self.image,
            self.in_range()
        );
        let rows = sink
            .query(&sql, &parameters(range, &[]))
            .await
            .map_err(query("reading images"))?;
        let end = self.key.len() + self.columns.len();
        let image = |row: &Row| {
            let position: &str = row.get(end);
            let image = ImageRow {
                present: row.get(end + 1),
                columns: (self.key.len()..end).map(|index| row.get(index)).collect(),
                position: position.parse().unwrap_or_default(),
            };
            (self.key_of(row), image)
        };
        Ok(rows.iter().map(image).collect())
    }

    fn same(&self, expected: Option<&Vec<Option<String>>>, found: Option<&ImageRow>) -> bool {
        let found = found.filter(|image| image.present);
        let (Some(expected), Some(found)) = (expected, found) else {
            // A level that is null is no level.
            let absent =
                |row: &Vec<Option<String>>| self.level_only() && row.iter().all(Option::is_none);
            return found.is_none() && expected.is_none_or(absent);
        };
        let pairs = expected.iter().zip(&found.columns).zip(&self.columns);
        pairs.into_iter().all(|((expected, found), column)| {
            let expected = expected.as_deref().or(column.null);
            match found {
                None => expected.is_none(),
                Some(found) => column.kind.same(expected, &column.json(found)),
            }
        })
    }

    fn level_only(&self) -> bool {
        self.present == LEVEL
    }

    fn shown(&self, key: &[i64]) -> String {
        let parts = self.key.iter().zip(key);
        let parts: Vec<String> = parts.map(|(name, part)| format!("{name}={part}")).collect();
        parts.join(", ")
    }
}

impl Column {
    /// The image's text as an event would have it.
    fn json(&self, text: &str) -> String {
        if matches!(self.kind, Kind::Integer) {
            text.to_owned()
        } else if matches!(self.kind, Kind::Boolean) {
            (text == "t").to_string()
        } else {
            serde_json::Value::from(text).to_string()
        }
    }
}

/// When an inventory's image is present.
const LEVEL: &str = "on_hand is not null";

/// The columns that can be compared: captured as they are, and of a type whose text the image has.
fn columns(image: Image, mapped: &MappedTable, table: &Table) -> Vec<Column> {
    let named: &[&'static str] = match image {
        Image::Orders => &[
            "customer_id",
            "store_id",
            "product_id",
            "quantity",
            "unit_price",
            "status",
            "promotion_code",
            "placed_at",
        ],
        Image::Customers => &["tier", "contact_allowed"],
        Image::Inventory => &["on_hand"],
    };
    let column = |name: &'static str| {
        let owners = mapped.column(name)?;
        let mut columns = table.layout.columns.iter();
        let column = columns.find(|column| column.name == owners)?;
        let right = match name {
            "customer_id" | "store_id" | "product_id" | "quantity" | "on_hand" => {
                matches!(column.kind, Kind::Integer)
            }
            "contact_allowed" => matches!(column.kind, Kind::Boolean),
            "placed_at" => matches!(column.kind, Kind::Timestamp | Kind::TimestampTz),
            _ => matches!(column.kind, Kind::Text),
        };
        right.then(|| Column {
            name,
            kind: column.kind.clone(),
            null: (name == "contact_allowed").then_some("t"),
        })
    };
    named.iter().copied().filter_map(column).collect()
}

fn parameters<'p>(
    range: &'p Range,
    more: &[&'p (dyn ToSql + Sync)],
) -> Vec<&'p (dyn ToSql + Sync)> {
    let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::new();
    parameters.extend(
        range
            .above
            .iter()
            .chain(&range.upto)
            .map(|part| part as &(dyn ToSql + Sync)),
    );
    parameters.extend(more);
    parameters
}

fn source_query(source: tokio_postgres::Error) -> Error {
    Error::SourceQuery {
        action: "reading a chunk",
        source,
    }
}
