//! Random histories: topics as a rough source and a rougher network might leave them.
//!
//! Every record is well formed; what is random is what the fold rules exist for: repeats, reads that
//! come late or early, clocks that step back, columns that were not sent.

use std::collections::VecDeque;

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::Record;

/// 2026-11-23 08:00 UTC, where every history begins.
pub(crate) const START_US: i64 = 1_795_420_800_000_000;
const SECOND_US: i64 = 1_000_000;

/// The seed of this run, printed so that a failure can be run again with `TIDEWATER_TEST_SEED`.
pub(crate) fn seed() -> u64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "tests are configured by the environment"
    )]
    let given = std::env::var("TIDEWATER_TEST_SEED").ok();
    let seed = given.map_or_else(|| rand::rng().random(), |seed| seed.parse().unwrap());
    println!("seed: TIDEWATER_TEST_SEED={seed}");
    seed
}

/// Writes one topic.
struct Writer<'r> {
    rng: &'r mut ChaCha8Rng,
    partitions: Vec<Vec<Record>>,
    lsn: u64,
    ordinal: u64,
    clock: i64,
}

/// The topic of stock levels of 3 stores × 4 products.
pub(crate) fn inventory(rng: &mut ChaCha8Rng, partitions: usize, events: usize) -> Vec<Record> {
    let mut writer = Writer::new(rng, partitions);
    while writer.len() < events {
        let (store, product) = (
            writer.rng.random_range(1..=3),
            writer.rng.random_range(1..=4),
        );
        let key = json!({"store_id": store, "product_id": product});
        writer.step(&key, |rng| {
            let on_hand = match rng.random_range(0..10) {
                0 => Value::Null,
                1..=2 => json!(0),
                3 => json!(-3),
                // Few levels, so that changes often leave the level as it was.
                _ => json!(rng.random_range(1..=6)),
            };
            json!({"store_id": store, "product_id": product, "on_hand": on_hand, "target_stock": 9})
        });
    }
    writer.finish()
}

/// The topic of 40 orders by 3 customers.
pub(crate) fn orders(rng: &mut ChaCha8Rng, partitions: usize, events: usize) -> Vec<Record> {
    let mut writer = Writer::new(rng, partitions);
    while writer.len() < events {
        let id = writer.rng.random_range(1..=40);
        writer.step(&json!({"order_id": id}), |rng| order(rng, id));
    }
    writer.finish()
}

/// The topic of 5 customers.
pub(crate) fn customers(rng: &mut ChaCha8Rng, partitions: usize, events: usize) -> Vec<Record> {
    let mut writer = Writer::new(rng, partitions);
    while writer.len() < events {
        let id = writer.rng.random_range(1..=5);
        writer.step(&json!({"customer_id": id}), |rng| {
            let tier = *["premium", "premium", "standard"].choose(rng).unwrap();
            json!({"customer_id": id, "tier": tier, "contact_allowed": rng.random_bool(0.8)})
        });
    }
    writer.finish()
}

fn order(rng: &mut ChaCha8Rng, id: i64) -> Value {
    let rarely = |rng: &mut ChaCha8Rng, value: Value| {
        if rng.random_bool(0.06) {
            Value::Null
        } else {
            value
        }
    };
    let prices = [
        "12.50",
        "0.99",
        "7",
        "3.333333",
        "0.0000001",
        "NaN",
        "Infinity",
        "100",
    ];
    let statuses = [
        "placed",
        "paid",
        "shipped",
        "delivered",
        "cancelled",
        "returned",
        "Cancelled",
    ];
    let ago = rng.random_range(0..40 * 24) * 3600 * SECOND_US;
    let placed_at = match rng.random_range(0..20) {
        0 => json!("infinity"),
        1 => json!("-infinity"),
        _ => json!(iso(START_US - ago - rng.random_range(0..3600 * SECOND_US))),
    };
    let (customer, store) = (rng.random_range(1..=3), rng.random_range(1..=2));
    let (product, quantity) = (rng.random_range(1..=2), rng.random_range(0..=5));
    let (price, status) = (*prices.choose(rng).unwrap(), *statuses.choose(rng).unwrap());
    json!({
        "order_id": id,
        "customer_id": rarely(rng, json!(customer)),
        "store_id": rarely(rng, json!(store)),
        "product_id": rarely(rng, json!(product)),
        "quantity": rarely(rng, json!(quantity)),
        "unit_price": rarely(rng, json!(price)),
        "status": rarely(rng, json!(status)),
        "promotion_code": null,
        "placed_at": rarely(rng, placed_at),
    })
}

/// `2026-11-23T08:00:00.123456Z`.
fn iso(at: i64) -> String {
    let days = at.div_euclid(86_400 * SECOND_US);
    let (mut year, mut day) = (1970, days);
    while day >= if year % 4 == 0 { 366 } else { 365 } {
        day -= if year % 4 == 0 { 366 } else { 365 };
        year += 1;
    }
    let february = if year % 4 == 0 { 29 } else { 28 };
    let mut month = 1;
    for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    let clock = at.rem_euclid(86_400 * SECOND_US);
    let (seconds, micros) = (clock / SECOND_US, clock % SECOND_US);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!(
        "{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z",
        day + 1
    )
}

impl<'r> Writer<'r> {
    fn new(rng: &'r mut ChaCha8Rng, partitions: usize) -> Self {
        let partitions = vec![Vec::new(); partitions];
        Writer {
            rng,
            partitions,
            lsn: 0x1000_0000,
            ordinal: 0,
            clock: START_US,
        }
    }

    fn len(&self) -> usize {
        self.partitions.iter().map(Vec::len).sum()
    }

    fn finish(self) -> Vec<Record> {
        self.partitions.into_iter().flatten().collect()
    }

    /// A key stays in its partition.
    fn home(&self, key: &Value) -> usize {
        let sum: i64 = key
            .as_object()
            .unwrap()
            .values()
            .filter_map(Value::as_i64)
            .sum();
        usize::try_from(sum).unwrap() % self.partitions.len()
    }

    /// Writes one or a few records around one key.
    fn step(&mut self, key: &Value, row: impl Fn(&mut ChaCha8Rng) -> Value) {
        self.advance();
        let home = self.home(key);
        let after = row(self.rng);
        match self.rng.random_range(0..100) {
            0..44 => self.change("c", home, key, Some(after)),
            44..58 => self.partial_update(home, key, after),
            58..66 => self.delete(home, key),
            66..72 => self.key_change(home, key, after),
            72..78 => self.repeat(home),
            78..84 => self.read(0, home, key, after),
            84..87 => self.read(0x300, home, key, after),
            87..90 => self.repeat_read(home, key, after),
            90..92 => self.stale_read(home, key, after),
            92 => self.truncate(),
            93 => self.snapshot_end(),
            94 if self.rng.random_bool(0.5) => self.restart(),
            _ => {
                // The next transaction, hours later.
                self.clock += self.rng.random_range(1..5) * 1800 * SECOND_US;
                self.change("c", home, key, Some(after));
            }
        }
    }

    /// The next change: of the same transaction, or of another that may have an earlier time.
    fn advance(&mut self) {
        self.ordinal += 1;
        if self.rng.random_bool(0.6) {
            self.lsn += self.rng.random_range(1..0x100);
            self.ordinal = 1;
            self.clock += self.rng.random_range(-60..600) * SECOND_US + 7;
        }
    }

    fn push(&mut self, partition: usize, key: Option<&Value>, value: Option<&Value>) {
        let records = &mut self.partitions[partition];
        let bytes = |json: &Value| serde_json::to_vec(json).unwrap();
        records.push(Record {
            partition: i32::try_from(partition).unwrap(),
            offset: i64::try_from(records.len()).unwrap(),
            key: key.map(bytes),
            value: value.map(bytes),
            headers: Vec::new(),
        });
    }

    fn event(&self, op: &str, lsn: u64, ordinal: u64, after: Option<&Value>) -> Value {
        let position = format!("1:{:X}/{:X}:{ordinal}", lsn >> 32, lsn & 0xFFFF_FFFF);
        let snapshot = if ordinal == 0 { "true" } else { "false" };
        let mut event = json!({
            "before": null, "after": after, "op": op,
            "source": {"ts_us": self.clock, "position": position, "snapshot": snapshot,
                       "schema": "public", "table": "t", "txId": 7, "lsn": lsn},
        });
        if op == "t" {
            event["source"]["scope"] = json!("partition");
        }
        event
    }

    fn change(&mut self, op: &str, home: usize, key: &Value, after: Option<Value>) {
        let event = self.event(op, self.lsn, self.ordinal, after.as_ref());
        self.push(home, Some(key), Some(&event));
    }

    /// An update that leaves out a column, for a key whose last record has them all.
    fn partial_update(&mut self, home: usize, key: &Value, mut after: Value) {
        let bytes = serde_json::to_vec(key).unwrap();
        let last = self.partitions[home]
            .iter()
            .rfind(|record| record.key.as_ref() == Some(&bytes));
        let present = last
            .and_then(|record| record.value.as_ref())
            .is_some_and(|value| serde_json::from_slice::<Value>(value).unwrap()["op"] != "d");
        let marked = self.partitions[home]
            .iter()
            .any(|record| record.key.is_none());
        let columns = after.as_object_mut().unwrap();
        if present && !marked {
            let names: Vec<String> = columns
                .keys()
                .filter(|name| key.get(name).is_none())
                .cloned()
                .collect();
            columns.remove(names.choose(self.rng).unwrap());
        }
        self.change("u", home, key, Some(after));
    }

    fn delete(&mut self, home: usize, key: &Value) {
        self.change("d", home, key, None);
        self.push(home, Some(key), None);
    }

    /// Delete, tombstone and create share a position; half of the time a partition too.
    fn key_change(&mut self, home: usize, key: &Value, after: Value) {
        self.delete(home, key);
        let mut other = key.clone();
        let columns = other.as_object_mut().unwrap();
        let shift = if self.rng.random_bool(0.5) {
            self.partitions.len()
        } else {
            1
        };
        let column = columns.values_mut().next().unwrap();
        *column = json!(column.as_i64().unwrap() + i64::try_from(shift).unwrap());
        let home = self.home(&other);
        self.change("c", home, &other, Some(after));
    }

    /// The last records of a partition once more.
    fn repeat(&mut self, home: usize) {
        let from = self.partitions[home]
            .len()
            .saturating_sub(self.rng.random_range(1..6));
        let partition = &mut self.partitions[home];
        partition.extend_from_within(from..);
        for (offset, record) in partition.iter_mut().enumerate() {
            record.offset = i64::try_from(offset).unwrap();
        }
    }

    /// A read at the next LSN, or so far ahead that streamed changes fall below it.
    fn read(&mut self, ahead: u64, home: usize, key: &Value, after: Value) {
        if ahead == 0 {
            self.lsn += 1;
            self.ordinal = 0;
        }
        let event = self.event("r", self.lsn + ahead, 0, Some(&after));
        self.push(home, Some(key), Some(&event));
    }

    /// The same read twice, the second time with another row.
    fn repeat_read(&mut self, home: usize, key: &Value, after: Value) {
        self.read(0, home, key, after.clone());
        let event = self.event("r", self.lsn, 0, Some(&after));
        self.push(home, Some(key), Some(&event));
    }

    fn stale_read(&mut self, home: usize, key: &Value, after: Value) {
        let event = self.event("r", self.lsn - 0x800, 0, Some(&after));
        self.push(home, Some(key), Some(&event));
    }

    fn truncate(&mut self) {
        let event = self.event("t", self.lsn, self.ordinal, None);
        for partition in 0..self.partitions.len() {
            self.push(partition, None, Some(&event));
            if self.rng.random_bool(0.3) {
                self.push(partition, None, Some(&event));
            }
        }
    }

    /// The end of a snapshot whose consistent point lies a little back.
    fn snapshot_end(&mut self) {
        let lsn = self.lsn - self.rng.random_range(0..0x400);
        let position = format!("1:{:X}/{:X}:0", lsn >> 32, lsn & 0xFFFF_FFFF);
        for partition in 0..self.partitions.len() {
            self.push(partition, None, None);
            let clock = self.clock.to_string();
            let mark = self.partitions[partition].last_mut().unwrap();
            mark.headers = vec![
                ("tidewater.mark".to_owned(), "snapshot-end".to_owned()),
                ("tidewater.position".to_owned(), position.clone()),
                ("tidewater.ts_us".to_owned(), clock),
            ];
        }
    }

    fn restart(&mut self) {
        let event = self.event("t", self.lsn, 0, None);
        for partition in 0..self.partitions.len() {
            self.push(partition, None, Some(&event));
        }
    }
}

/// Everything of some lanes in a random order that keeps each lane's own.
pub(crate) fn interleaved<T>(mut lanes: Vec<VecDeque<T>>, rng: &mut ChaCha8Rng) -> Vec<T> {
    let all = lanes.iter().map(VecDeque::len).sum();
    let mut order = Vec::with_capacity(all);
    while order.len() < all {
        let lane = rng.random_range(0..lanes.len());
        order.extend(lanes[lane].pop_front());
    }
    order
}

/// The records of each partition.
pub(crate) fn lanes(records: &[Record], partitions: usize) -> Vec<VecDeque<&Record>> {
    let mut lanes = vec![VecDeque::new(); partitions];
    for record in records {
        lanes[usize::try_from(record.partition).unwrap()].push_back(record);
    }
    lanes
}
