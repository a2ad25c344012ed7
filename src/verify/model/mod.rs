//! The retail numbers, computed a second time from the topics: a plain reading of what each table
//! means, that shares nothing with the consumer but the position and the envelope.
//!
//! ```text
//! inventory ─▶ stock     level by level: inventory_hourly, inventory_image
//! orders    ─▶ orders    last images, grouped at the end: sales_hourly, purchase_habit
//! customers ─▶ customers last images
//!                 └────▶ rules      conditions and eligible tuples at one minute T
//! ```
//!
//! Where the consumer keeps running sums and retracts, the model keeps last images and groups them
//! when asked, so that a mistake in retraction cannot be made twice.

mod customers;
mod orders;
mod rules;
mod sent;
mod stock;
mod time;

use std::sync::Arc;

pub use self::customers::{Customer, Customers};
pub use self::orders::{Habit, Order, Orders, SalesHour};
pub use self::rules::{Condition, Eligible, Rule, Shop};
use self::sent::Sent;
pub use self::stock::{Pair, Stock, StockHour};
use super::history::{Action, At};
use super::record::{Content, Record};
use crate::config::mapping::{MappedTable, Mapping};
use crate::event::{Envelope, Operation, Position};

/// One hour in microseconds.
pub const HOUR_US: i64 = 3_600_000_000;

/// A topic that the retail half reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Stock levels, keyed by store and product.
    Inventory,
    /// Orders, keyed by order id.
    Orders,
    /// Customers, keyed by customer id.
    Customers,
}

/// Everything the retail half derives from the topics.
#[derive(Clone, Debug)]
pub struct Model {
    mapping: Arc<Mapping>,
    /// Levels and their hours.
    pub stock: Stock,
    /// Orders.
    pub orders: Orders,
    /// Customers.
    pub customers: Customers,
}

impl Model {
    /// An empty model of the tables that are mapped so. `keep_deleted`: deleted orders stay in the
    /// aggregates.
    pub fn new(keep_deleted: bool, mapping: &Arc<Mapping>) -> Self {
        Model {
            mapping: Arc::clone(mapping),
            stock: Stock::default(),
            orders: Orders::new(keep_deleted),
            customers: Customers::default(),
        }
    }

    /// Position of the last streamed change applied from a partition of the table's topic.
    pub fn streamed(&self, table: Table, partition: i32) -> Option<Position> {
        match table {
            Table::Inventory => self.stock.streamed(partition),
            Table::Orders => self.orders.streamed(partition),
            Table::Customers => self.customers.streamed(partition),
        }
    }

    /// Applies the next record of its partition; the error says what cannot be read.
    pub fn apply(&mut self, table: Table, record: &Record<'_>) -> Result<(), String> {
        let (at, action, event) = match Content::decode(record)? {
            Content::Nothing => return Ok(()),
            Content::Row(at, event) => (at, row_action(&event), Some(event)),
            Content::Table(_, Action::TruncateAll) => {
                return Err("a truncate without scope \"partition\"".to_owned());
            }
            Content::Table(at, action) => (at, action, None),
        };
        let change = |table| Change {
            at,
            action,
            key: record.key,
            event,
            table,
        };
        let mapping = &*self.mapping;
        match table {
            Table::Inventory => self.stock.apply(&change(&mapping.inventory)),
            Table::Orders => self.orders.apply(&change(&mapping.orders), mapping),
            Table::Customers => self.customers.apply(&change(&mapping.customers)),
        }
    }
}

/// A decoded record on its way to its table.
struct Change<'a> {
    at: At,
    action: Action<()>,
    key: Option<&'a [u8]>,
    event: Option<Envelope<'a>>,
    table: &'a MappedTable,
}

impl Change<'_> {
    /// The action with what `make` makes of the record's key.
    fn keyed<T>(&self, make: impl Fn(&Sent<'_>) -> Result<T, String>) -> Result<Action<T>, String> {
        let key = || {
            let bytes = self.key.ok_or("a change of a row needs a key")?;
            let key = Sent::read(bytes, self.table).and_then(|key| make(&key));
            key.map_err(|error| format!("key: {error}"))
        };
        Ok(match self.action {
            Action::Streamed(()) => Action::Streamed(key()?),
            Action::Read(()) => Action::Read(key()?),
            Action::Truncate => Action::Truncate,
            Action::TruncateAll => Action::TruncateAll,
            Action::Restart => Action::Restart,
            Action::Complete => Action::Complete,
        })
    }

    /// What `make` makes of the columns after the change; `None` for a delete, and for what concerns no
    /// single row.
    fn after<T>(&self, make: impl Fn(&Sent<'_>) -> Result<T, String>) -> Result<Option<T>, String> {
        match self.event.as_ref() {
            Some(event) if event.op != Operation::Delete => {
                let columns = event.after.ok_or("after is missing")?.get();
                let after = Sent::read(columns.as_bytes(), self.table);
                let after = after.and_then(|after| make(&after));
                after.map(Some).map_err(|error| format!("after: {error}"))
            }
            Some(_) | None => Ok(None),
        }
    }
}

fn row_action(event: &Envelope<'_>) -> Action<()> {
    if event.op == Operation::Read {
        Action::Read(())
    } else {
        Action::Streamed(())
    }
}

/// The column as sent, or as it was before.
#[expect(clippy::ref_option, reason = "both are fields of what is borrowed")]
fn or_last<T: Clone>(sent: &Option<Option<T>>, last: Option<&Option<T>>) -> Option<T> {
    sent.as_ref().or(last).cloned().flatten()
}
