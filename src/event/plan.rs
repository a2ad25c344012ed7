//! `Plan`: everything about a table that is the same for each of its rows, rendered once.

use super::debezium::Form;
use super::format::{Encoding, Format};
use super::frame::Frames;
use super::json;
use super::kind::Kind;
use super::outbox::Routing;
use super::schema::Schemas;
use super::selection::Transform;
use super::shape::{Shape, UnchangedFormat, write_unavailable};
use super::table::{ColumnShape, ReplicaIdentity, Table};
use super::transaction::Collection;

/// A table compiled for the encoder: constant fragments of JSON and a writer per column.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) topic: u32,
    /// What its events are counted as.
    pub(super) collection: Collection,
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) replica_identity: ReplicaIdentity,
    pub(super) columns: Box<[PlanColumn]>,
    pub(super) key: Box<[KeyColumn]>,
    /// The key as headers have it, where that differs.
    pub(super) header_key: Option<Box<[KeyColumn]>>,
    /// `shop","table":"orders`, which goes between the quotes of `"schema":"…"`.
    pub(super) source: Box<[u8]>,
    pub(super) frames: Frames,
    /// What follows the key's columns, where that is more than the closing brace.
    pub(super) key_end: Option<Box<[u8]>>,
    /// Where its rows go, if it is an outbox.
    pub(super) routing: Option<Box<Routing>>,
}

#[derive(Clone, Debug)]
pub(super) struct PlanColumn {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// `,"name":`; the first column's comma becomes the opening brace. Empty for a column that is left
    /// out.
    pub(super) label: Label,
    /// `,"name":null`, or nothing for a column that is left out.
    pub(super) null: Box<[u8]>,
    /// What stands for a TOAST value that the server did not send; without it, it is left out and named.
    pub(super) unchanged: Option<Box<[u8]>>,
    /// What stands in an old row for a column outside of the identity; without it, it is left out.
    pub(super) not_sent: Option<Box<[u8]>>,
}

impl PlanColumn {
    /// `first` is the comma or the opening brace before the name.
    fn new(first: u8, name: &str, kind: Kind) -> Self {
        let dropped = matches!(kind, Kind::Excluded | Kind::Debezium(Form::Dropped));
        let label = if dropped {
            Label::empty()
        } else {
            Label::new(first, name)
        };
        let mut null = Vec::new();
        label.append(&mut null);
        if !dropped {
            null.extend_from_slice(b"null");
        }
        PlanColumn {
            name: name.to_owned(),
            kind,
            label,
            null: null.into(),
            unchanged: None,
            not_sent: None,
        }
    }

    fn of(column: &ColumnShape, transform: Option<&Transform>, format: &Format) -> Self {
        let kind = match transform {
            Some(transform) => Kind::transformed(column, transform, format),
            None => Kind::of(column, format),
        };
        let kind = match format.encoding {
            Encoding::Json => kind,
            Encoding::JsonSchema | Encoding::Avro => kind.with_flat_arrays(),
        };
        let field = format.handling.names.field(&column.name);
        let mut planned = PlanColumn::new(b',', &field, kind);
        planned.name.clone_from(&column.name);
        let mut unchanged = Vec::new();
        planned.label.append(&mut unchanged);
        let mut not_sent = unchanged.clone();
        if planned.kind.not_sent(column, &mut not_sent) {
            planned.not_sent = Some(not_sent.into());
        }
        let (kind, type_oid) = (&planned.kind, column.type_oid);
        let mut stands_in = kind.unchanged(type_oid, &format.handling, &mut unchanged);
        if !stands_in && has_placeholder(format) && planned.kind.is_string() {
            write_unavailable(&mut unchanged);
            stands_in = true;
        }
        planned.unchanged = stands_in.then(|| unchanged.into());
        planned
    }

    /// What stands for a value that was not sent: of an old row's identity, or of an update.
    pub(super) fn placeholder(&self, is_identity: bool) -> Option<&[u8]> {
        let placeholder = if is_identity {
            &self.not_sent
        } else {
            &self.unchanged
        };
        placeholder.as_deref()
    }

    /// Whether events do not have the column.
    pub(super) fn is_dropped(&self) -> bool {
        self.null.is_empty()
    }
}

fn has_placeholder(format: &Format) -> bool {
    matches!(format.shape, Shape::Flat(flat) if flat.unchanged == UnchangedFormat::Placeholder)
}

/// `,"name":`, padded to a constant length: it is then appended by two moves instead of a call, and
/// what is too much is cut off again. Longer ones are kept apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Label {
    padded: [u8; Label::PADDED],
    length: usize,
    long: Option<Box<[u8]>>,
}

impl Label {
    const PADDED: usize = 32;

    fn empty() -> Self {
        Label {
            padded: [0; Label::PADDED],
            length: 0,
            long: None,
        }
    }

    /// `first` is the comma or the opening brace before the name.
    pub(super) fn new(first: u8, name: &str) -> Self {
        let mut label = vec![first, b'"'];
        label.extend(quoted_content(name));
        label.extend_from_slice(b"\":");
        let length = label.len();
        let mut padded = [0; Label::PADDED];
        match padded.get_mut(..length) {
            Some(start) => {
                start.copy_from_slice(&label);
                Label {
                    padded,
                    length,
                    long: None,
                }
            }
            None => Label {
                padded,
                length,
                long: Some(label.into()),
            },
        }
    }

    #[inline]
    pub(super) fn append(&self, bytes: &mut Vec<u8>) {
        match &self.long {
            None => {
                let end = bytes.len() + self.length;
                bytes.extend_from_slice(&self.padded);
                bytes.truncate(end);
            }
            Some(label) => bytes.extend_from_slice(label),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct KeyColumn {
    /// Index into the row.
    pub(super) index: usize,
    /// The column, with its own `label`: `{"name":` or `,"name":`.
    pub(super) column: PlanColumn,
}

impl KeyColumn {
    fn new(index: usize, place: usize, column: &PlanColumn, format: &Format) -> Self {
        let first = if place == 0 { b'{' } else { b',' };
        let field = format.handling.names.field(&column.name);
        let mut planned = PlanColumn::new(first, &field, column.kind.clone());
        planned.name.clone_from(&column.name);
        KeyColumn {
            index,
            column: planned,
        }
    }

    /// The same as the headers of a changed key have it, if that differs.
    fn of_header(&self) -> Option<Self> {
        let Kind::Debezium(form) = &self.column.kind else {
            return None;
        };
        let mut column = self.column.clone();
        column.kind = Kind::Debezium(form.of_header()?);
        Some(KeyColumn {
            index: self.index,
            column,
        })
    }
}

impl Plan {
    /// `transforms` are those of the table's columns, if any has one.
    pub(super) fn new(
        table: &Table,
        topic: u32,
        format: &Format,
        transforms: &[Option<Transform>],
    ) -> Self {
        let columns: Box<[PlanColumn]> = table
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let transform = transforms.get(index).and_then(Option::as_ref);
                PlanColumn::of(column, transform, format)
            })
            .collect();
        let mut source = quoted_content(&table.schema);
        source.extend_from_slice(b"\",\"table\":\"");
        source.extend(quoted_content(&table.name));
        let key: Box<[KeyColumn]> = table
            .key
            .iter()
            .filter_map(|index| columns.get(*index).map(|column| (*index, column)))
            .filter(|(_, column)| !column.is_dropped())
            .enumerate()
            .map(|(place, (index, column))| KeyColumn::new(index, place, column, format))
            .collect();
        // With schemas a header is a struct as the key itself is.
        let differs = format.encoding == Encoding::Json
            && key.iter().any(|column| column.of_header().is_some());
        let of_header = |column: &KeyColumn| column.of_header().unwrap_or_else(|| column.clone());
        Plan {
            topic,
            collection: Collection::default(),
            header_key: differs.then(|| key.iter().map(of_header).collect()),
            schema: table.schema.clone(),
            table: table.name.clone(),
            replica_identity: table.replica_identity,
            columns,
            key,
            source: source.into(),
            key_end: None,
            frames: Frames::BARE,
            routing: None,
        }
    }

    /// The same in an encoding with schemas.
    #[must_use]
    pub(super) fn framed(self, schemas: &Schemas, encoding: Encoding) -> Self {
        Plan {
            frames: Frames::of(schemas, encoding),
            ..self
        }
    }

    /// What stands around its keys and values.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The same, for the registry's ids to be set.
    pub fn frames_mut(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// Adds a field of text to every key that has a column.
    #[must_use]
    pub(super) fn with_key_field(self, name: &str, value: &str) -> Self {
        let mut key_end = vec![b',', b'"'];
        key_end.extend(quoted_content(name));
        key_end.extend_from_slice(b"\":\"");
        key_end.extend(quoted_content(value));
        key_end.extend_from_slice(b"\"}");
        Plan {
            key_end: Some(key_end.into()),
            ..self
        }
    }

    /// Index of the topic that the table's records go to.
    pub fn topic(&self) -> u32 {
        self.topic
    }

    /// Schema name.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// Table name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Where a column stands in its rows.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Whether its records have a key.
    pub fn has_key(&self) -> bool {
        !self.key.is_empty()
    }

    /// `schema.table`, for messages to people.
    pub fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.table)
    }

    /// The same behind what it is.
    pub(crate) fn titled(&self) -> String {
        format!("table {}", self.full_name())
    }

    /// What the server sends of its old rows.
    pub fn replica_identity(&self) -> ReplicaIdentity {
        self.replica_identity
    }
}

/// A name as it stands between the quotes of a JSON string.
pub(super) fn quoted_content(name: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(name.len());
    // A `str` is UTF-8, which is all that could be wrong with it.
    let _ = json::escaped(name.as_bytes(), &mut content);
    content
}
