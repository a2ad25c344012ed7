//! Source against topics: every row of every published table, in one exported snapshot, against the
//! last state of its key in the topic.
//!
//! ```text
//! guard    begin; lock tables in access share     no truncate or rewrite slips under the snapshot
//! session  create temporary slot, export          consistent point C
//! reader   begin repeatable read; set transaction snapshot; select …
//! topics   position record past C ─▶ end offsets ─▶ fold everything below C
//! ```
//!
//! The locks come first: TRUNCATE is not MVCC-safe, and to an older snapshot the table looks empty.

use std::collections::HashMap;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

use super::report::{Comparison, DifferenceKind, Findings};
use super::table::{Column, Folded, Layout, fields};
use super::value::Kind;
use super::{Error, Options, topics};
use crate::config::settings::{Delivery, Kafka, Source};
use crate::connection::{self, Database, quote_identifier, quote_literal};
use crate::event::selection::{Route, Selection};
use crate::event::{ColumnShape, Lsn, Operations, Position, TypeShape};
use crate::kafka::{self, PositionRecord, SnapshotProgress};
use crate::postgres::{
    self, Patterns, PublishedTable, Session, SessionKind, SnapshotExport, TableName, TableShape,
};

/// How often the position is looked at while the replicator catches up.
const POSITION_POLL: Duration = Duration::from_millis(200);
/// Text forms that are compared; the same that replication sessions use.
const FORMS: &str = "
    set timezone = 'UTC'; set datestyle = 'ISO'; set intervalstyle = 'iso_8601';
    set extra_float_digits = 3; set bytea_output = 'hex'; set row_security = off;
    set statement_timeout = 0; set idle_in_transaction_session_timeout = 0;";

/// A published table and how to read it.
pub(super) struct Table {
    name: TableName,
    pub(super) topic: String,
    /// What its rows are selected from.
    pub(super) from: String,
    select: String,
    count: String,
    pub(super) layout: Layout,
}

/// Compares the source with the topics.
pub(super) async fn verify(
    source: &Source,
    kafka: &Kafka,
    shaping: Shaping<'_>,
    options: &Options,
    findings: &mut Findings,
) -> Result<(), Error> {
    let guard = connection::connect(&source.connection)
        .await
        .map_err(postgres::Error::from)?;
    guard
        .batch_execute("begin")
        .await
        .map_err(query("beginning a transaction"))?;
    let tables = published(&guard, source, kafka, shaping, None).await?;
    let (reader, point) = snapshot(source, options.timeout).await?;
    let record = reach(kafka, &source.slot, point, options.timeout).await?;
    let point = Position::new(record.epoch, point, 0);
    findings.report().source_position = Some(point.to_string());
    for table in tables {
        let folded = fold(kafka, &table, point).await?;
        compare(&reader, kafka, table, folded, findings).await?;
    }
    Ok(())
}

/// The tables that the publication holds of those configured, or `only` one, locked against truncate and rewrite.
pub(super) async fn published(
    guard: &Client,
    source: &Source,
    kafka: &Kafka,
    shaping: Shaping<'_>,
    only: Option<&TableName>,
) -> Result<Vec<Table>, Error> {
    let patterns =
        Patterns::new(&source.tables).map_err(|_| Error::Unconfigured { section: "source" })?;
    let publication = postgres::check_publication(guard, &source.publication, &patterns).await?;
    let tables: Vec<&PublishedTable> = publication
        .tables
        .iter()
        .filter(|published| only.is_none_or(|only| published.table == *only))
        .collect();
    let names: Vec<TableName> = tables
        .iter()
        .map(|published| published.table.clone())
        .collect();
    postgres::lock_tables(guard, &names).await?;
    let arrays = array_types(guard).await?;
    let mut described = Vec::with_capacity(names.len());
    for published in tables {
        if let Some(shape) = postgres::table_shape(guard, published.id).await? {
            let shape = shape.with_columns(&published.columns);
            described.push(shaping.table(published, &shape, kafka, &arrays)?);
        }
    }
    described.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(described)
}

/// What the configuration makes of the tables on the way.
#[derive(Clone, Copy)]
pub(super) struct Shaping<'a> {
    pub(super) selection: &'a Selection,
    pub(super) skipped: Operations,
}

impl Shaping<'_> {
    /// A table as its topic shows it: without what is left out, masked, hashed or truncated.
    fn table(
        self,
        published: &PublishedTable,
        shape: &TableShape,
        kafka: &Kafka,
        arrays: &Arrays,
    ) -> Result<Table, Error> {
        let described = self.selection.select(shape.to_table(), &shape.identity())?;
        let transforms = self.selection.transforms(&described);
        let is_plain = |index: usize| transforms.get(index).is_none_or(Option::is_none);
        self.refuse(
            &published.table,
            described.key.iter().all(|key| is_plain(*key)),
        )?;
        let plain: Vec<usize> = (0..described.columns.len())
            .filter(|index| is_plain(*index))
            .collect();
        let position = |key: &usize| plain.iter().position(|index| index == key);
        let columns = plain
            .iter()
            .filter_map(|index| described.columns.get(*index));
        let layout = Layout {
            columns: columns
                .map(|column| Column {
                    name: column.name.clone(),
                    kind: kind(column, arrays),
                })
                .collect(),
            key: described.key.iter().filter_map(position).collect(),
        };
        let TableName { schema, name } = &published.table;
        let topic = kafka::topics::routed(self.selection, &kafka.prefix, schema, name);
        Ok(table(published, layout, topic))
    }

    fn refuse(self, table: &TableName, key_is_plain: bool) -> Result<(), Error> {
        let shared = self
            .selection
            .route(&table.schema, &table.name)
            .is_some_and(Route::is_shared);
        let outbox = self.selection.outbox(&table.schema, &table.name);
        let why = if outbox.is_some() {
            "it is an outbox, whose rows are routed as events"
        } else if shared {
            "its topic holds other tables' rows too"
        } else if !key_is_plain {
            "its record key is hashed"
        } else if self.skipped != Operations::default() {
            "format.skip leaves changes out"
        } else {
            return Ok(());
        };
        let table = table.to_string();
        Err(Error::Incomparable { table, why })
    }
}

fn table(published: &PublishedTable, layout: Layout, topic: String) -> Table {
    let names: Vec<String> = layout
        .columns
        .iter()
        .map(|column| quote_identifier(&column.name))
        .collect();
    let only = if published.partitioned { "" } else { "only " };
    let filter = published
        .row_filter
        .as_ref()
        .map_or(String::new(), |row| format!(" where {row}"));
    let from = format!(
        "(select * from {only}{}{filter}) as published",
        published.table.quoted()
    );
    Table {
        name: published.table.clone(),
        select: format!("select {} from {from}", names.join(", ")),
        count: format!("select count(*) from {from}"),
        from,
        topic,
        layout,
    }
}

/// Built-in array types: element and delimiter by oid.
type Arrays = HashMap<u32, (u32, char)>;

async fn array_types(client: &Client) -> Result<Arrays, Error> {
    let sql = "select oid, typelem, typdelim::text from pg_type
               where typoutput = 'array_out'::regproc and oid < 16384";
    let rows = client
        .query(sql, &[])
        .await
        .map_err(query("reading the array types"))?;
    let delimiter = |text: &str| text.chars().next().unwrap_or(',');
    Ok(rows
        .iter()
        .map(|row| (row.get(0), (row.get(1), delimiter(row.get(2)))))
        .collect())
}

fn kind(column: &ColumnShape, arrays: &Arrays) -> Kind {
    match &column.resolved {
        Some(shape) => kind_of_shape(shape, arrays),
        None => kind_of_builtin(column.type_oid, arrays),
    }
}

fn kind_of_shape(shape: &TypeShape, arrays: &Arrays) -> Kind {
    match shape {
        TypeShape::Builtin(oid) => kind_of_builtin(*oid, arrays),
        TypeShape::Array { element, delimiter } => Kind::Array(
            Box::new(kind_of_shape(element, arrays)),
            char::from(*delimiter),
        ),
        TypeShape::Composite(attributes) => Kind::Composite(
            attributes
                .iter()
                .map(|(name, shape)| (name.clone(), kind_of_shape(shape, arrays)))
                .collect(),
        ),
        TypeShape::Range(subtype) => Kind::Range(Box::new(kind_of_shape(subtype, arrays))),
        TypeShape::Multirange(subtype) => {
            Kind::Multirange(Box::new(kind_of_shape(subtype, arrays)))
        }
        TypeShape::Extension(name) if name == "hstore" => Kind::Hstore,
        TypeShape::Enum(_) | TypeShape::Extension(_) | TypeShape::Opaque => Kind::Text,
    }
}

fn kind_of_builtin(oid: u32, arrays: &Arrays) -> Kind {
    match arrays.get(&oid) {
        Some((element, delimiter)) => Kind::Array(Box::new(Kind::of_scalar(*element)), *delimiter),
        None => Kind::of_scalar(oid),
    }
}

/// A transaction that sees the source as of the consistent point of a slot made for it. The slot goes
/// with its session, as soon as the snapshot has been taken over.
pub(super) async fn snapshot(source: &Source, timeout: Duration) -> Result<(Database, Lsn), Error> {
    let name = format!("tidewater_verify_{}", uuid::Uuid::new_v4().simple());
    let mut session = Session::connect(&source.connection, SessionKind::Replication, &[]).await?;
    let created = postgres::create_slot(&mut session, &name, true, SnapshotExport::Export);
    let created = tokio::time::timeout(timeout, created)
        .await
        .map_err(|_| Error::SnapshotTimeout { after: timeout })??;
    let reader = connection::connect(&source.connection)
        .await
        .map_err(postgres::Error::from)?;
    let snapshot = quote_literal(created.snapshot.as_deref().unwrap_or_default());
    let begin = format!(
        "{FORMS} begin isolation level repeatable read read only;
        set transaction snapshot {snapshot};"
    );
    reader
        .batch_execute(&begin)
        .await
        .map_err(query("taking over the exported snapshot"))?;
    Ok((reader, created.consistent_point))
}

/// Waits until everything below the point has been published.
pub(super) async fn reach(
    kafka: &Kafka,
    slot: &str,
    point: Lsn,
    timeout: Duration,
) -> Result<PositionRecord, Error> {
    let topic = kafka::topics::position(&kafka.prefix, slot);
    let deadline = Instant::now() + timeout;
    loop {
        let (kafka, topic) = (kafka.clone(), topic.clone());
        let read = tokio::task::spawn_blocking(move || last_position(&kafka, &topic));
        let record = read.await??;
        let reached = record.as_ref().map(|record| record.resume_lsn);
        let done = |record: &PositionRecord| {
            record.snapshot == SnapshotProgress::Done && record.resume_lsn >= point
        };
        if let Some(record) = record.filter(done) {
            return Ok(record);
        }
        if Instant::now() >= deadline {
            return Err(Error::Behind {
                reached,
                point,
                after: timeout,
            });
        }
        tokio::time::sleep(POSITION_POLL).await;
    }
}

fn last_position(kafka: &Kafka, topic: &str) -> Result<Option<PositionRecord>, Error> {
    if topics::ends(kafka, topic)?.is_empty() {
        return Ok(None);
    }
    Ok(kafka::read_last_committed(kafka, topic)?)
}

async fn fold(kafka: &Kafka, table: &Table, point: Position) -> Result<Folded, Error> {
    let topic = table.topic.clone();
    let mut folded = Folded::new(table.layout.clone(), point);
    let kafka = kafka.clone();
    let read = tokio::task::spawn_blocking(move || {
        let ends = topics::ends(&kafka, &topic)?;
        topics::read(&kafka, &topic, &ends, |record| folded.apply(record))?;
        Ok::<_, Error>(folded)
    });
    let folded = read.await??;
    if folded.began_late() {
        return Err(Error::SnapshotRunning {
            table: table.name.to_string(),
        });
    }
    Ok(folded)
}

/// Compares one table's rows with its folded topic.
async fn compare(
    reader: &Client,
    kafka: &Kafka,
    table: Table,
    mut folded: Folded,
    findings: &mut Findings,
) -> Result<(), Error> {
    findings.begin(&table.name.to_string(), Comparison::SourceAndTopic);
    let counted = reader
        .query_one(&table.count, &[])
        .await
        .map_err(query("counting rows"))?;
    findings.rows(u64::try_from(counted.get::<_, i64>(0)).unwrap_or_default());
    report_flaws(kafka, &folded, findings);
    let keyless = table.layout.key.is_empty();
    let mut bag = if keyless {
        folded.bag()
    } else {
        HashMap::new()
    };
    let mut unsent = 0_u64;
    let rows = reader
        .simple_query_raw(&table.select)
        .await
        .map_err(query("reading a table"))?;
    let mut rows = pin!(rows);
    while let Some(message) = rows.try_next().await.map_err(query("reading a table"))? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        let values: Vec<Option<&str>> = (0..table.layout.columns.len())
            .map(|index| value(&row, index))
            .collect();
        findings.compared();
        if keyless {
            *bag.entry(table.layout.source_row(&values)).or_default() -= 1;
        } else {
            unsent += compare_row(&table.layout, &values, &mut folded, findings);
        }
    }
    report_rest(&folded, bag, findings);
    if unsent > 0 {
        findings.note(format!(
            "{}: {unsent} values were never sent by the source (unchanged TOAST in a key change) and \
             not compared; replica identity full sends them",
            table.name
        ));
    }
    Ok(())
}

fn value(row: &SimpleQueryRow, index: usize) -> Option<&str> {
    row.try_get(index).ok().flatten()
}

fn report_flaws(kafka: &Kafka, folded: &Folded, findings: &mut Findings) {
    if kafka.delivery == Delivery::AtLeastOnce {
        return;
    }
    for flaw in folded.flaws() {
        findings.differs(flaw.kind, |difference| {
            difference.key.clone_from(&flaw.key);
            difference.position = Some(flaw.position.to_string());
        });
    }
}

/// Compares one row; gives how many of its values the source never sent.
fn compare_row(
    layout: &Layout,
    values: &[Option<&str>],
    folded: &mut Folded,
    findings: &mut Findings,
) -> u64 {
    let key = layout.source_key(values);
    let Some((position, row)) = folded.take(&key) else {
        findings.differs(DifferenceKind::Missing, |difference| {
            difference.key = key;
            difference.expected = Some(layout.source_row(values));
        });
        return 0;
    };
    let row = fields(&row).unwrap_or_default();
    let (mut expected, mut found, mut unsent) = (Vec::new(), Vec::new(), 0);
    for (column, value) in layout.columns.iter().zip(values) {
        let json = row.get(column.name.as_str()).map(|json| json.get());
        if json.is_none() && folded.unsent(&key).contains(&column.name) {
            unsent += 1;
        } else if !column.kind.same(*value, json.unwrap_or("null")) {
            expected.push(format!("{}={}", column.name, value.unwrap_or("null")));
            found.push(format!(
                "{}={}",
                column.name,
                json.unwrap_or("(not in the event)")
            ));
        }
    }
    if !expected.is_empty() {
        findings.differs(DifferenceKind::Unequal, |difference| {
            difference.key = key;
            difference.expected = Some(expected.join(", "));
            difference.found = Some(found.join(", "));
            difference.position = Some(position.to_string());
        });
    }
    unsent
}

/// What the topic holds and the source does not, and the other way round for tables without a key.
fn report_rest(folded: &Folded, bag: HashMap<String, i64>, findings: &mut Findings) {
    for (key, position) in folded.rest() {
        findings.differs(DifferenceKind::Unexpected, |difference| {
            difference.key.clone_from(key);
            difference.position = Some(position.to_string());
        });
    }
    for (row, surplus) in bag.into_iter().filter(|(_, surplus)| *surplus != 0) {
        let kind = if surplus > 0 {
            DifferenceKind::Unexpected
        } else {
            DifferenceKind::Missing
        };
        findings.differs(kind, |difference| {
            difference.key = format!("{} × {row}", surplus.unsigned_abs());
        });
    }
}

fn query(action: &'static str) -> impl Fn(tokio_postgres::Error) -> Error {
    move |source| Error::SourceQuery { action, source }
}
