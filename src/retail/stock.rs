//! Stock levels: the fold of one key's changes into the rows of its hours.
//!
//! ```text
//! level  5 ──────┐      ┌───── 8 ───
//!                └─ 3 ──┘
//!             e1        e2         rows of the hour: opening 5, closing 8, minimum 3, maximum 8,
//!        H ───┴─────────┴───▶      out 2, in 5, unit_us 5·(e1−H) + 3·(e2−e1)
//! ```
//!
//! The one rule: a change writes only its own hour, and adds the time since the level last changed
//! *within that hour*. Times of a key never step back, so its hours never do either, and rows that
//! a batch made merge into the stored one by addition alone.

use super::sequence::{Origin, Stamp, Standing};
use super::time::{Hour, Timestamp};
use super::touched::Pair;
use crate::event::Position;

/// The last image of one (store, product).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Units on hand; `None` when absent.
    pub on_hand: Option<i32>,
    /// Position and effective time.
    pub standing: Standing,
    /// When the level last changed or was set; `None` when it never was present.
    pub changed_at: Option<Timestamp>,
    /// Partition of the inventory topic.
    pub partition: i32,
}

/// What a batch adds to one row of `inventory_hourly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StockHour {
    /// Store and product.
    pub pair: Pair,
    /// The hour.
    pub hour: Hour,
    /// Level before the first change of the batch in this hour.
    pub opening: Option<i32>,
    /// Level after the last one.
    pub closing: Option<i32>,
    /// Least level over opening and all that were reached.
    pub minimum: Option<i32>,
    /// Greatest level over the same.
    pub maximum: Option<i32>,
    /// Sum of rises between present levels.
    pub units_in: i64,
    /// Sum of falls between present levels.
    pub units_out: i64,
    /// Signed sum over appearances, disappearances and reads that set the level.
    pub units_adjusted: i64,
    /// Changes of level.
    pub changes: i64,
    /// Reads that set the level.
    pub reads: i64,
    /// Integral of the level, units × µs.
    pub unit_us: i64,
    /// Time at a level of zero or less, µs.
    pub stockout_us: i64,
    /// Time present, µs.
    pub tracked_us: i64,
    /// Effective time of the last change.
    pub last_change_at: Timestamp,
    /// Position of the last change.
    pub position: Position,
}

impl StockHour {
    fn open(pair: Pair, hour: Hour, opening: Option<i32>, standing: &Standing) -> Self {
        StockHour {
            pair,
            hour,
            opening,
            closing: opening,
            minimum: opening,
            maximum: opening,
            units_in: 0,
            units_out: 0,
            units_adjusted: 0,
            changes: 0,
            reads: 0,
            unit_us: 0,
            stockout_us: 0,
            tracked_us: 0,
            last_change_at: standing.effective_at,
            position: standing.position,
        }
    }

    /// Takes the level from `closing` to `level` at `standing`; `since` is when it was last set.
    fn change(
        &mut self,
        level: Option<i32>,
        since: Option<Timestamp>,
        standing: &Standing,
        origin: Origin,
    ) {
        let at = standing.effective_at;
        let from = since.map_or(self.hour.start(), |since| since.max(self.hour.start()));
        if let Some(before) = self.closing {
            let span = at.micros_since(from);
            self.unit_us += i64::from(before) * span;
            self.tracked_us += span;
            self.stockout_us += if before <= 0 { span } else { 0 };
        }
        let step = i64::from(level.unwrap_or(0)) - i64::from(self.closing.unwrap_or(0));
        match (origin, self.closing, level) {
            (Origin::Streamed, Some(_), Some(_)) if step > 0 => self.units_in += step,
            (Origin::Streamed, Some(_), Some(_)) => self.units_out -= step,
            (Origin::Streamed | Origin::Read, _, _) => self.units_adjusted += step,
        }
        match origin {
            Origin::Streamed => self.changes += 1,
            Origin::Read => self.reads += 1,
        }
        self.closing = level;
        self.minimum = self.minimum.into_iter().chain(level).min();
        self.maximum = self.maximum.into_iter().chain(level).max();
        self.last_change_at = at;
        self.position = standing.position;
    }
}

/// One key during a batch: its image, and the hour row it is writing.
#[derive(Clone, Copy, Debug)]
pub struct Stock {
    pair: Pair,
    level: Option<Level>,
    /// Index of the newest row of this key in the batch's rows.
    row: Option<usize>,
    dirty: bool,
}

/// What one change did to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Seen before: ignored.
    Repeat,
    /// Position and effective time advanced, nothing else.
    Advanced,
    /// The aggregates changed.
    Changed,
}

impl Stock {
    /// A key as the sink has it; `None` when it was never seen.
    pub fn new(pair: Pair, level: Option<Level>) -> Self {
        Stock {
            pair,
            level,
            row: None,
            dirty: false,
        }
    }

    /// The image to write, if the batch moved it.
    pub fn changed(&self) -> Option<(Pair, &Level)> {
        self.level
            .as_ref()
            .filter(|_| self.dirty)
            .map(|level| (self.pair, level))
    }

    /// The level now; `None` when absent.
    pub fn on_hand(&self) -> Option<i32> {
        self.level.and_then(|level| level.on_hand)
    }

    /// Applies one change that leaves the key at `level`.
    pub fn apply(
        &mut self,
        level: Option<i32>,
        stamp: &Stamp,
        streamed: &mut Option<Position>,
        rows: &mut Vec<StockHour>,
    ) -> Effect {
        let before = self.level;
        let Some(standing) = Standing::admit(before.map(|level| level.standing), streamed, stamp)
        else {
            return Effect::Repeat;
        };
        let on_hand = self.on_hand();
        let mut changed_at = before.and_then(|level| level.changed_at);
        let changed = on_hand != level;
        if changed {
            let row = self.row_of(standing.effective_at.hour(), on_hand, &standing, rows);
            if let Some(row) = row {
                row.change(level, changed_at, &standing, stamp.origin);
            }
            changed_at = Some(standing.effective_at);
        }
        let partition = stamp.partition;
        self.level = Some(Level {
            on_hand: level,
            standing,
            changed_at,
            partition,
        });
        self.dirty = true;
        if changed {
            Effect::Changed
        } else {
            Effect::Advanced
        }
    }

    fn row_of<'a>(
        &mut self,
        hour: Hour,
        opening: Option<i32>,
        standing: &Standing,
        rows: &'a mut Vec<StockHour>,
    ) -> Option<&'a mut StockHour> {
        let open = self
            .row
            .filter(|&row| rows.get(row).is_some_and(|row| row.hour == hour));
        let row = open.unwrap_or_else(|| {
            rows.push(StockHour::open(self.pair, hour, opening, standing));
            rows.len() - 1
        });
        self.row = Some(row);
        rows.get_mut(row)
    }
}
