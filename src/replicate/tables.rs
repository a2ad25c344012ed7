//! The tables that changes are captured from, their topics, and the index each topic has.
//!
//! A topic exists, and its partitions are counted, before a producer sees its name. Indexes are dense
//! and never reused: 0 is the position topic, the others follow in the order in which they were met.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Error;
use super::capture::CapturedTable;
use crate::config::settings::Kafka;
use crate::connection::Database;
use crate::event::selection::Selection;
use crate::event::{ColumnShape, Encoder, ReplicaIdentity, Table};
use crate::kafka::{self, Admin, TopicRecord, TopicSpec, topics};
use crate::pgoutput::Relation;
use crate::postgres::{self, TableShape};

// The position topic comes first.
const _: () = assert!(super::publisher::POSITION_TOPIC == 0);

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
    kafka: Kafka,
    selection: Arc<Selection>,
    admin: Admin,
    catalog: Database,
    /// Topics as they were when the first event went there.
    recorded: BTreeMap<String, TopicRecord>,
    topics: HashMap<String, Topic>,
    new_topics: Vec<NewTopic>,
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
        kafka: &Kafka,
        selection: &Arc<Selection>,
        admin: Admin,
        catalog: Database,
        recorded: BTreeMap<String, TopicRecord>,
    ) -> Self {
        Tables {
            recorded,
            kafka: kafka.clone(),
            selection: Arc::clone(selection),
            admin,
            catalog,
            topics: HashMap::new(),
            new_topics: Vec::new(),
        }
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

    /// The topic of a table, created when missing.
    pub(crate) async fn table_topic(&mut self, schema: &str, table: &str) -> Result<Topic, Error> {
        let template = self.selection.topic(schema, table);
        let name = topics::routed(template, &self.kafka.prefix, schema, table);
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
    pub(crate) async fn describe(
        &mut self,
        relation: &Relation,
        encoder: &Encoder,
    ) -> Result<CapturedTable, Error> {
        let shape = postgres::table_shape(&self.catalog, relation.id).await?;
        let table = encoded_table(relation, shape.as_ref());
        let table = self.selection.select(table, &relation.identity())?;
        let topic = self.table_topic(&relation.schema, &relation.name).await?;
        Ok(CapturedTable {
            plan: encoder.compile(&table, topic.index),
            partitions: topic.partitions,
        })
    }
}

/// A relation as the encoder sees it. A table that is gone from the catalog keeps what the message
/// says: its flagged columns are the key, unless all are flagged.
pub(super) fn encoded_table(relation: &Relation, shape: Option<&TableShape>) -> Table {
    let key_names: Vec<&str> = shape.map_or_else(Vec::new, |shape| {
        let columns = shape
            .primary_key
            .iter()
            .filter_map(|index| shape.columns.get(*index));
        columns.map(|column| column.shape.name.as_str()).collect()
    });
    let mut key = relation.indexes_of(key_names);
    if shape.is_none() && relation.replica_identity == ReplicaIdentity::Default {
        key = relation.identity();
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
