//! The state of one topic, folded by the rules of positions: which record is a repeat, what a read or
//! a marker overrides, which time a change takes effect at.
//!
//! ```text
//! record ─▶ Action ─┬─ Streamed, Truncate    compared with the partition's last, and with its key's
//!                   └─ Read, marks           compared with each key's alone, and equal applies
//! ```
//!
//! The subtle rule: a deleted key keeps its entry for ever. Its position still tells a late repeat
//! from news, and its effective time still holds back a clock that steps back.
//!
//! Memory is one entry per key ever seen, whatever the number of records.

use std::collections::HashMap;
use std::hash::Hash;

use crate::event::Position;

/// What one record does to its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<K> {
    /// An insert, update or delete of one row.
    Streamed(K),
    /// A row read by a snapshot.
    Read(K),
    /// A TRUNCATE at the source: the keys of this partition are gone.
    Truncate,
    /// A TRUNCATE written to one partition alone: every key of the table is gone.
    TruncateAll,
    /// A snapshot starts over: what it had read of this partition is gone.
    Restart,
    /// A snapshot is complete: keys older than it are gone.
    Complete,
}

impl<K> Action<K> {
    fn cause(&self) -> Cause {
        match self {
            Action::Streamed(_) | Action::Truncate | Action::TruncateAll => Cause::Change,
            Action::Read(_) | Action::Restart | Action::Complete => Cause::Read,
        }
    }
}

/// Where and when a record stands.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Partition of the topic.
    pub partition: i32,
    /// Position of the change.
    pub position: Position,
    /// Its event time, microseconds since 1970.
    pub time_us: i64,
}

/// The last state of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<V> {
    /// Position of the last change applied.
    pub position: Position,
    /// The latest event time so far, microseconds since 1970.
    pub effective_us: i64,
    /// Partition that the key's records are in.
    pub partition: i32,
    /// The row, or `None` when it is absent.
    pub row: Option<V>,
}

impl<V> Entry<V> {
    fn in_partition_below(&self, at: At) -> bool {
        self.partition == at.partition && self.position < at.position
    }

    fn in_partition_at(&self, at: At) -> bool {
        self.partition == at.partition && self.position == at.position
    }
}

/// How a key came to its new state; tells a change of level from a level that a read has set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A change that the source streamed.
    Change,
    /// A snapshot: its read, or a marker that it wrote.
    Read,
}

/// Every key of one topic.
#[derive(Clone, Debug)]
pub struct Keyed<K, V> {
    entries: HashMap<K, Entry<V>>,
    streamed: HashMap<i32, Position>,
    /// The last truncate of the whole table: what is older is gone, in whatever order partitions come.
    floor: Position,
}

impl<K, V> Default for Keyed<K, V> {
    fn default() -> Self {
        Keyed {
            entries: HashMap::new(),
            streamed: HashMap::new(),
            floor: Position::default(),
        }
    }
}

impl<K: Clone + Eq + Hash, V: Clone> Keyed<K, V> {
    /// Applies one record. `row` makes the new row of each key touched from the old one; `on` is told of
    /// the row before, and the entry after. Returns whether the record applied.
    pub fn apply(
        &mut self,
        at: At,
        action: Action<K>,
        row: impl Fn(Option<&V>) -> Option<V>,
        mut on: impl FnMut(&K, Option<&V>, &Entry<V>, Cause),
    ) -> bool {
        let cause = action.cause();
        let on = |key: &K, old: Option<&V>, new: &Entry<V>| on(key, old, new, cause);
        match action {
            Action::Streamed(key) => {
                let seen = self.entries.get(&key).map(|entry| entry.position);
                if self.behind(at) || seen.is_some_and(|seen| at.position <= seen) {
                    return false;
                }
                self.streamed.insert(at.partition, at.position);
                self.set(at, key, row, on);
            }
            Action::Read(key) => {
                let seen = self.entries.get(&key).map(|entry| entry.position);
                if at.position < self.floor || seen.is_some_and(|seen| at.position < seen) {
                    return false;
                }
                self.set(at, key, row, on);
            }
            Action::Truncate => {
                if self
                    .streamed
                    .get(&at.partition)
                    .is_some_and(|last| at.position <= *last)
                {
                    return false;
                }
                self.streamed.insert(at.partition, at.position);
                self.remove(at, |entry| entry.in_partition_below(at), row, on);
            }
            Action::TruncateAll => {
                self.floor = self.floor.max(at.position);
                self.remove(at, |entry| entry.position < at.position, row, on);
            }
            Action::Restart => {
                let older =
                    |entry: &Entry<V>| entry.in_partition_below(at) || entry.in_partition_at(at);
                self.remove(at, older, row, on);
            }
            Action::Complete => {
                self.remove(at, |entry| entry.in_partition_below(at), row, on);
            }
        }
        true
    }

    /// Whether a later streamed change of the partition, or a later truncate, was applied already.
    fn behind(&self, at: At) -> bool {
        at.position < self.floor
            || self
                .streamed
                .get(&at.partition)
                .is_some_and(|last| at.position < *last)
    }

    fn set(
        &mut self,
        at: At,
        key: K,
        row: impl Fn(Option<&V>) -> Option<V>,
        on: impl FnOnce(&K, Option<&V>, &Entry<V>),
    ) {
        let previous = self.entries.get(&key);
        let old = previous.and_then(|entry| entry.row.clone());
        let entry = Entry {
            position: at.position,
            effective_us: previous.map_or(at.time_us, |entry| entry.effective_us.max(at.time_us)),
            partition: at.partition,
            row: row(old.as_ref()),
        };
        on(&key, old.as_ref(), &entry);
        self.entries.insert(key, entry);
    }

    /// Takes the row from the keys that `older` accepts.
    fn remove(
        &mut self,
        at: At,
        older: impl Fn(&Entry<V>) -> bool,
        row: impl Fn(Option<&V>) -> Option<V>,
        mut on: impl FnMut(&K, Option<&V>, &Entry<V>),
    ) {
        for (key, entry) in self.entries.iter_mut().filter(|(_, entry)| older(entry)) {
            let old = entry.row.take();
            entry.row = row(old.as_ref());
            entry.position = at.position;
            entry.effective_us = entry.effective_us.max(at.time_us);
            on(key, old.as_ref(), entry);
        }
    }

    /// The entry of one key.
    pub fn get(&self, key: &K) -> Option<&Entry<V>> {
        self.entries.get(key)
    }

    /// Takes the row of a key out, with its position.
    pub fn take<Q>(&mut self, key: &Q) -> Option<(Position, V)>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entry = self.entries.get_mut(key)?;
        Some((entry.position, entry.row.take()?))
    }

    /// Every key ever seen with its last state, in no order.
    pub fn entries(&self) -> impl Iterator<Item = (&K, &Entry<V>)> {
        self.entries.iter()
    }

    /// The rows that are present, in no order.
    pub fn rows(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.row.as_ref()?)))
    }

    /// Position of the last streamed change applied from the partition.
    pub fn streamed(&self, partition: i32) -> Option<Position> {
        self.streamed.get(&partition).copied()
    }
}
