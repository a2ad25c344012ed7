//! One table's topic, folded to a consistent point: the last state of each key.
//!
//! A streamed change takes part iff it commits below the point, a read iff its snapshot does not lie
//! past it. In a topic written exactly once every change applies; one that the rules of positions
//! refuse is a finding.
//!
//! A table without a key has no last states but a bag of rows: each change adds one or takes one away.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::history::{Action, At, Keyed};
use super::record::{Content, Record};
use super::report::DifferenceKind;
use super::value::Kind;
use crate::event::{Envelope, Operation, Position};

/// A column by name and form.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// What is compared of a table.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// The published columns, as the source's select returns them.
    pub(super) columns: Vec<Column>,
    /// Indexes into `columns` of the record key; empty without one.
    pub(super) key: Vec<usize>,
}

/// A change that should not be in the topic as it is.
#[derive(Clone, Debug)]
pub(super) struct Flaw {
    pub(super) kind: DifferenceKind,
    pub(super) key: String,
    pub(super) position: Position,
}

/// The topic's state at the consistent point.
#[derive(Debug)]
pub(super) struct Folded {
    layout: Layout,
    point: Position,
    rows: Keyed<String, Box<str>>,
    /// Columns that the source left out of a row and no earlier image had: by key.
    unsent: HashMap<String, Vec<String>>,
    /// Rows of a table without a key, per partition; a change may be in another than its row's.
    bags: BTreeMap<i32, HashMap<String, i64>>,
    /// Whether a snapshot was complete at the point, and whether one was read past it.
    complete: bool,
    read_past: bool,
    flaws: Vec<Flaw>,
}

/// JSON objects of rows and keys.
type Fields<'a> = HashMap<Cow<'a, str>, &'a RawValue>;

#[derive(Deserialize)]
struct Unsent {
    source: UnsentColumns,
}

#[derive(Deserialize)]
struct UnsentColumns {
    #[serde(default)]
    unchanged: Vec<String>,
}

impl Folded {
    /// An empty state, to be folded up to `point`.
    pub(super) fn new(layout: Layout, point: Position) -> Self {
        Folded {
            layout,
            point,
            rows: Keyed::default(),
            unsent: HashMap::new(),
            bags: BTreeMap::new(),
            complete: false,
            read_past: false,
            flaws: Vec::new(),
        }
    }

    /// Whether the table was first read by a snapshot that lies past the point.
    pub(super) fn began_late(&self) -> bool {
        self.read_past && !self.complete
    }

    /// Changes that are repeated or out of order.
    pub(super) fn flaws(&self) -> &[Flaw] {
        &self.flaws
    }

    /// Takes the next record of its partition.
    pub(super) fn apply(&mut self, record: &Record<'_>) -> Result<(), String> {
        match Content::decode(record)? {
            Content::Nothing => Ok(()),
            Content::Table(at, action) => {
                let late = match action {
                    Action::Restart | Action::Complete => at.position > self.point,
                    Action::Streamed(())
                    | Action::Read(())
                    | Action::Truncate
                    | Action::TruncateAll => at.position >= self.point,
                };
                if !late {
                    self.whole(at, action);
                }
                Ok(())
            }
            Content::Row(at, event) => {
                let read = event.op == Operation::Read;
                if read && at.position > self.point {
                    self.read_past = true;
                    return Ok(());
                }
                if !read && at.position >= self.point {
                    return Ok(());
                }
                if self.layout.key.is_empty() {
                    return self.count(at, &event, record);
                }
                self.row(at, &event, record)
            }
        }
    }

    fn whole(&mut self, at: At, action: Action<()>) {
        self.complete |= action == Action::Complete;
        let action = match action {
            Action::TruncateAll => Action::TruncateAll,
            Action::Restart => Action::Restart,
            Action::Complete => Action::Complete,
            Action::Truncate | Action::Streamed(()) | Action::Read(()) => Action::Truncate,
        };
        if self.layout.key.is_empty() {
            match action {
                Action::Complete => {}
                Action::TruncateAll => self.bags.clear(),
                Action::Truncate | Action::Restart | Action::Streamed(_) | Action::Read(_) => {
                    self.bags.remove(&at.partition);
                }
            }
        } else if !self.rows.apply(at, action, |_| None, |_, _, _, _| ()) {
            self.flaw(DifferenceKind::Repeated, "truncate".to_owned(), at.position);
        }
    }

    fn row(&mut self, at: At, event: &Envelope<'_>, record: &Record<'_>) -> Result<(), String> {
        let key = self
            .layout
            .event_key(record.key.ok_or("a change of a row needs a key")?)?;
        let after = match event.op {
            Operation::Delete => None,
            Operation::Create
            | Operation::Update
            | Operation::Read
            | Operation::Truncate
            | Operation::Message => Some(event.after.ok_or("after is missing")?.get()),
        };
        let unchanged = unchanged(record.value.unwrap_or_default())?;
        let before = self.rows.get(&key).cloned();
        if let (Some(before), Operation::Read) = (&before, event.op)
            && before.position == at.position
            && before.row.is_some()
        {
            self.flaw(DifferenceKind::Repeated, key.clone(), at.position);
        }
        let last = before.as_ref().and_then(|entry| entry.row.as_deref());
        let (row, unsent) = match after {
            Some(after) if unchanged.is_empty() => (Some(Box::from(after)), Vec::new()),
            Some(after) => {
                let (row, unsent) = filled(after, last, unchanged)?;
                (Some(row), unsent)
            }
            None => (None, Vec::new()),
        };
        let action = match event.op {
            Operation::Read => Action::Read(key.clone()),
            Operation::Create
            | Operation::Update
            | Operation::Delete
            | Operation::Truncate
            | Operation::Message => Action::Streamed(key.clone()),
        };
        if !self
            .rows
            .apply(at, action, |_| row.clone(), |_, _, _, _| ())
        {
            let repeated = before.is_some_and(|before| before.position == at.position);
            let kind = if repeated {
                DifferenceKind::Repeated
            } else {
                DifferenceKind::OutOfOrder
            };
            self.flaw(kind, key, at.position);
        } else if unsent.is_empty() {
            self.unsent.remove(&key);
        } else {
            self.unsent.insert(key, unsent);
        }
        Ok(())
    }

    /// A change in a table without a key: takes the old row away, adds the new one.
    fn count(&mut self, at: At, event: &Envelope<'_>, record: &Record<'_>) -> Result<(), String> {
        let bag = self.bags.entry(at.partition).or_default();
        let before = event.before.map(RawValue::get);
        if let Some(before) = before {
            *bag.entry(self.layout.event_row(before)?).or_default() -= 1;
        }
        if let Some(after) = event.after {
            let unchanged = unchanged(record.value.unwrap_or_default())?;
            let (after, _) = filled(after.get(), before, unchanged)?;
            *bag.entry(self.layout.event_row(&after)?).or_default() += 1;
        }
        Ok(())
    }

    fn flaw(&mut self, kind: DifferenceKind, key: String, position: Position) {
        self.flaws.push(Flaw {
            kind,
            key,
            position,
        });
    }

    /// Takes a row out to be compared.
    pub(super) fn take(&mut self, key: &str) -> Option<(Position, Box<str>)> {
        self.rows.take(key)
    }

    /// Columns of the row that the source never sent.
    pub(super) fn unsent(&self, key: &str) -> &[String] {
        self.unsent.get(key).map_or(&[], Vec::as_slice)
    }

    /// Rows that nobody took.
    pub(super) fn rest(&self) -> impl Iterator<Item = (&String, Position)> {
        self.rows
            .entries()
            .filter_map(|(key, entry)| entry.row.as_ref().map(|_| (key, entry.position)))
    }

    /// The rows of a table without a key, each with how often it is there.
    pub(super) fn bag(&mut self) -> HashMap<String, i64> {
        let mut sum = HashMap::new();
        for (row, count) in std::mem::take(&mut self.bags).into_values().flatten() {
            *sum.entry(row).or_default() += count;
        }
        sum
    }
}

impl Layout {
    /// The canonical text of a row's key, from the source's columns.
    pub(super) fn source_key(&self, row: &[Option<&str>]) -> String {
        let columns = self
            .key
            .iter()
            .filter_map(|index| self.columns.get(*index).zip(row.get(*index)));
        joined(columns.map(|(column, text)| {
            (
                column.name.as_str(),
                text.map(|text| column.kind.of_source(text)),
            )
        }))
    }

    /// The canonical text of a whole row.
    pub(super) fn source_row(&self, row: &[Option<&str>]) -> String {
        joined(self.columns.iter().zip(row).map(|(column, text)| {
            (
                column.name.as_str(),
                text.map(|text| column.kind.of_source(text)),
            )
        }))
    }

    fn event_key(&self, json: &[u8]) -> Result<String, String> {
        let fields: Fields<'_> =
            serde_json::from_slice(json).map_err(|error| format!("key: {error}"))?;
        canonical(
            self.key.iter().filter_map(|index| self.columns.get(*index)),
            &fields,
            "key",
        )
    }

    fn event_row(&self, json: &str) -> Result<String, String> {
        canonical(self.columns.iter(), &fields(json)?, "row")
    }
}

/// The fields of a row image.
pub(super) fn fields(json: &str) -> Result<Fields<'_>, String> {
    serde_json::from_str(json).map_err(|error| format!("row: {error}"))
}

fn canonical<'c>(
    columns: impl Iterator<Item = &'c Column>,
    fields: &Fields<'_>,
    what: &str,
) -> Result<String, String> {
    let mut values = Vec::new();
    for column in columns {
        let json = fields
            .get(column.name.as_str())
            .map_or("null", |json| json.get());
        let value =
            match json {
                "null" => None,
                json => Some(column.kind.of_event(json).ok_or_else(|| {
                    format!("{what}: {} has not the form of its type", column.name)
                })?),
            };
        values.push((column.name.as_str(), value));
    }
    Ok(joined(
        values
            .into_iter()
            .map(|(name, value)| (name, value.map(Cow::Owned))),
    ))
}

/// `store_id=1, product_id=2`; a text that could run into the next column is quoted.
fn joined<'v>(columns: impl Iterator<Item = (&'v str, Option<Cow<'v, str>>)>) -> String {
    let mut text = String::new();
    for (name, value) in columns {
        if !text.is_empty() {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push('=');
        match value {
            None => text.push_str("null"),
            Some(value) => {
                let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
                if value.bytes().all(plain) && value != "null" && !value.is_empty() {
                    text.push_str(&value);
                } else {
                    // Writing into a string does not fail.
                    let _ = write!(text, "{value:?}");
                }
            }
        }
    }
    text
}

/// The columns that the event names as unchanged and not sent.
fn unchanged(value: &[u8]) -> Result<Vec<String>, String> {
    if memchr::memmem::find(value, b"\"unchanged\"").is_none() {
        return Ok(Vec::new());
    }
    let event: Unsent =
        serde_json::from_slice(value).map_err(|error| format!("source.unchanged: {error}"))?;
    Ok(event.source.unchanged)
}

/// The row with the columns that were not sent taken from its last image, and those it lacks too.
fn filled(
    after: &str,
    last: Option<&str>,
    unchanged: Vec<String>,
) -> Result<(Box<str>, Vec<String>), String> {
    let last = fields(last.unwrap_or("{}"))?;
    let (mut row, mut unsent) = (fields(after)?, Vec::new());
    for name in unchanged {
        match last.get(name.as_str()) {
            Some(value) => {
                row.insert(Cow::Owned(name), value);
            }
            None => unsent.push(name),
        }
    }
    let json = serde_json::to_string(&row).map_err(|error| error.to_string())?;
    Ok((json.into_boxed_str(), unsent))
}
