//! Levels and their hours: one row per key and hour in which the level changed or was set by a read.

use std::collections::HashMap;

use super::super::history::{Action, Cause, Entry, Keyed};
use super::sent::Sent;
use super::{Change, HOUR_US};
use crate::event::Position;

/// Store and product.
pub type Pair = [i64; 2];

/// One row of `inventory_hourly`; its key is store, product and hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockHour {
    /// Level just before the hour.
    pub opening: Option<i32>,
    /// Level after the last change in the hour.
    pub closing: Option<i32>,
    /// Least of the opening and every level reached.
    pub minimum: Option<i32>,
    /// Greatest of the opening and every level reached.
    pub maximum: Option<i32>,
    /// Sum of rises between present levels.
    pub units_in: i64,
    /// Sum of falls between present levels.
    pub units_out: i64,
    /// Signed sum over appearances, disappearances and reads.
    pub units_adjusted: i64,
    /// Changes of level.
    pub changes: i64,
    /// Reads that set the level.
    pub reads: i64,
    /// Units × microseconds up to the last change.
    pub unit_us: i64,
    /// Time at a level of zero or less.
    pub stockout_us: i64,
    /// Time present.
    pub tracked_us: i64,
    /// Effective time of the last change.
    pub last_change_us: i64,
    /// Position of the last change.
    pub position: Position,
}

/// Every level, and every hour of it.
#[derive(Clone, Debug, Default)]
pub struct Stock {
    levels: Keyed<Pair, i32>,
    changed: HashMap<Pair, i64>,
    hours: HashMap<[i64; 3], StockHour>,
}

impl Stock {
    pub(super) fn apply(&mut self, change: &Change<'_>) -> Result<(), String> {
        let pair = |key: &Sent<'_>| Ok([key.id("store_id")?, key.id("product_id")?]);
        let action: Action<Pair> = change.keyed(pair)?;
        let after = change.after(|sent| sent.integer("on_hand"))?;
        let Stock {
            levels,
            changed,
            hours,
        } = self;
        levels.apply(
            change.at,
            action,
            |last| after?.unwrap_or_else(|| last.copied()),
            |pair, old, new, cause| {
                if old.copied() != new.row {
                    let previous = changed.insert(*pair, new.effective_us);
                    record(hours, *pair, old.copied(), previous, new, cause);
                }
            },
        );
        Ok(())
    }

    /// The level, `None` when absent.
    pub fn level(&self, pair: Pair) -> Option<i32> {
        self.levels.get(&pair).and_then(|entry| entry.row)
    }

    /// Every key ever seen with its last state, and when its level last changed.
    pub fn levels(&self) -> impl Iterator<Item = (&Pair, &Entry<i32>, Option<i64>)> {
        self.levels
            .entries()
            .map(|(pair, entry)| (pair, entry, self.changed.get(pair).copied()))
    }

    /// The rows of `inventory_hourly` by store, product and hour.
    pub fn hours(&self) -> &HashMap<[i64; 3], StockHour> {
        &self.hours
    }

    /// Position of the last streamed change applied from the partition.
    pub fn streamed(&self, partition: i32) -> Option<Position> {
        self.levels.streamed(partition)
    }
}

/// Writes a change of level, `before` to `new.row`, into the hour of its effective time.
fn record(
    hours: &mut HashMap<[i64; 3], StockHour>,
    [store, product]: Pair,
    before: Option<i32>,
    previous_us: Option<i64>,
    new: &Entry<i32>,
    cause: Cause,
) {
    let at = new.effective_us;
    let hour = at.div_euclid(HOUR_US) * HOUR_US;
    let row = hours
        .entry([store, product, hour])
        .or_insert_with(|| StockHour {
            opening: before,
            closing: before,
            minimum: before,
            maximum: before,
            units_in: 0,
            units_out: 0,
            units_adjusted: 0,
            changes: 0,
            reads: 0,
            unit_us: 0,
            stockout_us: 0,
            tracked_us: 0,
            last_change_us: hour,
            position: new.position,
        });
    if let Some(level) = before {
        let span = at - previous_us.map_or(hour, |previous| previous.max(hour));
        row.unit_us += i64::from(level) * span;
        row.tracked_us += span;
        row.stockout_us += if level <= 0 { span } else { 0 };
    }
    let difference = i64::from(new.row.unwrap_or(0)) - i64::from(before.unwrap_or(0));
    let between_present = before.is_some() && new.row.is_some();
    match cause {
        Cause::Change if between_present => {
            row.units_in += difference.max(0);
            row.units_out += (-difference).max(0);
        }
        Cause::Change | Cause::Read => row.units_adjusted += difference,
    }
    row.changes += i64::from(cause == Cause::Change);
    row.reads += i64::from(cause == Cause::Read);
    row.minimum = row.minimum.into_iter().chain(new.row).min();
    row.maximum = row.maximum.into_iter().chain(new.row).max();
    row.closing = new.row;
    row.last_change_us = at;
    row.position = new.position;
}
