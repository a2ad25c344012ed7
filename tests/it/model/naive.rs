//! Aggregates from the whole history at once: first which change applied to which key and when, then
//! what each key's timeline amounts to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::Record;
use super::calendar::micros;

const HOUR: i64 = 3_600_000_000;

/// `1:16/B374D848:3` as numbers that compare in the right order.
pub(crate) type Position = (u64, u64, u64);

/// Reads a position.
pub(crate) fn position(text: &str) -> Position {
    let parts: Vec<&str> = text.split([':', '/']).collect();
    let [epoch, high, low, ordinal] = parts[..] else {
        panic!("not a position: {text}")
    };
    let hex = |digits| u64::from_str_radix(digits, 16).unwrap();
    (
        epoch.parse().unwrap(),
        hex(high) << 32 | hex(low),
        ordinal.parse().unwrap(),
    )
}

/// One change that applied to one key.
#[derive(Clone, Debug)]
struct Step {
    position: Position,
    effective: i64,
    by_read: bool,
    /// The row's columns after it; `None` when absent.
    row: Option<BTreeMap<String, Value>>,
}

/// Everything that ever applied to each key of one topic, and how often each rule was needed.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    steps: BTreeMap<String, (i32, Vec<Step>)>,
    last_streamed: BTreeMap<i32, Position>,
    /// How often each case occurred; tests demand that none is missing.
    pub(crate) cases: BTreeMap<&'static str, u64>,
}

impl History {
    /// Reads a topic's records in the order of their partitions.
    pub(crate) fn of(records: &[Record]) -> History {
        let mut history = History::default();
        for record in records {
            history.record(record);
        }
        history
    }

    fn case(&mut self, name: &'static str) {
        *self.cases.entry(name).or_default() += 1;
    }

    fn record(&mut self, record: &Record) {
        let Some(value) = &record.value else {
            if record.header("tidewater.mark") == Some("snapshot-end") {
                let at = position(record.header("tidewater.position").unwrap());
                let time = record.header("tidewater.ts_us").unwrap().parse().unwrap();
                self.case("snapshot end");
                self.whole_partition(record.partition, at, time, true, false);
            } else {
                self.case("tombstone");
            }
            return;
        };
        let event: Value = serde_json::from_slice(value).unwrap();
        let at = position(event["source"]["position"].as_str().unwrap());
        let time = event["source"]["ts_us"].as_i64().unwrap();
        let last = self.last_streamed.get(&record.partition).copied();
        match event["op"].as_str().unwrap() {
            "t" if at.2 == 0 => {
                self.case("snapshot starts over");
                self.whole_partition(record.partition, at, time, true, true);
            }
            "t" if last.is_some_and(|last| at <= last) => self.case("truncate repeated"),
            "t" => {
                self.case("truncate");
                self.last_streamed.insert(record.partition, at);
                self.whole_partition(record.partition, at, time, false, false);
            }
            op => self.row(record, &event, op, at, time),
        }
    }

    fn row(&mut self, record: &Record, event: &Value, op: &str, at: Position, time: i64) {
        let key = String::from_utf8(record.key.clone().unwrap()).unwrap();
        let known = self
            .steps
            .get(&key)
            .and_then(|(_, steps)| steps.last())
            .cloned();
        let last = self.last_streamed.get(&record.partition).copied();
        if op == "r" {
            match known.as_ref().map(|known| at.cmp(&known.position)) {
                Some(std::cmp::Ordering::Less) => return self.case("read below its key"),
                Some(std::cmp::Ordering::Equal) => self.case("read equal to its key"),
                Some(std::cmp::Ordering::Greater) => self.case("read above its key"),
                None => self.case("read of a new key"),
            }
        } else {
            if last.is_some_and(|last| at < last) {
                return self.case("change below its partition");
            }
            if known.as_ref().is_some_and(|known| at <= known.position) {
                return self.case("change not above its key");
            }
            if last == Some(at) {
                self.case("second half of a key change");
            }
            self.last_streamed.insert(record.partition, at);
        }
        let before = known.as_ref().and_then(|known| known.row.clone());
        let row = (op != "d").then(|| {
            let mut row = before.clone().unwrap_or_default();
            let after = event["after"].as_object().unwrap();
            if before.is_some() && row.keys().any(|column| !after.contains_key(column)) {
                self.case("column not sent");
            }
            row.extend(
                after
                    .iter()
                    .map(|(column, value)| (column.clone(), value.clone())),
            );
            row
        });
        if op == "d" {
            self.case(if before.is_some() {
                "delete"
            } else {
                "delete of an absent key"
            });
        }
        self.push(&key, record.partition, at, time, op == "r", row);
    }

    /// Every key of the partition that is older becomes absent.
    fn whole_partition(
        &mut self,
        partition: i32,
        at: Position,
        time: i64,
        read: bool,
        equal: bool,
    ) {
        let keys: Vec<String> = self.steps.keys().cloned().collect();
        for key in keys {
            let (home, steps) = &self.steps[&key];
            let Some(last) = steps.last() else { continue };
            let older = last.position < at || (equal && last.position == at);
            if *home != partition || !older {
                if *home == partition {
                    self.case("key newer than a mark");
                }
                continue;
            }
            if last.row.is_some() {
                self.case(if read {
                    "removed by a mark"
                } else {
                    "removed by a truncate"
                });
            }
            self.push(&key, partition, at, time, read, None);
        }
    }

    fn push(
        &mut self,
        key: &str,
        partition: i32,
        position: Position,
        time: i64,
        by_read: bool,
        row: Option<BTreeMap<String, Value>>,
    ) {
        let (_, steps) = self
            .steps
            .entry(key.to_owned())
            .or_insert((partition, Vec::new()));
        let effective = steps
            .iter()
            .map(|step| step.effective)
            .chain([time])
            .max()
            .unwrap();
        let stepped_back = effective > time;
        steps.push(Step {
            position,
            effective,
            by_read,
            row,
        });
        if stepped_back {
            self.case("clock stepped back");
        }
    }
}

/// `inventory_hourly` without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StockHour {
    pub(crate) opening: Option<i64>,
    pub(crate) closing: Option<i64>,
    pub(crate) minimum: Option<i64>,
    pub(crate) maximum: Option<i64>,
    pub(crate) units_in: i64,
    pub(crate) units_out: i64,
    pub(crate) units_adjusted: i64,
    pub(crate) changes: i64,
    pub(crate) reads: i64,
    pub(crate) unit_us: i64,
    pub(crate) stockout_us: i64,
    pub(crate) tracked_us: i64,
    pub(crate) last_change_at: i64,
    pub(crate) position: Position,
}

/// `sales_hourly` without its key; revenues in millionths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sales {
    pub(crate) orders: i64,
    pub(crate) units: i64,
    pub(crate) revenue: i128,
    pub(crate) cancelled_orders: i64,
    pub(crate) cancelled_units: i64,
    pub(crate) cancelled_revenue: i128,
}

/// `purchase_habit` without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Habit {
    pub(crate) orders: i64,
    pub(crate) units: i64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

/// Every aggregate, by its key: store, product and hour; customer, store and product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Aggregates {
    pub(crate) inventory_hourly: BTreeMap<(i64, i64, i64), StockHour>,
    pub(crate) sales_hourly: BTreeMap<(i64, i64, i64), Sales>,
    pub(crate) purchase_habit: BTreeMap<(i64, i64, i64), Habit>,
}

impl Aggregates {
    /// Computes them from the histories of the inventory and the orders topic.
    pub(crate) fn of(inventory: &mut History, orders: &mut History) -> Aggregates {
        let mut aggregates = Aggregates::default();
        for (key, (_, steps)) in inventory.steps.clone() {
            let key: Value = serde_json::from_str(&key).unwrap();
            let pair = (
                key["store_id"].as_i64().unwrap(),
                key["product_id"].as_i64().unwrap(),
            );
            aggregates.stock(inventory, pair, &steps);
        }
        for (_, steps) in orders.steps.clone().into_values() {
            if let Some(row) = steps.last().and_then(|step| step.row.as_ref()) {
                aggregates.order(orders, row);
            }
        }
        aggregates
    }

    /// One key's timeline: the changes of level alone, then hour by hour.
    fn stock(&mut self, history: &mut History, pair: (i64, i64), steps: &[Step]) {
        let level = |step: &Step| {
            step.row
                .as_ref()
                .and_then(|row| row.get("on_hand")?.as_i64())
        };
        // (when, level, by a read, position), the level differing from the one before.
        let mut line: Vec<(i64, Option<i64>, bool, Position)> = Vec::new();
        let mut current = None;
        for step in steps {
            if level(step) == current {
                let case = if step.by_read {
                    "read of a known level"
                } else {
                    "level unchanged"
                };
                history.case(case);
                continue;
            }
            history.case(match (step.by_read, current, level(step)) {
                (true, _, _) => "level set by a read",
                (false, None, _) => "level appears",
                (false, _, None) => "level disappears",
                (false, Some(before), Some(after)) if after > before => "level rises",
                (false, Some(_), Some(_)) => "level falls",
            });
            if step
                .row
                .as_ref()
                .is_some_and(|row| row.get("on_hand").is_none_or(Value::is_null))
            {
                history.case("level null");
            }
            if level(step).is_some_and(|level| level <= 0) {
                history.case("level zero or less");
            }
            current = level(step);
            line.push((step.effective, current, step.by_read, step.position));
        }
        let hours: BTreeSet<i64> = line
            .iter()
            .map(|(at, ..)| at.div_euclid(HOUR) * HOUR)
            .collect();
        if hours.len() > 1 {
            history.case("level changes in several hours");
        }
        for hour in hours {
            self.inventory_hourly
                .insert((pair.0, pair.1, hour), stock_hour(&line, hour));
        }
    }

    fn order(&mut self, history: &mut History, row: &BTreeMap<String, Value>) {
        let integer = |column: &str| row.get(column).and_then(Value::as_i64);
        let text = |column: &str| row.get(column).and_then(Value::as_str);
        let cancelled = matches!(text("status"), Some("cancelled" | "returned"));
        if text("status").is_none() {
            history.case("status null");
        }
        let placed = text("placed_at").and_then(micros);
        let price = text("unit_price").and_then(price);
        let counted = (
            integer("store_id"),
            integer("product_id"),
            integer("quantity"),
            price,
            placed,
        );
        let (Some(store), Some(product), Some(units), Some(price), Some(placed)) = counted else {
            for (case, absent) in [
                ("store null", counted.0.is_none()),
                ("product null", counted.1.is_none()),
                ("quantity null", counted.2.is_none()),
                ("price null or not finite", counted.3.is_none()),
                ("placed_at null or infinite", counted.4.is_none()),
            ] {
                if absent {
                    history.case(case);
                }
            }
            return;
        };
        let hour = placed.div_euclid(HOUR) * HOUR;
        let sales = self.sales_hourly.entry((store, product, hour)).or_default();
        let revenue = price * i128::from(units);
        if cancelled {
            history.case("order cancelled");
            sales.cancelled_orders += 1;
            sales.cancelled_units += units;
            sales.cancelled_revenue += revenue;
            return;
        }
        sales.orders += 1;
        sales.units += units;
        sales.revenue += revenue;
        let Some(customer) = integer("customer_id") else {
            return history.case("customer null");
        };
        let habit = self
            .purchase_habit
            .entry((customer, store, product))
            .or_insert(Habit {
                orders: 0,
                units: 0,
                first_at: placed,
                last_at: placed,
            });
        habit.orders += 1;
        habit.units += units;
        habit.first_at = habit.first_at.min(placed);
        habit.last_at = habit.last_at.max(placed);
    }
}

/// One hour of a timeline: a walk over its segments from the hour's start to its last change.
fn stock_hour(line: &[(i64, Option<i64>, bool, Position)], hour: i64) -> StockHour {
    let opening = line
        .iter()
        .rev()
        .find(|(at, ..)| *at < hour)
        .and_then(|(_, level, ..)| *level);
    let inside: Vec<_> = line
        .iter()
        .filter(|(at, ..)| (hour..hour + HOUR).contains(at))
        .collect();
    let (last_change_at, closing, _, position) = **inside.last().unwrap();
    let levels = || inside.iter().map(|(_, level, ..)| *level);
    let before = || std::iter::once(opening).chain(levels());
    let starts = std::iter::once(hour).chain(inside.iter().map(|(at, ..)| *at));
    let segments: Vec<(i64, Option<i64>)> = starts
        .zip(before())
        .zip(inside.iter().map(|(at, ..)| *at))
        .map(|((start, level), end)| (end - start, level))
        .collect();
    let steps: Vec<(Option<i64>, Option<i64>, bool)> = before()
        .zip(&inside)
        .map(|(before, (_, after, read, _))| (before, *after, *read))
        .collect();
    let moved = |sign: i64| {
        steps
            .iter()
            .filter(|(_, _, read)| !read)
            .filter_map(|(before, after, _)| Some(sign * ((*after)? - (*before)?)))
            .filter(|units| *units > 0)
            .sum()
    };
    let adjusted = |(before, after, read): &&(Option<i64>, Option<i64>, bool)| {
        *read || before.is_none() || after.is_none()
    };
    StockHour {
        opening,
        closing,
        minimum: before().flatten().min(),
        maximum: before().flatten().max(),
        units_in: moved(1),
        units_out: moved(-1),
        units_adjusted: steps
            .iter()
            .filter(adjusted)
            .map(|(before, after, _)| after.unwrap_or(0) - before.unwrap_or(0))
            .sum(),
        changes: steps.iter().filter(|(_, _, read)| !read).count() as i64,
        reads: steps.iter().filter(|(_, _, read)| *read).count() as i64,
        unit_us: segments
            .iter()
            .map(|(span, level)| span * level.unwrap_or(0))
            .sum(),
        stockout_us: segments
            .iter()
            .filter(|(_, level)| level.is_some_and(|level| level <= 0))
            .map(|(span, _)| span)
            .sum(),
        tracked_us: segments
            .iter()
            .filter(|(_, level)| level.is_some())
            .map(|(span, _)| span)
            .sum(),
        last_change_at,
        position,
    }
}

/// Millionths of a price with at most six decimals.
fn price(text: &str) -> Option<i128> {
    if text.contains(['N', 'I']) {
        return None;
    }
    let decimals = text.split('.').nth(1).unwrap_or("").len();
    let digits: i128 = text.replace('.', "").parse().unwrap();
    (decimals <= 6).then(|| digits * 10_i128.pow(6 - decimals as u32))
}
