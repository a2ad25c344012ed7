//! From a topic's record to a typed change.
//!
//! Reads lossless JSON, with or without schema, with positions and `each-partition` truncates; any
//! other record is a definite error that names where it lies and the setting that would mend it, and
//! never shows a value.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::customer::CustomerColumns;
use super::field::{Column, Field};
use super::money::Price;
use super::order::OrderColumns;
use super::sequence::{Origin, Stamp};
use super::time::{Moment, Timestamp};
use super::touched::Pair;
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

    fn key_columns(self) -> &'static str {
        match self {
            Table::Inventory => "store_id and product_id",
            Table::Orders => "order_id",
            Table::Customers => "customer_id",
        }
    }
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
    #[error("its key is not exactly {expected}: the table's primary key must be these columns")]
    Key {
        /// The columns that it must have.
        expected: &'static str,
    },
    /// A column of another kind.
    #[error(
        "a column of its row cannot be read: write the topic with format.values = \"lossless\""
    )]
    Columns(#[source] serde_json::Error),
    /// A timestamp or price in another form.
    #[error("its {column} is not lossless text: write the topic with format.values = \"lossless\"")]
    Text {
        /// Which.
        column: &'static str,
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

/// Reads one record of `table`'s topic; `None` for one that says nothing here: a tombstone or a
/// logical message.
pub fn read(table: Table, record: &Record<'_>) -> Result<Option<Change>, Malformed> {
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
    let row = read_row(table, record.key, columns)?;
    Ok(Some(Change::Keyed(Keyed { stamp, row })))
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

fn read_row(table: Table, key: Option<&[u8]>, after: Option<&RawValue>) -> Result<Row, Malformed> {
    let key = key.ok_or(Malformed::Key {
        expected: table.key_columns(),
    })?;
    Ok(match table {
        Table::Inventory => {
            let key: InventoryKey = read_key(table, key)?;
            let level: Option<LevelColumns> = columns(after)?;
            let pair = Pair {
                store_id: key.store_id.0,
                product_id: key.product_id.0,
            };
            Row::Stock(pair, level.map(|level| level.on_hand))
        }
        Table::Orders => {
            let key: OrderKey = read_key(table, key)?;
            let order: Option<OrderColumns> = columns(after)?;
            order.as_ref().map(check_text).transpose()?;
            Row::Order(key.order_id.0, order)
        }
        Table::Customers => {
            let key: CustomerKey = read_key(table, key)?;
            Row::Customer(key.customer_id.0, columns(after)?)
        }
    })
}

/// Refuses what a topic with other value formats holds, instead of counting it as not finite.
fn check_text(order: &OrderColumns) -> Result<(), Malformed> {
    if let Field::Value(price) = &order.unit_price {
        Price::parse(price).map_err(|_| Malformed::Text {
            column: "unit_price",
        })?;
    }
    if let Field::Value(placed_at) = &order.placed_at {
        Moment::parse(placed_at).map_err(|_| Malformed::Text {
            column: "placed_at",
        })?;
    }
    Ok(())
}

fn columns<'a, T: Deserialize<'a>>(after: Option<&'a RawValue>) -> Result<Option<T>, Malformed> {
    after
        .map(|raw| serde_json::from_str(raw.get()))
        .transpose()
        .map_err(Malformed::Columns)
}

fn read_key<'a, T: Deserialize<'a>>(table: Table, key: &'a [u8]) -> Result<T, Malformed> {
    unwrapped(key).map_err(|_| Malformed::Key {
        expected: table.key_columns(),
    })
}

/// JSON with schema wraps everything in `{"schema": …, "payload": …}`.
fn unwrapped<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, serde_json::Error> {
    #[derive(Deserialize)]
    struct WithSchema<'a> {
        #[serde(borrow)]
        payload: &'a RawValue,
    }
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

    fn check(table: Table, key: Option<&str>, value: &str) -> Result<Option<Change>, Malformed> {
        let (key, value) = (key.map(str::as_bytes), Some(value.as_bytes()));
        read(
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
        assert_eq!(read(Table::Inventory, &record).unwrap(), None);
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
        let change = read(Table::Orders, &record).unwrap();
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
            matches!(
                error,
                Malformed::Key {
                    expected: "order_id"
                }
            ),
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
}
