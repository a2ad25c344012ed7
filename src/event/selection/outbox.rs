//! `Outbox`: tables whose rows are events of an application, each for the topic that it names.
//!
//! Names and defaults are those of Debezium's outbox `EventRouter`.

use super::pattern::Pattern;
use super::transform::Transform;
use super::{SelectionError, full_name};
use crate::event::table::{ColumnShape, Table, TypeShape};
use crate::event::{TOPIC_BYTES_MAX, is_topic_character};

/// So much of a value is shown in errors, characters.
const SHOWN: usize = 100;

/// Which tables are outboxes, and what their columns are for.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// Patterns `schema.table`.
    pub tables: Vec<Pattern>,
    /// Names of topics, with `{routed}`, `{prefix}`, `{schema}` and `{table}`.
    pub topic: String,
    /// Partitions when tidewater creates a topic.
    pub partitions: Option<i32>,
    /// Most topics.
    pub topics_max: usize,
    /// Column of the event's id, for the header `id`.
    pub id: String,
    /// Column of the record key.
    pub key: String,
    /// Column that the topic is named by.
    pub route_by: String,
    /// Column of the value.
    pub payload: String,
    /// Column of the record's time.
    pub timestamp: Option<String>,
    /// Column of the record's partition.
    pub partition: Option<String>,
    /// Columns that become headers.
    pub headers: Vec<Placed>,
    /// Columns that stand beside the payload.
    pub fields: Vec<Placed>,
    /// Whether a payload of JSON is a part of the value, instead of a string.
    pub expand_json: bool,
    /// Whether an empty payload is a tombstone.
    pub tombstones: bool,
    /// What becomes of updates.
    pub on_update: OnUpdate,
}

/// A column, and what it is called in the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The column.
    pub column: String,
    /// Its name there.
    pub alias: String,
}

/// What becomes of the update of an outbox's row, which is no event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUpdate {
    /// It is left out, with a warning.
    #[default]
    Warn,
    /// It is left out, with an error in the log.
    Error,
    /// It ends the stream.
    Stop,
}

/// A row that names no topic that it could be routed to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("table {table}: {value:?} in column {column} {why}")]
pub struct RouteError {
    /// Schema and table.
    table: String,
    /// Column of `outbox.route_by`.
    column: String,
    /// What it holds.
    value: String,
    /// What that makes, what is wrong with it, and the remedy.
    why: String,
}

/// A row's place: its table, and what its column of `outbox.route_by` holds.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// First part of topics' names.
    pub prefix: &'a str,
    /// Schema name.
    pub schema: &'a str,
    /// Table name.
    pub table: &'a str,
    /// The value.
    pub value: &'a str,
}

impl Outbox {
    pub(super) fn matches(&self, schema: &str, table: &str) -> bool {
        let names = [schema, table];
        self.tables.iter().any(|pattern| pattern.matches(&names))
    }

    /// The topic of a row.
    pub fn topic(&self, routed: &Routed<'_>) -> Result<String, RouteError> {
        let topic = self.templated(routed);
        let why = if topic.is_empty() {
            "which is no name"
        } else if topic.len() > TOPIC_BYTES_MAX {
            "which is longer than the 249 characters that Kafka allows"
        } else if !topic.chars().all(is_topic_character) {
            "but Kafka allows letters, digits, . _ and - alone"
        } else if topic == "." || topic == ".." {
            "which Kafka does not allow"
        } else if topic.starts_with("__") {
            "but topics that begin with __ are Kafka's and tidewater's own"
        } else {
            return Ok(topic);
        };
        let topic: String = topic.chars().take(SHOWN).collect();
        Err(self.refused(
            routed,
            format!(
                "would be routed to topic {topic:?}, {why}: mend the row's writer or outbox.topic, and leave the \
                 table out of outbox.tables until the row is passed"
            ),
        ))
    }

    /// The error of a row whose topic holds something else.
    pub fn taken(&self, routed: &Routed<'_>, topic: &str, holds: &'static str) -> RouteError {
        let why = format!(
            "would be routed to topic {topic}, which holds {holds}: choose another outbox.topic"
        );
        self.refused(routed, why)
    }

    /// The error of a row whose topic would be one too many.
    pub fn too_many(&self, routed: &Routed<'_>, topic: &str) -> RouteError {
        let topics_max = self.topics_max;
        let why = format!(
            "needs topic {topic}, but there are {topics_max} routed topics already, the most that \
             outbox.topics_max allows: raise it, or route by a column of fewer values"
        );
        self.refused(routed, why)
    }

    fn refused(&self, routed: &Routed<'_>, why: String) -> RouteError {
        RouteError {
            table: format!("{}.{}", routed.schema, routed.table),
            column: self.route_by.clone(),
            value: routed.value.chars().take(SHOWN).collect(),
            why,
        }
    }

    /// One placeholder after the other, from the left: a value may look like one.
    fn templated(&self, routed: &Routed<'_>) -> String {
        let mut name = String::new();
        let mut rest = self.topic.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let (placeholder, next) = after.split_once('}').unwrap_or((after, ""));
            name.push_str(before);
            name.push_str(match placeholder {
                "routed" => routed.value,
                "prefix" => routed.prefix,
                "schema" => routed.schema,
                "table" => routed.table,
                _ => "",
            });
            rest = next;
        }
        name.push_str(rest);
        name
    }

    /// Refuses a table that lacks a column, or has another kind of column there. `transforms` are those of its
    /// columns.
    pub(super) fn check(
        &self,
        table: &Table,
        transforms: &[Option<Transform>],
    ) -> Result<(), SelectionError> {
        let placed =
            |placed: &[Placed]| placed.iter().map(|placed| placed.column.clone()).collect();
        let (headers, fields): (Vec<String>, Vec<String>) =
            (placed(&self.headers), placed(&self.fields));
        let one = |name: &String| vec![name.clone()];
        let of = |name: &Option<String>| name.iter().cloned().collect();
        let named: [(&'static str, Vec<String>); 8] = [
            ("id", one(&self.id)),
            ("key", one(&self.key)),
            ("route_by", one(&self.route_by)),
            ("payload", one(&self.payload)),
            ("timestamp", of(&self.timestamp)),
            ("partition", of(&self.partition)),
            ("headers", headers),
            ("fields", fields),
        ];
        for (key, columns) in named {
            for name in columns {
                check_column(table, transforms, key, &name)?;
            }
        }
        Ok(())
    }
}

fn check_column(
    table: &Table,
    transforms: &[Option<Transform>],
    key: &'static str,
    name: &str,
) -> Result<(), SelectionError> {
    let index = table.columns.iter().position(|column| column.name == name);
    let transform = index.and_then(|index| transforms.get(index)?.as_ref());
    let found = index
        .filter(|_| !matches!(transform, Some(Transform::Excluded)))
        .and_then(|index| table.columns.get(index));
    let names = || (full_name(table), name.to_owned());
    let Some(column) = found else {
        let (table, column) = names();
        return Err(SelectionError::OutboxColumn { table, key, column });
    };
    let expected = match key {
        "timestamp" if !has_type(column, &[1114, 1184]) => "timestamp or timestamptz",
        "partition" if !has_type(column, &[20, 21, 23]) => "smallint, integer or bigint",
        _ => "",
    };
    if !expected.is_empty() {
        let (table, column) = names();
        return Err(SelectionError::OutboxType {
            table,
            key,
            column,
            expected,
        });
    }
    match transform {
        Some(transform) if matches!(key, "route_by" | "timestamp" | "partition") => {
            let (table, column) = names();
            Err(SelectionError::OutboxTransformed {
                table,
                key,
                column,
                how: transform.verb(),
            })
        }
        _ => Ok(()),
    }
}

/// Whether a column is of one of these built-in types, or of a domain over one.
pub(in crate::event) fn has_type(column: &ColumnShape, oids: &[u32]) -> bool {
    match &column.resolved {
        None => oids.contains(&column.type_oid),
        Some(TypeShape::Builtin(oid)) => oids.contains(oid),
        Some(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(template: &str, value: &str) -> Result<String, RouteError> {
        let outbox = Outbox {
            topic: template.to_owned(),
            route_by: "aggregatetype".to_owned(),
            ..Outbox::default()
        };
        outbox.topic(&Routed {
            prefix: "shop",
            schema: "public",
            table: "outbox",
            value,
        })
    }

    #[test]
    fn a_row_names_its_topic() {
        for (template, value, expected) in [
            ("outbox.event.{routed}", "order", "outbox.event.order"),
            ("{prefix}.{routed}-{table}", "a.b", "shop.a.b-outbox"),
            ("events", "order", "events"),
        ] {
            assert_eq!(topic(template, value).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_kafka_does_not_allow_is_refused_by_its_value() {
        let long = "x".repeat(250);
        for (value, why) in [
            ("", "which is no name"),
            ("a b", "Kafka allows letters"),
            ("{table}", "Kafka allows letters"),
            ("größe", "Kafka allows letters"),
            ("..", "does not allow"),
            ("__consumer_offsets", "begin with __"),
            (&long, "longer than the 249"),
        ] {
            let error = topic("{routed}", value).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert!(error.starts_with("table public.outbox: \""), "{error}");
        }
    }
}
