//! `Layout`: which columns a stored row has, and which of them a later row's columns are. Pure.
//!
//! ```text
//!  row stored under layout 0   a=1 b=x          │ alter table … drop b, add c default 7
//!  read under layout 1         a=1     c=7      ▼
//! ```
//!
//! A relation message says what columns there are at its place in the log, not whether they are the ones of
//! before: a column can be dropped and added again, or rewritten in its old type. The catalog tells them
//! apart, but as of now, which may be later. So a value is carried over only where nothing that happened
//! between the two looks can have altered it, and otherwise it is unknown, never guessed at:
//!
//! - the attribute's row in the catalog is still the same one, or
//! - it was altered before, but neither its type nor the table's file was: no value was rewritten;
//! - of rows older than the column: the catalog's value for those, if the table's file is still the same and
//!   no column that was added since has been dropped.
//!
//! What a transaction has altered that is younger than the one being read (by its number, which a transaction
//! gets with its first write) is seen too early: a column that was known before is still what it was. One that
//! was not is unsure until the stream has passed the point of the look without another relation message.

use serde::{Deserialize, Serialize};

use crate::event::Lsn;
use crate::pgoutput::RelationColumn;
use crate::postgres::{Attribute, MissingValue, TableLayout};

/// The columns of stored rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// In the order of the rows' values.
    columns: Vec<LayoutColumn>,
    /// The highest number that a column of the table had.
    last_number: i16,
    /// The catalog was looked at below this point.
    seen_at: Lsn,
}

/// A column of stored rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LayoutColumn {
    name: String,
    type_oid: u32,
    type_modifier: i32,
    /// Its number in the catalog; none if the catalog no longer had it.
    number: Option<i16>,
    /// The transaction that altered it last.
    altered_by: u32,
    /// The table's file then; none if its partitions hold the rows.
    storage: Option<u32>,
    /// The catalog showed it as it was in the log.
    sure: bool,
    /// What rows hold that are older than it.
    before: Before,
}

/// What rows hold that are older than a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Before {
    Null,
    Text(String),
    Unknown,
}

/// Where the value of a column comes from when a row of an older layout is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A column of the old layout.
    Column(usize),
    /// Null.
    Null,
    /// What rows from before the column was added hold.
    Text(String),
    /// It cannot be known.
    Unknown,
}

/// When the catalog was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// While a lock kept the table as it was.
    Locked,
    /// While a change of this transaction was read.
    During(u32),
}

impl Layout {
    /// The layout of rows with these columns; `before` is the table's latest one.
    pub(crate) fn new(
        columns: &[RelationColumn],
        catalog: &TableLayout,
        seen: Seen,
        before: Option<&Layout>,
    ) -> Layout {
        let resolve = |column: &RelationColumn| {
            let known = before.and_then(|before| before.not_yet_altered(column, catalog, seen));
            known.unwrap_or_else(|| LayoutColumn::new(column, catalog, seen))
        };
        let columns: Vec<LayoutColumn> = columns.iter().map(resolve).collect();
        let numbers = columns.iter().filter_map(|column| column.number);
        let known = before.map(|before| before.last_number);
        let last_number = numbers
            .chain(known)
            .fold(last_number(catalog, seen), i16::max);
        let layout = Layout {
            columns,
            last_number,
            seen_at: catalog.seen_at,
        };
        match before {
            None => layout,
            Some(before) => layout.following(before, catalog),
        }
    }

    /// With what is known of it from the one before.
    fn following(mut self, before: &Layout, catalog: &TableLayout) -> Layout {
        let mut added = self.added(before, catalog);
        let carried: Vec<Option<usize>> = (0..self.columns.len())
            .map(|index| before.carries(&self, index))
            .collect();
        for ((column, carried), added) in self.columns.iter_mut().zip(carried).zip(&mut added) {
            let own = carried.and_then(|index| before.columns.get(index));
            column.sure |= own.is_some();
            let value = own.map_or_else(|| added.take(), |own| Some(own.before.clone()));
            column.before = value.unwrap_or(Before::Unknown);
        }
        self
    }

    /// A column of this layout that the catalog shows as somebody has altered it later.
    fn not_yet_altered(
        &self,
        column: &RelationColumn,
        catalog: &TableLayout,
        seen: Seen,
    ) -> Option<LayoutColumn> {
        let mut own = self.columns.iter();
        let own = own.find(|own| {
            own.name == column.name
                && own.type_oid == column.type_oid
                && own.type_modifier == column.type_modifier
        })?;
        let mut all = catalog.attributes.iter();
        let now = all.find(|found| Some(found.number) == own.number)?;
        let later = now.altered_by != own.altered_by && seen.is_early(now.altered_by);
        later.then(|| own.clone())
    }

    /// What older rows hold in each column that was added since `before`. Numbers are given in order, so the
    /// message's new columns have to be the catalog's first new ones.
    fn added(&self, before: &Layout, catalog: &TableLayout) -> Vec<Option<Before>> {
        let is_new = |number: i16| number > before.last_number;
        let new = || {
            self.columns
                .iter()
                .filter_map(|column| column.number)
                .filter(|number| is_new(*number))
        };
        let numbers = catalog.attributes.iter().map(|found| found.number);
        let first = numbers.filter(|number| is_new(*number)).take(new().count());
        let written = |column: &LayoutColumn| column.storage != catalog.storage;
        let proven = catalog.storage.is_some()
            && first.eq(new())
            && !before.columns.is_empty()
            && !before.columns.iter().any(written);
        let value = |column: &LayoutColumn| {
            let number = column.number.filter(|number| proven && is_new(*number))?;
            let known = before.columns.iter().any(|own| own.name == column.name);
            let found = catalog
                .attributes
                .iter()
                .find(|found| found.number == number)?;
            match &found.missing {
                _ if known || found.generated => None,
                MissingValue::None => Some(Before::Null),
                MissingValue::Text(text) => Some(Before::Text(text.clone())),
                MissingValue::Opaque => None,
            }
        };
        self.columns.iter().map(value).collect()
    }

    /// Where each of `new`'s columns is found in rows of this, older layout.
    pub(crate) fn origins(&self, new: &Layout) -> Vec<Origin> {
        let origin = |(index, column): (usize, &LayoutColumn)| match self.carries(new, index) {
            Some(own) => Origin::Column(own),
            None if column
                .number
                .is_none_or(|number| number <= self.last_number) =>
            {
                Origin::Unknown
            }
            None => match &column.before {
                Before::Null => Origin::Null,
                Before::Text(text) => Origin::Text(text.clone()),
                Before::Unknown => Origin::Unknown,
            },
        };
        new.columns.iter().enumerate().map(origin).collect()
    }

    /// The column of this layout whose values `new`'s column still has.
    fn carries(&self, new: &Layout, index: usize) -> Option<usize> {
        let column = new.columns.get(index)?;
        column.number?;
        let mut own = self.columns.iter().enumerate();
        let (own, before) = own.find(|(_, own)| own.number == column.number)?;
        let unaltered = before.altered_by == column.altered_by;
        let same_type =
            before.type_oid == column.type_oid && before.type_modifier == column.type_modifier;
        let unwritten = before.storage.is_some() && before.storage == column.storage;
        let is_same = before.sure && (unaltered || (column.sure && same_type && unwritten));
        is_same.then_some(own)
    }

    /// Whether rows of the one are read as the other's.
    pub(crate) fn is_same(&self, other: &Layout) -> bool {
        let settled = Layout {
            seen_at: self.seen_at,
            ..other.clone()
        };
        *self == settled
    }

    /// Where the stream has to come without another relation message for the layout to be sure; none if it is.
    pub(crate) fn sure_from(&self) -> Option<Lsn> {
        let unsure = self.columns.iter().any(|column| !column.sure);
        unsure.then_some(self.seen_at)
    }

    /// The catalog has been found to show it as it was in the log.
    pub(crate) fn make_sure(&mut self) {
        for column in &mut self.columns {
            column.sure = true;
        }
    }

    /// How many columns there are.
    pub(crate) fn len(&self) -> usize {
        self.columns.len()
    }

    /// The name of a column.
    pub(crate) fn name(&self, index: usize) -> &str {
        self.columns.get(index).map_or("", |column| &column.name)
    }
}

impl LayoutColumn {
    fn new(column: &RelationColumn, catalog: &TableLayout, seen: Seen) -> Self {
        let mut all = catalog.attributes.iter();
        let found = all.find(|found| is_named(found, column));
        LayoutColumn {
            name: column.name.clone(),
            type_oid: column.type_oid,
            type_modifier: column.type_modifier,
            number: found.map(|found| found.number),
            altered_by: found.map_or(0, |found| found.altered_by),
            storage: catalog.storage,
            sure: found.is_some_and(|found| !seen.is_early(found.altered_by)),
            before: Before::Unknown,
        }
    }
}

impl Seen {
    /// Whether what that transaction has done is seen too early.
    fn is_early(self, transaction: u32) -> bool {
        match self {
            Seen::Locked => false,
            Seen::During(own) => is_younger(transaction, own),
        }
    }
}

fn is_named(attribute: &Attribute, column: &RelationColumn) -> bool {
    !attribute.dropped
        && attribute.name == column.name
        && attribute.type_oid == column.type_oid
        && attribute.type_modifier == column.type_modifier
}

/// Whether transaction `xid` was given its number after `than`; numbers go round.
fn is_younger(xid: u32, than: u32) -> bool {
    xid != than && xid.wrapping_sub(than) < 1 << 31
}

/// The highest number of a column that was there at the relation message's place, published or not.
fn last_number(catalog: &TableLayout, seen: Seen) -> i16 {
    let was_there = |found: &&Attribute| !seen.is_early(found.altered_by);
    let there = catalog.attributes.iter().filter(was_there);
    there.map(|found| found.number).max().unwrap_or_default()
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
