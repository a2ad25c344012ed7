//! From a topic's record to a typed change.
//!
//! Reads lossless JSON, with or without schema, with positions and `each-partition` truncates; any
//! other record is a definite error that names where it lies and the setting that would mend it, and
//! never shows a value.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::customer::CustomerColumns;
use super::field::{Column, Field};
use super::money::Price;
use super::names::Names;
use super::order::OrderColumns;
use super::sequence::{Origin, Stamp};
use super::time::{Moment, Timestamp};
use super::touched::Pair;
use crate::config::mapping::Mapping;
use crate::event::{Envelope, Operation, Position, Source};

/// Which table a topic carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Stock levels, keyed by store and product.
    Inventory,
    /// Orders, keyed by their id.
    Orders,
    /// Customers, keyed by their id.
    Customers,
}

impl Table {
    /// All of them.
    pub const ALL: [Table; 3] = [Table::Inventory, Table::Orders, Table::Customers];
}

/// One record as Kafka hands it over.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Partition of the topic.
    pub partition: i32,
    /// Key bytes.
    pub key: Option<&'a [u8]>,
    /// Value bytes.
    pub value: Option<&'a [u8]>,
    /// Headers of a record without key and value.
    pub mark: Option<Mark<'a>>,
}

/// The headers `tidewater.mark`, `tidewater.position` and `tidewater.ts_us`.
#[derive(Clone, Copy, Debug)]
pub struct Mark<'a> {
    /// What is marked.
    pub name: &'a [u8],
    /// The lowest position that counts as after it.
    pub position: &'a [u8],
    /// Event time, microseconds since 1970, as decimal text.
    pub at_us: &'a [u8],
}

/// A typed change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// One row.
    Keyed(Keyed),
    /// All keys of one partition.
    Whole(Whole),
}

/// A change of one row. `None` stands for a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyed {
    /// Where it stands.
    pub stamp: Stamp,
    /// Whose row, and its columns.
    pub row: Row,
}

/// Whose row, and the columns that the event carries; `None` for a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// A stock level.
    Stock(Pair, Option<Field<i32>>),
    /// An order.
    Order(i64, Option<OrderColumns>),
    /// A customer.
    Customer(i64, Option<CustomerColumns>),
}

/// A change of all keys of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Of which table.
    pub table: Table,
    /// What happened.
    pub kind: WholeKind,
    /// Where it stands.
    pub stamp: Stamp,
}

/// What happened to all keys of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WholeKind {
    /// All of them were removed; of a snapshot's marker, those not above its position.
    Truncate,
    /// A complete snapshot ended: keys that it has not set are gone.
    SnapshotEnd,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// Not a change event.
    #[error(
        "its value is no change event in json: write the topic with format.encoding = \"json\""
    )]
    Envelope(#[source] serde_json::Error),
    /// Written without positions.
    #[error("it has no source.position: write the topic with format.values = \"lossless\"")]
    NoPosition,
    /// The position's text.
    #[error("its source.position is malformed")]
    Position(#[from] crate::event::ParsePositionError),
    /// The key's columns.
    #[error(
        "its key is not exactly {expected}, as whole numbers: the table's primary key must be these columns, \
         and [retail] name them"
    )]
    Key {
        /// The columns that it must have.
        expected: String,
    },
    /// A column of another kind.
    #[error(
        "a column of its row cannot be read: map a column of a type that retail takes, as tidewater doctor \
         tells, and write the topic with format.values = \"lossless\""
    )]
    Columns(#[source] serde_json::Error),
    /// A timestamp or price in another form.
    #[error("its {column} is not lossless text: write the topic with format.values = \"lossless\"")]
    Text {
        /// Which.
        column: String,
    },
    /// No row where one must be.
    #[error("it has no row in `after`")]
    NoRow,
    /// One truncate for all partitions.
    #[error(
        "it truncates the whole table at once: write the topic with format.truncate = \"each-partition\""
    )]
    TruncateScope,
    /// A mark that this version does not know.
    #[error("its tidewater.mark header is unknown: upgrade tidewater")]
    Mark,
}

/// Reads the records of the mapped tables' topics.
#[derive(Clone, Debug)]
pub struct Decoder {
    inventory: Names,
    orders: Names,
    customers: Names,
    mapping: Arc<Mapping>,
}

impl Decoder {
    /// Reads columns under the names that the mapping has.
    pub fn new(mapping: &Arc<Mapping>) -> Decoder {
        Decoder {
            inventory: Names::new(&mapping.inventory),
            orders: Names::new(&mapping.orders),
            customers: Names::new(&mapping.customers),
            mapping: Arc::clone(mapping),
        }
    }

    /// Reads one record of `table`'s topic; `None` for one that says nothing here: a tombstone or a
    /// logical message.
    pub fn read(&self, table: Table, record: &Record<'_>) -> Result<Option<Change>, Malformed> {
        let Some(value) = record.value else {
            return record
                .mark
                .map(|mark| read_mark(table, record.partition, &mark))
                .transpose();
        };
        let envelope = unwrapped::<Envelope<'_>>(value).map_err(Malformed::Envelope)?;
        if envelope.op == Operation::Message {
            return Ok(None);
        }
        let stamp = stamp(record.partition, &envelope)?;
        let columns = match envelope.op {
            Operation::Truncate => {
                return whole_truncate(table, stamp, &envelope.source).map(Some);
            }
            Operation::Delete => None,
            Operation::Create | Operation::Update | Operation::Read | Operation::Message => {
                Some(envelope.after.ok_or(Malformed::NoRow)?)
            }
        };
        let row = self.read_row(table, record.key, columns)?;
        Ok(Some(Change::Keyed(Keyed { stamp, row })))
    }

    fn read_row(
        &self,
        table: Table,
        key: Option<&[u8]>,
        after: Option<&RawValue>,
    ) -> Result<Row, Malformed> {
        Ok(match table {
            Table::Inventory => {
                let key: InventoryKey = read_key(&self.inventory, key)?;
                let level: Option<LevelColumns> = columns(&self.inventory, after)?;
                let pair = Pair {
                    store_id: key.store_id.0,
                    product_id: key.product_id.0,
                };
                Row::Stock(pair, level.map(|level| level.on_hand))
            }
            Table::Orders => {
                let key: OrderKey = read_key(&self.orders, key)?;
                let order: Option<OrderColumns> = columns(&self.orders, after)?;
                let order = order.map(|order| self.judged(order)).transpose()?;
                Row::Order(key.order_id.0, order)
            }
            Table::Customers => {
                let key: CustomerKey = read_key(&self.customers, key)?;
                Row::Customer(key.customer_id.0, columns(&self.customers, after)?)
            }
        })
    }

    /// Refuses what a topic with other value formats holds, instead of counting it as not finite; and says
    /// what the status means.
    fn judged(&self, mut order: OrderColumns) -> Result<OrderColumns, Malformed> {
        let lossy = |role: &str| Malformed::Text {
            column: self.mapping.orders.column(role).unwrap_or(role).to_owned(),
        };
        if let Field::Value(price) = &order.unit_price {
            Price::parse(price).map_err(|_| lossy("unit_price"))?;
        }
        if let Field::Value(placed_at) = &order.placed_at {
            Moment::parse(placed_at).map_err(|_| lossy("placed_at"))?;
        }
        if let Field::Value(status) = &order.status {
            order.cancelled = self.mapping.cancels(status);
        }
        Ok(order)
    }
}

/// Event time of a heartbeat's value.
pub fn heartbeat_time(value: &[u8]) -> Result<Timestamp, Malformed> {
    let envelope = unwrapped::<Envelope<'_>>(value).map_err(Malformed::Envelope)?;
    Ok(Timestamp::from_micros(envelope.source.ts_us))
}

fn stamp(partition: i32, envelope: &Envelope<'_>) -> Result<Stamp, Malformed> {
    let text = envelope
        .source
        .position
        .as_deref()
        .ok_or(Malformed::NoPosition)?;
    let position: Position = text.parse()?;
    // Ordinal 0 belongs to snapshots, whatever the operation.
    let read = envelope.op == Operation::Read || position.ordinal == 0;
    let origin = if read { Origin::Read } else { Origin::Streamed };
    Ok(Stamp {
        partition,
        position,
        at: Timestamp::from_micros(envelope.source.ts_us),
        origin,
    })
}

fn whole_truncate(table: Table, stamp: Stamp, source: &Source<'_>) -> Result<Change, Malformed> {
    if source.scope.as_deref() != Some("partition") {
        return Err(Malformed::TruncateScope);
    }
    Ok(Change::Whole(Whole {
        table,
        kind: WholeKind::Truncate,
        stamp,
    }))
}

fn read_mark(table: Table, partition: i32, mark: &Mark<'_>) -> Result<Change, Malformed> {
    if mark.name != b"snapshot-end" {
        return Err(Malformed::Mark);
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Malformed::Mark);
    let position = text(mark.position)?.parse()?;
    let at_us = text(mark.at_us)?.parse().map_err(|_| Malformed::Mark)?;
    let at = Timestamp::from_micros(at_us);
    let stamp = Stamp {
        partition,
        position,
        at,
        origin: Origin::Read,
    };
    Ok(Change::Whole(Whole {
        table,
        kind: WholeKind::SnapshotEnd,
        stamp,
    }))
}

fn columns<T: DeserializeOwned>(
    names: &Names,
    after: Option<&RawValue>,
) -> Result<Option<T>, Malformed> {
    after
        .map(|raw| names.read(raw.get().as_bytes()))
        .transpose()
        .map_err(Malformed::Columns)
}

/// A key, which JSON with schema wraps as it does a value.
fn read_key<T: DeserializeOwned>(names: &Names, key: Option<&[u8]>) -> Result<T, Malformed> {
    let malformed = || Malformed::Key {
        expected: names.key().to_owned(),
    };
    let key = key.ok_or_else(malformed)?;
    let plain = names.read(key).ok();
    let wrapped = || {
        let wrapped: WithSchema<'_> = serde_json::from_slice(key).ok()?;
        names.read(wrapped.payload.get().as_bytes()).ok()
    };
    plain.or_else(wrapped).ok_or_else(malformed)
}

/// JSON with schema wraps everything in `{"schema": …, "payload": …}`.
#[derive(Deserialize)]
struct WithSchema<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn unwrapped<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    serde_json::from_slice(bytes).or_else(|error| {
        match serde_json::from_slice::<WithSchema<'a>>(bytes) {
            Ok(wrapped) => serde_json::from_str(wrapped.payload.get()),
            Err(_) => Err(error),
        }
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct LevelColumns {
    on_hand: Field<i32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InventoryKey {
    store_id: Id,
    product_id: Id,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OrderKey {
    order_id: Id,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CustomerKey {
    customer_id: Id,
}

/// A bigint, as a number or (an option of the writer) as text.
struct Id(i64);

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Field::<i64>::deserialize(deserializer)? {
            Field::Value(id) => Ok(Id(id)),
            Field::Missing | Field::Null => Err(serde::de::Error::custom(format_args!(
                "expected {}",
                i64::EXPECTED
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Lsn;

    fn value(op: &str, after: &str, source: &str) -> String {
        format!(r#"{{"before":null,"after":{after},"source":{{"ts_us":5{source}}},"op":"{op}"}}"#)
    }

    fn decoder(retail: &str) -> Decoder {
        let settings = crate::config::parse(retail, []).unwrap();
        Decoder::new(&settings.retail.mapping)
    }

    fn check(table: Table, key: Option<&str>, value: &str) -> Result<Option<Change>, Malformed> {
        mapped("", table, key, value)
    }

    fn mapped(
        retail: &str,
        table: Table,
        key: Option<&str>,
        value: &str,
    ) -> Result<Option<Change>, Malformed> {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        decoder(retail).read(
            table,
            &Record {
                partition: 3,
                key,
                value,
                mark: None,
            },
        )
    }

    fn stamp(origin: Origin, ordinal: u64) -> Stamp {
        let position = Position::new(1, Lsn(0x16_0000_00A0), ordinal);
        Stamp {
            partition: 3,
            position,
            at: Timestamp::from_micros(5),
            origin,
        }
    }

    const STREAMED: &str = r#","position":"1:16/A0:2""#;
    const READ: &str = r#","position":"1:16/A0:0""#;
    const KEY: &str = r#"{"store_id":1,"product_id":"2"}"#;

    #[test]
    fn a_level_is_read_with_and_without_schema() {
        let pair = Pair {
            store_id: 1,
            product_id: 2,
        };
        let expect = |change, origin, ordinal, level| {
            let row = Row::Stock(pair, level);
            let keyed = Keyed {
                stamp: stamp(origin, ordinal),
                row,
            };
            assert_eq!(change, Some(Change::Keyed(keyed)));
        };
        let plain = value("u", r#"{"store_id":1,"on_hand":-7,"x":[{}]}"#, STREAMED);
        let change = check(Table::Inventory, Some(KEY), &plain).unwrap();
        expect(change, Origin::Streamed, 2, Some(Field::Value(-7)));
        let wrapped = format!(r#"{{"schema":{{}},"payload":{plain}}}"#);
        let key = format!(r#"{{"schema":{{}},"payload":{KEY}}}"#);
        let change = check(Table::Inventory, Some(&key), &wrapped).unwrap();
        expect(change, Origin::Streamed, 2, Some(Field::Value(-7)));
        let read = value("r", r#"{"on_hand":null}"#, READ);
        let change = check(Table::Inventory, Some(KEY), &read).unwrap();
        expect(change, Origin::Read, 0, Some(Field::Null));
        let update = value("u", r#"{"store_id":1}"#, STREAMED);
        let change = check(Table::Inventory, Some(KEY), &update).unwrap();
        expect(change, Origin::Streamed, 2, Some(Field::Missing));
        let delete = value("d", "null", STREAMED);
        let change = check(Table::Inventory, Some(KEY), &delete).unwrap();
        expect(change, Origin::Streamed, 2, None);
    }

    #[test]
    fn tombstones_and_messages_say_nothing() {
        let record = Record {
            partition: 3,
            key: Some(KEY.as_bytes()),
            value: None,
            mark: None,
        };
        assert_eq!(decoder("").read(Table::Inventory, &record).unwrap(), None);
        let message = value("m", "null", STREAMED);
        assert_eq!(check(Table::Inventory, None, &message).unwrap(), None);
    }

    #[test]
    fn truncates_and_marks_are_of_one_partition() {
        let scoped = format!(r#"{STREAMED},"scope":"partition""#);
        let change = check(Table::Orders, None, &value("t", "null", &scoped)).unwrap();
        let whole = |kind, stamp| {
            Change::Whole(Whole {
                table: Table::Orders,
                kind,
                stamp,
            })
        };
        assert_eq!(
            change,
            Some(whole(WholeKind::Truncate, stamp(Origin::Streamed, 2)))
        );
        let error = check(Table::Orders, None, &value("t", "null", STREAMED)).unwrap_err();
        assert!(matches!(error, Malformed::TruncateScope), "{error}");
        let mark = Mark {
            name: b"snapshot-end",
            position: b"1:16/A0:0",
            at_us: b"5",
        };
        let record = Record {
            partition: 3,
            key: None,
            value: None,
            mark: Some(mark),
        };
        let change = decoder("").read(Table::Orders, &record).unwrap();
        assert_eq!(
            change,
            Some(whole(WholeKind::SnapshotEnd, stamp(Origin::Read, 0)))
        );
    }

    #[test]
    fn topics_of_other_formats_are_refused() {
        let refused = |value: String, part: &str| {
            let error = check(Table::Orders, Some(r#"{"order_id":7}"#), &value).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        };
        refused(value("c", "{}", ""), "source.position");
        refused(
            value("c", r#"{"unit_price":"BNI="}"#, STREAMED),
            "unit_price",
        );
        refused(
            value("c", r#"{"placed_at":1795420800123456}"#, STREAMED),
            "a column of its row",
        );
        refused(
            value("c", r#"{"placed_at":"2026-11-23 08:00:00+01"}"#, STREAMED),
            "placed_at",
        );
        refused(value("c", "null", STREAMED), "`after`");
        refused("{}".to_owned(), "change event");
        let order = value("c", "{}", STREAMED);
        for key in [
            r#"{"id":7}"#,
            r#"{"order_id":7,"line":1}"#,
            r#"{"order_id":null}"#,
            "7",
        ] {
            let error = check(Table::Orders, Some(key), &order).unwrap_err();
            assert!(matches!(error, Malformed::Key { .. }), "{key}: {error}");
        }
        let error = check(Table::Orders, None, &order).unwrap_err();
        assert!(
            matches!(&error, Malformed::Key { expected } if expected == "order_id"),
            "{error}"
        );
    }

    #[test]
    fn an_order_keeps_the_source_s_own_text() {
        let after = r#"{"quantity":2,"unit_price":"12.50","status":null,
            "placed_at":"infinity","promotion_code":"A\u0042"}"#;
        let change = check(
            Table::Orders,
            Some(r#"{"order_id":7}"#),
            &value("c", after, STREAMED),
        );
        let Some(Change::Keyed(Keyed {
            row: Row::Order(7, Some(columns)),
            ..
        })) = change.unwrap()
        else {
            panic!("not an order");
        };
        assert_eq!(columns.unit_price, Field::Value("12.50".to_owned()));
        assert_eq!(columns.status, Field::Null);
        assert_eq!(columns.customer_id, Field::Missing);
        assert_eq!(columns.promotion_code, Field::Value("AB".to_owned()));
        assert_eq!(columns.placed_at, Field::Value("infinity".to_owned()));
    }

    const OWN: &str = r#"
        [retail.inventory]
        columns = { store_id = "Branch", product_id = "the \"article\"", on_hand = "store_id" }
        [retail.orders]
        columns = { order_id = "line", status = "st", promotion_code = "" }
        status = { cancelled = ["X"], returned = [] }"#;

    #[test]
    fn columns_are_read_under_their_owner_s_names() {
        let read = |after: &str| {
            let key = r#"{"Branch":1,"the \"article\"":2}"#;
            let change = mapped(
                OWN,
                Table::Inventory,
                Some(key),
                &value("u", after, STREAMED),
            );
            let Some(Change::Keyed(Keyed { row, .. })) = change.unwrap() else {
                panic!("not a row");
            };
            row
        };
        let pair = Pair {
            store_id: 1,
            product_id: 2,
        };
        let level = |level| Row::Stock(pair, Some(level));
        // A column that is called as another one is by default is what the mapping says it is.
        let after = r#"{"store_id":40,"on_hand":7,"product_id":"x","Branch":1}"#;
        assert_eq!(read(after), level(Field::Value(40)));
        assert_eq!(read(r#"{"on_hand":7}"#), level(Field::Missing));
        let foreign = mapped(
            OWN,
            Table::Inventory,
            Some(KEY),
            &value("u", "{}", STREAMED),
        );
        let foreign = foreign.unwrap_err().to_string();
        assert!(
            foreign.contains("exactly Branch and the \"article\""),
            "{foreign}"
        );
    }

    #[test]
    fn a_status_means_what_its_owner_says() {
        let order = |after: &str| {
            let key = Some(r#"{"line":7}"#);
            let change = mapped(OWN, Table::Orders, key, &value("c", after, STREAMED));
            let Some(Change::Keyed(Keyed {
                row: Row::Order(7, Some(columns)),
                ..
            })) = change.unwrap()
            else {
                panic!("not an order");
            };
            columns
        };
        for (status, cancelled) in [
            ("\"X\"", true),
            ("\"x\"", false),
            ("\"cancelled\"", false),
            ("\"returned\"", false),
            ("3", false),
            ("null", false),
        ] {
            let columns = order(&format!(r#"{{"st":{status}}}"#));
            assert_eq!(columns.cancelled, cancelled, "{status}");
        }
        let columns = order(r#"{"st":3,"status":"X","promotion_code":"A"}"#);
        assert_eq!(columns.status, Field::Value("3".to_owned()));
        assert!(!columns.cancelled);
        assert_eq!(columns.promotion_code, Field::Missing);
    }

    #[test]
    fn a_column_that_cannot_be_read_is_named() {
        let orders = r#"[retail.orders]
            columns = { quantity = "pieces" }"#;
        let order = value("c", r#"{"pieces":"4711.5"}"#, STREAMED);
        let error = mapped(orders, Table::Orders, Some(r#"{"order_id":7}"#), &order).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            cause.starts_with("column pieces: expected a 32-bit integer"),
            "{cause}"
        );
        assert!(!cause.contains("4711"), "{cause}");
    }
}
