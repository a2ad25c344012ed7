//! Rows of outbox tables: each becomes one record, of the topic that it names.
//!
//! | of the record | made of |
//! |---|---|
//! | topic | the template, and the column of `outbox.route_by` |
//! | key | `outbox.key`, in its column's form |
//! | value | `outbox.payload`, in its column's form, bytes as they are; with `outbox.fields` an object of both |
//! | headers | `id`, of `outbox.id`; those of `outbox.headers`, of `format.headers` |
//! | partition, time | `outbox.partition` and `outbox.timestamp`, where there are such columns |
//!
//! An outbox is inserted into. That its rows are deleted when they have been seen is no event.
//!
//! A topic has to be known before its first row: whoever applies a row asks [`Plan::unmet`], makes the topic,
//! and tells the plan of it with [`Plan::meet`].

use std::collections::HashMap;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::change::Change;
use super::debezium::{self, Form};
use super::encoder::{Encoder, Op, header_index};
use super::error::EncodeError;
use super::format::Encoding;
use super::frame::{Frame, Frames};
use super::hexadecimal;
use super::image::{column_count, unexpected};
use super::json::Unexpected;
use super::kind::Kind;
use super::plan::{Label, Plan, PlanColumn};
use super::row::{Column, Row};
use super::schema::{RoutedSchemas, routed_schemas};
use super::selection::{OnUpdate, Outbox, Placed, has_type};
use super::table::Table;
use super::value;
use super::{Batch, Header, HeaderName, Record};

const BYTEA: u32 = 17;
/// text, varchar, bpchar, json, jsonb: what may hold a document.
const DOCUMENTS: [u32; 5] = [25, 1043, 1042, 114, 3802];
/// The payload's name beside other fields.
const PAYLOAD: &str = "payload";

/// Which columns of an outbox its records are made of, and the topics that are known.
#[derive(Clone, Debug)]
pub(super) struct Routing {
    route_by: usize,
    key: usize,
    payload: usize,
    partition: Option<usize>,
    timestamp: Option<usize>,
    headers: Box<[RoutedHeader]>,
    fields: Box<[(Label, usize)]>,
    /// The payload is bytes, and the whole value.
    is_raw: bool,
    /// The payload may be a document.
    expands: bool,
    tombstones: bool,
    on_update: OnUpdate,
    encoding: Encoding,
    schemas: Option<RoutedSchemas>,
    targets: HashMap<Box<[u8]>, Target>,
}

/// A column that becomes a header.
#[derive(Clone, Debug)]
struct RoutedHeader {
    name: HeaderName,
    index: usize,
    /// As headers have its values, where that differs.
    kind: Option<Kind>,
}

/// A topic that rows are routed to.
#[derive(Clone, Debug)]
pub struct Target {
    topic: u32,
    partitions: i32,
    frames: Frames,
}

impl Target {
    /// What stands around its keys and values, for the registry's ids to be set.
    pub fn frames_mut(&mut self) -> &mut Frames {
        &mut self.frames
    }
}

impl Plan {
    /// Stands for the topic of a table that has none: its rows name theirs.
    pub const ROUTED: u32 = u32::MAX;

    /// Whether its rows are routed, each to the topic that it names.
    pub fn is_routed(&self) -> bool {
        self.routing.is_some()
    }

    /// What becomes of updates of its rows, if those are routed.
    pub fn on_update(&self) -> Option<OnUpdate> {
        self.routing.as_ref().map(|routing| routing.on_update)
    }

    /// The column that its rows name their topic in, if they do.
    pub fn route_by(&self) -> Option<&str> {
        let index = self.routing.as_ref()?.route_by;
        self.columns.get(index).map(|column| &*column.name)
    }

    /// What a row names, if that topic is not known yet. A row that names none is refused when it is encoded.
    pub fn unmet(&self, row: impl Row) -> Option<Vec<u8>> {
        let routing = self.routing.as_ref()?;
        match row.columns().nth(routing.route_by) {
            Some(Column::Text(value)) if !routing.targets.contains_key(value) => {
                Some(value.to_owned())
            }
            _ => None,
        }
    }

    /// The topic that rows name with `value`, at an index of the pipeline's topic table.
    pub fn target(&self, value: &str, topic: u32, partitions: i32) -> Target {
        let schemas = self.routing.as_ref().and_then(|routing| {
            let schemas = routing.schemas.as_ref()?.of(value);
            Some(Frames::of(&schemas, routing.encoding))
        });
        let mut frames = schemas.unwrap_or(Frames::BARE);
        if self.routing.as_ref().is_some_and(|routing| routing.is_raw) {
            frames.value = Frame::Bare;
        }
        Target {
            topic,
            partitions,
            frames,
        }
    }

    /// Makes a topic known.
    pub fn meet(&mut self, value: &[u8], target: Target) {
        if let Some(routing) = &mut self.routing {
            routing.targets.insert(value.into(), target);
        }
    }
}

impl Routing {
    fn target<'t>(&'t self, plan: &Plan, row: impl Row) -> Result<&'t Target, EncodeError> {
        let (column, value) = column(plan, &row, self.route_by)?;
        let Column::Text(value) = value else {
            return Err(EncodeError::Unroutable {
                table: plan.full_name(),
                column: column.name.clone(),
            });
        };
        self.targets
            .get(value)
            .ok_or_else(|| EncodeError::Unrouted {
                table: plan.full_name(),
            })
    }

    fn partition(
        &self,
        plan: &Plan,
        target: &Target,
        row: impl Row,
    ) -> Result<Option<i32>, EncodeError> {
        let Some(index) = self.partition else {
            return Ok(None);
        };
        let (column, Column::Text(text)) = column(plan, &row, index)? else {
            return Ok(None);
        };
        let number = std::str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok());
        match number {
            Some(partition) if (0..target.partitions).contains(&partition) => Ok(Some(partition)),
            _ => Err(EncodeError::NoPartition {
                table: plan.full_name(),
                column: column.name.clone(),
                partition: String::from_utf8_lossy(text).into_owned(),
                partitions: target.partitions,
            }),
        }
    }

    fn timestamp_ms(&self, plan: &Plan, row: impl Row) -> Result<Option<i64>, EncodeError> {
        let Some(index) = self.timestamp else {
            return Ok(None);
        };
        let (column, Column::Text(text)) = column(plan, &row, index)? else {
            return Ok(None);
        };
        let known = debezium::millis_since_1970(text).filter(|millis| *millis >= 0);
        known.map(Some).ok_or_else(|| EncodeError::Value {
            table: plan.full_name(),
            column: column.name.clone(),
            expected: "a time from 1970 on, as a record's has to be",
        })
    }
}

/// A column of a row, and how it is written.
fn column<'p, 'r>(
    plan: &'p Plan,
    row: &'r impl Row,
    index: usize,
) -> Result<(&'p PlanColumn, Column<'r>), EncodeError> {
    let value = row.columns().nth(index);
    plan.columns
        .get(index)
        .zip(value)
        .ok_or_else(|| column_count(plan, *row))
}

impl Encoder {
    /// The plan of an outbox, whose columns are known to be there.
    pub(super) fn routing(&self, plan: Plan, outbox: &Outbox, table: &Table) -> Plan {
        let index = |name: &str| {
            let found = table.columns.iter().position(|column| column.name == name);
            found.unwrap_or(usize::MAX)
        };
        let payload = index(&outbox.payload);
        let is_plain = |oids: &[u32]| {
            let column = table.columns.get(payload);
            let transformed = plan.columns.get(payload);
            let transformed =
                transformed.is_some_and(|column| matches!(column.kind, Kind::Transformed(_)));
            column.is_some_and(|column| has_type(column, oids)) && !transformed
        };
        let header = |name: HeaderName, column: &str| {
            let index = index(column);
            let kind = plan.columns.get(index).map(|column| &column.kind);
            let kind = match kind {
                // Text is a header as it is.
                Some(Kind::Debezium(form)) if *form != Form::Text => form.of_header(),
                _ => None,
            };
            let kind = kind.map(Kind::Debezium);
            RoutedHeader { name, index, kind }
        };
        let id = header(HeaderName::Fixed("id"), &outbox.id);
        let chosen = outbox.headers.iter().map(|placed| {
            let name = HeaderName::Chosen(placed.alias.as_str().into());
            header(name, &placed.column)
        });
        let label = |placed: &Placed| {
            let label = Label::new(b',', &placed.alias);
            (label, index(&placed.column))
        };
        let schemas = match self.format.encoding {
            Encoding::Json => None,
            Encoding::JsonSchema | Encoding::Avro => Some(routed_schemas(
                table,
                &self.source_prefix,
                outbox,
                &self.format,
            )),
        };
        let routing = Routing {
            route_by: index(&outbox.route_by),
            key: index(&outbox.key),
            payload,
            partition: outbox.partition.as_deref().map(index),
            timestamp: outbox.timestamp.as_deref().map(index),
            headers: [id].into_iter().chain(chosen).collect(),
            fields: outbox.fields.iter().map(label).collect(),
            is_raw: outbox.fields.is_empty() && is_plain(&[BYTEA]),
            expands: outbox.expand_json && is_plain(&DOCUMENTS),
            tombstones: outbox.tombstones,
            on_update: outbox.on_update,
            encoding: self.format.encoding,
            schemas,
            targets: HashMap::new(),
        };
        Plan {
            topic: Plan::ROUTED,
            routing: Some(Box::new(routing)),
            ..plan
        }
    }

    /// Appends the record of a row that appeared in an outbox.
    pub(super) fn route<R: Row>(
        &mut self,
        plan: &Plan,
        routing: &Routing,
        (op, change): (Op, Change),
        row: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let target = routing.target(plan, row)?;
        let partition = routing.partition(plan, target, row)?;
        let timestamp_ms = routing.timestamp_ms(plan, row)?;
        let start = out.bytes.len();
        let frame = &target.frames.key;
        frame.open(&mut out.bytes);
        self.append_column(plan, routing.key, row, &mut out.bytes)?;
        let key = self.end_routed(plan, frame, start, out)?;
        let value = self.routed_value(plan, routing, target, row, out)?;
        let headers = self.routed_headers(plan, routing, (op, change), row, out)?;
        let record = Record {
            topic: target.topic,
            partition,
            timestamp_ms,
            key: Some(key),
            value,
            headers,
        };
        self.push(plan, record, out)?;
        self.count(plan);
        Ok(())
    }

    /// `None` for a tombstone.
    fn routed_value<R: Row>(
        &mut self,
        plan: &Plan,
        routing: &Routing,
        target: &Target,
        row: R,
        out: &mut Batch,
    ) -> Result<Option<Range<usize>>, EncodeError> {
        let (planned, payload) = column(plan, &row, routing.payload)?;
        let is_empty = match payload {
            Column::Text(text) => text.iter().all(|byte| *byte <= b' '),
            Column::Null => true,
            Column::Unchanged => false,
        };
        if is_empty && routing.tombstones {
            return Ok(None);
        }
        let start = out.bytes.len();
        if let (true, Column::Text(text)) = (routing.is_raw, payload) {
            decode(text, &mut out.bytes).map_err(|Unexpected| unexpected(plan, planned, text))?;
            return Ok(Some(start..out.bytes.len()));
        }
        let frame = &target.frames.value;
        frame.open(&mut out.bytes);
        let alone = routing.fields.is_empty();
        if !alone {
            out.bytes.extend_from_slice(b"{\"");
            out.bytes.extend_from_slice(PAYLOAD.as_bytes());
            out.bytes.extend_from_slice(b"\":");
        }
        let expanded = match payload {
            Column::Text(text) => routing.expands && expand(text, &mut out.bytes),
            Column::Null | Column::Unchanged => false,
        };
        if !expanded {
            self.append_column(plan, routing.payload, row, &mut out.bytes)?;
        }
        if !alone {
            for (label, index) in &routing.fields {
                label.append(&mut out.bytes);
                self.append_column(plan, *index, row, &mut out.bytes)?;
            }
            out.bytes.push(b'}');
        }
        self.end_routed(plan, frame, start, out).map(Some)
    }

    fn end_routed(
        &mut self,
        plan: &Plan,
        frame: &Frame,
        start: usize,
        out: &mut Batch,
    ) -> Result<Range<usize>, EncodeError> {
        frame
            .close(start, &mut self.framing, &mut out.bytes)
            .map_err(|failed| failed.of_table(plan.full_name()))?;
        Ok(start..out.bytes.len())
    }

    fn routed_headers<R: Row>(
        &mut self,
        plan: &Plan,
        routing: &Routing,
        (op, change): (Op, Change),
        row: R,
        out: &mut Batch,
    ) -> Result<Range<u32>, EncodeError> {
        let first = header_index(out);
        for header in &routing.headers {
            self.routed_header(plan, header, row, out)?;
        }
        let others = self.headers(plan, op, change, None, out);
        Ok(first..others.end)
    }

    /// A header with a column's value, as text without quotes; none where that is null.
    fn routed_header<R: Row>(
        &mut self,
        plan: &Plan,
        header: &RoutedHeader,
        row: R,
        out: &mut Batch,
    ) -> Result<(), EncodeError> {
        let start = out.bytes.len();
        match (column(plan, &row, header.index)?, &header.kind) {
            ((_, Column::Null), _) => return Ok(()),
            ((column, Column::Text(text)), Some(kind)) => {
                value::write(kind, text, &mut self.scratch, &mut out.bytes)
                    .map_err(|Unexpected| unexpected(plan, column, text))?;
            }
            _ => self.append_column(plan, header.index, row, &mut out.bytes)?,
        }
        let text = out.bytes.get(start..).unwrap_or_default();
        let inner = text
            .strip_prefix(b"\"")
            .and_then(|text| text.strip_suffix(b"\""));
        let value = match inner {
            None => start..out.bytes.len(),
            Some(inner) if !inner.contains(&b'\\') => start + 1..out.bytes.len() - 1,
            Some(_) => {
                // The encoder's own JSON can be read.
                let unescaped: String = serde_json::from_slice(text).unwrap_or_default();
                out.bytes.truncate(start);
                out.bytes.extend_from_slice(unescaped.as_bytes());
                start..out.bytes.len()
            }
        };
        out.headers.push(Header {
            name: header.name.clone(),
            value,
        });
        Ok(())
    }

    /// Appends a column's value, as JSON.
    fn append_column<R: Row>(
        &mut self,
        plan: &Plan,
        index: usize,
        row: R,
        bytes: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let (column, value) = column(plan, &row, index)?;
        match value {
            _ if column.is_dropped() => Err(EncodeError::Formless {
                table: plan.full_name(),
                column: column.name.clone(),
            }),
            Column::Text(text) => value::write(&column.kind, text, &mut self.scratch, bytes)
                .map_err(|Unexpected| unexpected(plan, column, text)),
            Column::Null => {
                bytes.extend_from_slice(b"null");
                Ok(())
            }
            Column::Unchanged => Err(EncodeError::UnchangedNotSent {
                table: plan.full_name(),
                column: column.name.clone(),
            }),
        }
    }
}

/// Appends a document without the white space between its parts; `false` for what is none.
fn expand(text: &[u8], out: &mut Vec<u8>) -> bool {
    let is_document = matches!(text.first(), Some(b'{' | b'['))
        && std::str::from_utf8(text)
            .is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok());
    if !is_document {
        return false;
    }
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_string = *byte == b'"';
        }
        out.push(*byte);
    }
    true
}

/// Appends the bytes of `\x00ff10`.
fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unexpected> {
    let digits = text.strip_prefix(b"\\x").ok_or(Unexpected)?;
    hexadecimal::read(digits, out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_lose_the_space_between_their_parts_alone() {
        for (text, expected) in [
            (
                r#"{"a": 1,  "b c" : [ null, {} ]}"#,
                Some(r#"{"a":1,"b c":[null,{}]}"#),
            ),
            (
                r#"["x \" y", "\\", "z  z"]"#,
                Some(r#"["x \" y","\\","z  z"]"#),
            ),
            (
                r#"{"n": 1.50, "big": 12345678901234567890123}"#,
                Some(r#"{"n":1.50,"big":12345678901234567890123}"#),
            ),
            (r#""text""#, None),
            ("7", None),
            (r#"{"a": 1"#, None),
            (r#" {"a": 1}"#, None),
            ("", None),
        ] {
            let mut out = Vec::new();
            let expanded = expand(text.as_bytes(), &mut out);
            assert_eq!(expanded, expected.is_some(), "{text}");
            assert_eq!(out, expected.unwrap_or_default().as_bytes());
        }
    }

    #[test]
    fn bytes_are_as_they_were() {
        let mut out = Vec::new();
        decode(b"\\x00ff1A", &mut out).unwrap();
        assert_eq!(out, [0, 0xFF, 0x1A]);
        for text in [&b"00"[..], b"\\x0", b"\\xgg"] {
            assert_eq!(decode(text, &mut Vec::new()), Err(Unexpected));
        }
    }
}
