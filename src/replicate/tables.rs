//! The tables that changes are captured from, their topics, and the index each topic has.
//!
//! A topic exists, and its partitions are counted, before a producer sees its name. Indexes are dense
//! and never reused: 0 is the position topic, the others follow in the order in which they were met.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::capture::CapturedTable;
use super::row_store::{self, RowStore};
use super::schema::{SchemaHistory, SchemaVersion};
use super::{Context, Error};
use crate::config::settings::{Kafka, OnTooLarge};
use crate::connection::Database;
use crate::event::selection::Selection;
use crate::event::{
    Batch, ColumnShape, Encoder, Frames, Outline, Plan, Position, ReplicaIdentity, Table,
};
use crate::kafka::{self, Admin, TopicRecord, TopicSpec, topics};
use crate::pgoutput::Relation;
use crate::postgres::{self, Patterns, TableName, TableShape};
use crate::registry::Registry;
use crate::telemetry;

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

// The position topic comes first.
const _: () = assert!(super::publisher::POSITION_TOPIC == 0);

/// More new schema versions at once than this are told of by their number.
const VERSIONS_TOLD: usize = 20;
/// Pause before the registry is asked again; doubles up to [`REGISTRY_PAUSE_MAX`].
const REGISTRY_PAUSE_MIN: Duration = Duration::from_millis(200);
const REGISTRY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// A topic as the pipeline knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Topic {
    /// Index in the batches' records.
    pub(crate) index: u32,
    /// Partitions it has.
    pub(crate) partitions: i32,
}

/// Topics by name, and the way to describe a relation.
pub(crate) struct Tables {
    pub(super) kafka: Kafka,
    pub(super) selection: Arc<Selection>,
    on_too_large: OnTooLarge,
    publication: String,
    patterns: Patterns,
    /// Whose rows are stored; none if nobody's are.
    stored: Option<Patterns>,
    admin: Admin,
    catalog: Database,
    /// Topics as they were when the first event went there.
    recorded: BTreeMap<String, TopicRecord>,
    pub(super) topics: HashMap<String, Topic>,
    /// Those of them that rows of outboxes are routed to.
    pub(super) routed: HashSet<String>,
    new_topics: Vec<NewTopic>,
    schemas: SchemaHistory,
    /// Versions that are not in the topic yet.
    new_schemas: Vec<SchemaVersion>,
    /// Where schemas are registered before the first record of them.
    pub(crate) registry: Option<Arc<Registry>>,
}

/// A topic that the publisher does not know yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTopic {
    /// Name.
    pub(crate) name: String,
    /// What to record of it, together with its first events; `None` when that is done or need not be.
    pub(crate) record: Option<TopicRecord>,
}

impl Tables {
    /// `catalog` is a connection of its own: a slow catalog query must not hold up the lease.
    pub(crate) fn new(
        context: &Context,
        patterns: Patterns,
        admin: Admin,
        catalog: Database,
        recorded: BTreeMap<String, TopicRecord>,
    ) -> Result<Self, Error> {
        Ok(Tables {
            recorded,
            kafka: context.kafka()?.clone(),
            selection: Arc::clone(&context.settings.selection),
            on_too_large: context.source()?.on_too_large,
            publication: context.source()?.publication.clone(),
            patterns,
            stored: context
                .settings
                .row_store
                .as_ref()
                .map(|rows| rows.tables.clone()),
            admin,
            catalog,
            topics: HashMap::new(),
            routed: HashSet::new(),
            new_topics: Vec::new(),
            schemas: SchemaHistory::default(),
            new_schemas: Vec::new(),
            registry: context.registry.clone(),
        })
    }

    /// The connection for catalog queries.
    pub(crate) fn catalog(&self) -> &Database {
        &self.catalog
    }

    /// The topic of a name, created when missing.
    pub(crate) async fn topic(&mut self, spec: TopicSpec) -> Result<Topic, Error> {
        if let Some(topic) = self.topics.get(&spec.name) {
            return Ok(topic.clone());
        }
        let name = spec.name.clone();
        let recorded = self.recorded.get(&name).copied();
        if recorded.is_some() && self.admin.await_partitions(&name).await?.is_none() {
            return Err(Error::TopicGone { topic: name });
        }
        let found = self.admin.ensure_topic(&spec).await?;
        let record = check_same(&found, recorded)?;
        let next = self.topics.len() + 1;
        let index = u32::try_from(next).unwrap_or(u32::MAX);
        let topic = Topic {
            index,
            partitions: found.partitions,
        };
        self.topics.insert(name.clone(), topic.clone());
        self.new_topics.push(NewTopic {
            name,
            record: record.filter(|_| spec.history),
        });
        Ok(topic)
    }

    fn topic_name(&self, schema: &str, table: &str) -> String {
        topics::routed(&self.selection, &self.kafka.prefix, schema, table)
    }

    /// Has the plan's schemas registered, if it has any.
    pub(crate) async fn identify(&self, plan: &mut Plan) -> Result<(), Error> {
        let topic = self.topic_name(plan.schema(), plan.table());
        self.identify_frames(&topic, plan.frames_mut()).await
    }

    /// Has the schemas of a topic's records registered, if they have any: as `<topic>-key` and
    /// `<topic>-value`.
    async fn identify_frames(&self, topic: &str, frames: &mut Frames) -> Result<(), Error> {
        let Some(registry) = &self.registry else {
            return Ok(());
        };
        if let Some(schema) = frames.key_schema() {
            let id = registry.identify(&format!("{topic}-key"), schema).await?;
            frames.identify_key(id);
        }
        if let Some(schema) = frames.value_schema() {
            let id = registry.identify(&format!("{topic}-value"), schema).await?;
            frames.identify_value(id);
        }
        Ok(())
    }

    /// The same, asking again for as long as the registry has a transient fault.
    pub(super) async fn identify_patiently(
        &self,
        topic: &str,
        frames: &mut Frames,
    ) -> Result<(), Error> {
        let mut pause = REGISTRY_PAUSE_MIN;
        loop {
            match self.identify_frames(topic, frames).await {
                Err(Error::Registry(error)) if error.is_transient() => {
                    let error = telemetry::chain(&error);
                    tracing::warn!(%error, ?pause, "a new schema waits for the registry");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(REGISTRY_PAUSE_MAX);
                }
                result => return result,
            }
        }
    }

    /// The topic of a table, created when missing.
    pub(crate) async fn table_topic(&mut self, schema: &str, table: &str) -> Result<Topic, Error> {
        let name = self.topic_name(schema, table);
        if self.routed.contains(&name) {
            return Err(Error::TopicRouted {
                table: format!("{schema}.{table}"),
                topic: name,
            });
        }
        let spec = TopicSpec::events(&self.kafka, name);
        let route = self.selection.route(schema, table);
        let partitions = route.and_then(|route| route.partitions);
        let partitions = partitions.unwrap_or(spec.partitions);
        self.topic(TopicSpec { partitions, ..spec }).await
    }

    /// Every topic in the order of the indexes.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.topics.iter().collect();
        names.sort_by_key(|(_, topic)| topic.index);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }

    /// Topics met since the last call, in the order of their indexes.
    pub(crate) fn take_new_topics(&mut self) -> Vec<NewTopic> {
        std::mem::take(&mut self.new_topics)
    }

    /// What the stream needs to encode a relation's rows.
    ///
    /// The relation message is as of its place in the log, the catalog as of now: only what the message
    /// lacks is taken from there, the meaning of type oids and, where the message flags every column
    /// (`REPLICA IDENTITY FULL`), the primary key.
    ///
    /// `None`: the publication has it, and `source.tables` has not. `position` is that of its first change;
    /// a version of its schema that is new may be waiting then.
    pub(crate) async fn describe(
        &mut self,
        relation: &Relation,
        position: Position,
        encoder: &Encoder,
    ) -> Result<Option<CapturedTable>, Error> {
        if self.is_unwanted(relation).await? {
            return Ok(None);
        }
        let shape = postgres::table_shape(&self.catalog, relation.id).await?;
        let table = encoded_table(relation, shape.as_ref());
        let table = self.selection.select(table, &relation.identity())?;
        let current = shape
            .as_ref()
            .is_some_and(|shape| has_columns(shape, &table));
        let mut names = TypeNames::default();
        names.extend(shape.iter().flat_map(named_types));
        self.planned(&table, position, current, names, encoder)
            .await
            .map(Some)
    }

    /// What is needed to encode the rows of a table, as it is selected. `position` is that of the first of them;
    /// `current`: the catalog shows the same columns; `names`: names of types that are known already.
    pub(crate) async fn planned(
        &mut self,
        table: &Table,
        position: Position,
        current: bool,
        mut names: TypeNames,
        encoder: &Encoder,
    ) -> Result<CapturedTable, Error> {
        if self.is_outbox(&table.schema, &table.name) {
            return Ok(CapturedTable {
                plan: encoder.compile(table, Plan::ROUTED),
                partitions: 0,
            });
        }
        let topic = self.table_topic(&table.schema, &table.name).await?;
        let mut plan = encoder.compile(table, topic.index);
        let name = self.topic_name(&table.schema, &table.name);
        self.identify_patiently(&name, plan.frames_mut()).await?;
        let published = encoder.published(table);
        self.name_types(&mut names, [&published]).await?;
        self.note_schema(&published, position, current, &names)?;
        Ok(CapturedTable {
            plan,
            partitions: topic.partitions,
        })
    }

    /// What the row store has to know of a relation; `None` if its rows are not stored, or it is gone.
    pub(crate) async fn describe_rows(
        &self,
        relation: &Relation,
    ) -> Result<Option<row_store::Described>, Error> {
        let Some(patterns) = &self.stored else {
            return Ok(None);
        };
        let is_outbox = self.is_outbox(&relation.schema, &relation.name);
        if is_outbox || !RowStore::wants(patterns, relation) {
            return Ok(None);
        }
        // Before the layout, which says where the stream has to come for both.
        let through =
            postgres::published_through(&self.catalog, &self.publication, relation.id).await?;
        let catalog = postgres::table_layout(&self.catalog, relation.id).await?;
        let captures = |name: &str| {
            let columns = &self.selection.columns;
            columns.captures(&relation.schema, &relation.name, name)
        };
        Ok(catalog.map(|catalog| row_store::Described {
            catalog,
            through,
            captured: relation
                .columns
                .iter()
                .map(|column| captures(&column.name))
                .collect(),
        }))
    }

    /// A partition of a table that is wanted is wanted. One that was detached or dropped since is in no
    /// publication: its changes from before are not left out.
    async fn is_unwanted(&self, relation: &Relation) -> Result<bool, Error> {
        let name = TableName {
            schema: relation.schema.clone(),
            name: relation.name.clone(),
        };
        if self.patterns.matches(&name) {
            return Ok(false);
        }
        let roots = postgres::ancestors(&self.catalog, relation.id).await?;
        if roots.iter().any(|root| self.patterns.matches(root)) {
            return Ok(false);
        }
        Ok(postgres::is_published(&self.catalog, &self.publication, &name).await?)
    }

    /// Reads the schema versions that are in their topic, once nobody else can write there.
    pub(crate) fn read_schemas(&mut self) -> Result<(), Error> {
        let topic = topics::schema_changes(&self.kafka.prefix);
        let wait = self.kafka.transaction_timeout + ANSWER_TIMEOUT;
        let mut failure = None;
        let schemas = &mut self.schemas;
        kafka::Reader::read_settled(&self.kafka, &topic, 0, wait, |offset, _, value| {
            match serde_json::from_slice(value.unwrap_or_default()) {
                Ok(version) => schemas.add(version),
                Err(source) => {
                    failure.get_or_insert(Error::SchemaRecord {
                        topic: topic.clone(),
                        offset,
                        source,
                    });
                }
            }
        })?;
        failure.map_or(Ok(()), Err)
    }

    /// The topic of schema versions, created when missing.
    pub(crate) async fn schema_topic(&mut self) -> Result<Topic, Error> {
        let name = topics::schema_changes(&self.kafka.prefix);
        self.topic(TopicSpec::schema_changes(&self.kafka, name))
            .await
    }

    /// Where logical messages go, created when missing; `None` if none are published.
    pub(crate) async fn messages(&mut self, encoder: &Encoder) -> Result<Option<Outline>, Error> {
        if !self.selection.messages.any() {
            return Ok(None);
        }
        let name = topics::messages(&self.kafka.prefix);
        let spec = TopicSpec::events(&self.kafka, name.clone());
        let topic = self.topic(spec).await?;
        let mut outline = encoder.outline_messages(topic.index);
        self.identify_frames(&name, outline.frames_mut()).await?;
        Ok(Some(outline))
    }

    /// Where transactions' begins and ends go, created when missing.
    pub(crate) async fn transactions(&mut self, encoder: &Encoder) -> Result<Outline, Error> {
        let name = topics::transactions(&self.kafka.prefix);
        let spec = TopicSpec::transactions(&self.kafka, name.clone());
        let topic = self.topic(spec).await?;
        let mut outline = encoder.outline_transactions(topic.index);
        self.identify_frames(&name, outline.frames_mut()).await?;
        Ok(outline)
    }

    /// The topic of changes that are passed over, created when missing; `None` if they end the stream.
    pub(crate) async fn passed_over_topic(&mut self) -> Result<Option<Topic>, Error> {
        if self.on_too_large == OnTooLarge::Stop {
            return Ok(None);
        }
        let name = topics::passed_over(&self.kafka.prefix);
        let spec = TopicSpec::passed_over(&self.kafka, name);
        self.topic(spec).await.map(Some)
    }

    /// Asks for the names of the types that tables have and that are not known yet, of all at once.
    pub(crate) async fn name_types<'t>(
        &self,
        names: &mut TypeNames,
        tables: impl IntoIterator<Item = &'t Table>,
    ) -> Result<(), Error> {
        let columns = tables.into_iter().flat_map(|table| &table.columns);
        let missing: HashSet<(u32, i32)> = columns
            .map(type_of)
            .filter(|wanted| !names.contains_key(wanted))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let missing: Vec<(u32, i32)> = missing.into_iter().collect();
        let found = postgres::type_names(&self.catalog, &missing).await?;
        names.extend(missing.into_iter().zip(found));
        Ok(())
    }

    /// Keeps a table's schema to be written, unless it is known. `table` is as its events show it;
    /// `current`: the catalog shows the same columns; `names`: those of its columns' types.
    pub(crate) fn note_schema(
        &mut self,
        table: &Table,
        position: Position,
        current: bool,
        names: &TypeNames,
    ) -> Result<(), Error> {
        let name = |column| names.get(&type_of(column)).cloned().unwrap_or_default();
        let type_names = table.columns.iter().map(name).collect();
        let topic = self.topic_name(&table.schema, &table.name);
        let version = SchemaVersion::of(table, &topic, position, type_names);
        let new = self.schemas.admit(version, current, &self.selection)?;
        self.new_schemas.extend(new);
        Ok(())
    }

    /// Moves the versions that are not in the topic yet to the end of a batch, which has to be committed
    /// before the first row that they describe. Returns whether there were any.
    pub(crate) fn take_schemas(&mut self, batch: &mut Batch) -> bool {
        let name = topics::schema_changes(&self.kafka.prefix);
        let topic = self.topics.get(&name).map_or(0, |topic| topic.index);
        let versions = std::mem::take(&mut self.new_schemas);
        if versions.len() > VERSIONS_TOLD {
            tracing::info!(tables = versions.len(), "schema versions");
        }
        for version in &versions {
            let (schema, table, number) = (&version.schema, &version.table, version.version);
            if versions.len() <= VERSIONS_TOLD {
                tracing::info!(%schema, %table, number, position = %version.position, "schema version");
            }
            let (key, value) = version.to_bytes();
            batch.append(topic, 0, &key, &value);
        }
        !versions.is_empty()
    }

    /// Whether [`Tables::take_schemas`] has any.
    pub(crate) fn has_new_schemas(&self) -> bool {
        !self.new_schemas.is_empty()
    }
}

/// Names of column types as SQL writes them, by oid and modifier.
pub(crate) type TypeNames = HashMap<(u32, i32), String>;

fn type_of(column: &ColumnShape) -> (u32, i32) {
    (column.type_oid, column.type_modifier)
}

/// The types of a table's columns that its description names already. The modifier of a created type may be
/// that of the domain behind it.
fn named_types(shape: &TableShape) -> impl Iterator<Item = ((u32, i32), String)> {
    let builtin = shape
        .columns
        .iter()
        .filter(|column| column.shape.resolved.is_none());
    builtin.map(|column| (type_of(&column.shape), column.type_name.clone()))
}

/// Whether the catalog has the table's columns as they are.
fn has_columns(shape: &TableShape, table: &Table) -> bool {
    let told = |column: &ColumnShape| (column.name.clone(), column.type_oid, column.type_modifier);
    let has = |column: &ColumnShape| {
        let mut columns = shape.columns.iter();
        columns.any(|found| told(&found.shape) == told(column))
    };
    table.columns.iter().all(has)
}

/// A relation as the encoder sees it. By default its flagged columns are the primary key as of its place
/// in the log, which the catalog may have left behind; what is missing of their order is the catalog's.
pub(super) fn encoded_table(relation: &Relation, shape: Option<&TableShape>) -> Table {
    let key_names: Vec<&str> = shape.map_or_else(Vec::new, |shape| {
        let columns = shape
            .primary_key
            .iter()
            .filter_map(|index| shape.columns.get(*index));
        columns.map(|column| column.shape.name.as_str()).collect()
    });
    let mut key = relation.indexes_of(key_names);
    // The primary key at its place in the log, if not in its own order.
    let flagged = relation.identity();
    let is_key = key.len() == flagged.len() && flagged.iter().all(|column| key.contains(column));
    if relation.replica_identity == ReplicaIdentity::Default && !is_key {
        key = flagged;
    }
    let columns = shape.map_or(&[][..], |shape| &shape.columns);
    relation.table(&key, |column| completed(column, columns))
}

/// A column of a relation message with what the catalog adds: the meaning of a created type's oid, from
/// any column that has it, and the facts of the column of that name.
fn completed(mut column: ColumnShape, columns: &[postgres::Column]) -> ColumnShape {
    let shapes = || columns.iter().map(|column| &column.shape);
    let created =
        |shape: &&ColumnShape| shape.type_oid == column.type_oid && shape.resolved.is_some();
    if let Some(same_type) = shapes().find(created) {
        column.resolved.clone_from(&same_type.resolved);
        // A domain's column has no modifier of its own.
        if column.type_modifier < 0 {
            column.type_modifier = same_type.type_modifier;
        }
    }
    if let Some(same_name) = shapes().find(|shape| shape.name == column.name) {
        column.facts = same_name.facts.clone();
    }
    column
}

/// What has to be recorded of a topic; an error when it is not the one that was.
fn check_same(
    found: &kafka::Topic,
    recorded: Option<TopicRecord>,
) -> Result<Option<TopicRecord>, Error> {
    let now = TopicRecord {
        id: found.id,
        partitions: found.partitions,
    };
    match recorded {
        None => Ok(Some(now)),
        Some(recorded) if recorded.is_same(&now) => Ok(None),
        Some(recorded) => Err(Error::TopicReplaced {
            topic: found.name.clone(),
            recorded: recorded.to_string(),
            found: now.to_string(),
        }),
    }
}
