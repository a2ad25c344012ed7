//! Orders: the last image of each, and what it contributes to sales and habits.
//!
//! ```text
//! change ─▶ old image ─▶ contribution taken back ─┐
//!      └──▶ new image ─▶ contribution added ──────┴─▶ sales deltas, touched tuples
//! ```
//!
//! Retraction reads the kept image, never the event's `before`, so it works with
//! `REPLICA IDENTITY DEFAULT`.

use super::field::Field;
use super::money::{Money, Price};
use super::sequence::{Stamp, Standing};
use super::stock::Effect;
use super::time::{Moment, Timestamp};
use super::touched::Pair;
use crate::event::Position;

/// The columns of one order that the aggregates read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OrderRow {
    /// Who ordered.
    pub customer_id: Option<i64>,
    /// Where.
    pub store_id: Option<i64>,
    /// What.
    pub product_id: Option<i64>,
    /// How many; `None` also when the source's number is not finite.
    pub quantity: Option<i32>,
    /// The source's own digits.
    pub unit_price: Option<String>,
    /// The source's own text.
    pub status: Option<String>,
    /// Whether that status means cancelled or returned; null is neither.
    pub cancelled: bool,
    /// Code that the order carries.
    pub promotion_code: Option<String>,
    /// The source's own text.
    pub placed_at: Option<String>,
}

/// The columns that an event carries; a missing one keeps its last image.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct OrderColumns {
    /// Who ordered.
    pub customer_id: Field<i64>,
    /// Where.
    pub store_id: Field<i64>,
    /// What.
    pub product_id: Field<i64>,
    /// How many.
    pub quantity: Field<i32>,
    /// The source's own digits.
    #[serde(deserialize_with = "super::field::digits")]
    pub unit_price: Field<String>,
    /// The source's own text; of a number, its digits.
    #[serde(deserialize_with = "super::field::digits")]
    pub status: Field<String>,
    /// Whether that status means cancelled or returned. No column: the decoder says so.
    #[serde(skip)]
    pub cancelled: bool,
    /// Code that the order carries.
    pub promotion_code: Field<String>,
    /// The source's own text.
    pub placed_at: Field<String>,
}

impl OrderRow {
    fn updated(&mut self, columns: OrderColumns) {
        columns.customer_id.write(&mut self.customer_id);
        columns.store_id.write(&mut self.store_id);
        columns.product_id.write(&mut self.product_id);
        columns.quantity.write(&mut self.quantity);
        columns.unit_price.write(&mut self.unit_price);
        if columns.status != Field::Missing {
            self.cancelled = columns.cancelled;
        }
        columns.status.write(&mut self.status);
        columns.promotion_code.write(&mut self.promotion_code);
        columns.placed_at.write(&mut self.placed_at);
    }

    /// When it was placed, whatever else it lacks; `None` when that is null or infinite.
    pub fn dated_at(&self) -> Option<Timestamp> {
        match Moment::parse(self.placed_at.as_deref()?) {
            Ok(Moment::Finite(at)) => Some(at),
            Ok(Moment::Infinite) | Err(_) => None,
        }
    }

    /// What it contributes, or `None` when a value that the aggregates need is null, infinite or
    /// not finite.
    fn contribution(&self) -> Option<Contribution> {
        let (store_id, product_id) = (self.store_id?, self.product_id?);
        let units = self.quantity?;
        let Ok(Price::Finite(price)) = Price::parse(self.unit_price.as_deref()?) else {
            return None;
        };
        let placed_at = self.dated_at()?;
        Some(Contribution {
            customer_id: self.customer_id,
            pair: Pair {
                store_id,
                product_id,
            },
            placed_at,
            cancelled: self.cancelled,
            units,
            revenue: price.times(units)?,
        })
    }
}

/// What one order adds to the aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Whose habit; `None` for nobody's.
    pub customer_id: Option<i64>,
    /// Store and product.
    pub pair: Pair,
    /// Its hour is the hour of the sale.
    pub placed_at: Timestamp,
    /// Counts among the cancelled.
    pub cancelled: bool,
    /// Units.
    pub units: i32,
    /// Units × price.
    pub revenue: Money,
}

/// The last image of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderImage {
    /// Whether the source has it.
    pub present: bool,
    /// Whether it is in the aggregates. An absent order is only when deleted orders are kept.
    pub counted: bool,
    /// Its columns.
    pub row: OrderRow,
    /// Position and effective time.
    pub standing: Standing,
    /// Partition of the orders topic.
    pub partition: i32,
}

impl OrderImage {
    /// What the image contributes now.
    pub fn contribution(&self) -> Option<Contribution> {
        if self.counted {
            self.row.contribution()
        } else {
            None
        }
    }
}

/// One order during a batch.
#[derive(Clone, Debug)]
pub struct Order {
    order_id: i64,
    /// The code that it carried when the batch began.
    carried: Option<String>,
    image: Option<OrderImage>,
    dirty: bool,
}

/// Contributions before and after one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// To take back.
    pub before: Option<Contribution>,
    /// To add.
    pub after: Option<Contribution>,
}

impl Order {
    /// An order as the sink has it; `None` when it was never seen.
    pub fn new(order_id: i64, image: Option<OrderImage>) -> Self {
        Order {
            order_id,
            carried: image
                .as_ref()
                .and_then(|image| image.row.promotion_code.clone()),
            image,
            dirty: false,
        }
    }

    /// The image to write, if the batch moved it.
    pub fn changed(&self) -> Option<(i64, &OrderImage)> {
        self.image
            .as_ref()
            .filter(|_| self.dirty)
            .map(|image| (self.order_id, image))
    }

    /// Its id and the codes that it carried before the batch and carries now, if the batch moved it.
    pub fn codes(&self) -> Option<(i64, impl Iterator<Item = &String>)> {
        let image = self.image.as_ref().filter(|_| self.dirty)?;
        let codes = self.carried.iter().chain(&image.row.promotion_code);
        Some((self.order_id, codes))
    }

    /// Applies one change: new columns, or `None` for a delete, which `retract_deleted` makes leave
    /// the aggregates.
    pub fn apply(
        &mut self,
        columns: Option<OrderColumns>,
        stamp: &Stamp,
        streamed: &mut Option<Position>,
        retract_deleted: bool,
    ) -> (Effect, Moved) {
        let unmoved = Moved {
            before: None,
            after: None,
        };
        let known = self.image.as_ref().map(|image| image.standing);
        let Some(standing) = Standing::admit(known, streamed, stamp) else {
            return (Effect::Repeat, unmoved);
        };
        let image = self.image.get_or_insert_with(|| OrderImage {
            present: false,
            counted: false,
            row: OrderRow::default(),
            standing,
            partition: stamp.partition,
        });
        let before = image.contribution();
        image.standing = standing;
        image.present = columns.is_some();
        match columns {
            Some(columns) => {
                image.row.updated(columns);
                image.counted = image.row.contribution().is_some();
            }
            None => image.counted &= !retract_deleted,
        }
        let after = image.contribution();
        self.dirty = true;
        if before == after {
            (Effect::Advanced, unmoved)
        } else {
            (Effect::Changed, Moved { before, after })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sequence::Origin;
    use super::*;
    use crate::event::Lsn;

    #[test]
    fn a_status_that_is_not_sent_keeps_its_meaning() {
        let mut row = OrderRow::default();
        let sent = |status| OrderColumns {
            cancelled: matches!(status, Field::Value(_)),
            status,
            ..OrderColumns::default()
        };
        for (status, cancelled) in [
            (Field::Value("X".to_owned()), true),
            (Field::Missing, true),
            (Field::Null, false),
            (Field::Missing, false),
        ] {
            row.updated(sent(status));
            assert_eq!(row.cancelled, cancelled);
        }
    }

    #[test]
    fn an_order_that_changes_its_code_unsettles_both() {
        let stamp = |ordinal| Stamp {
            position: Position::new(1, Lsn(8), ordinal),
            at: Timestamp::from_micros(0),
            origin: Origin::Streamed,
            partition: 0,
        };
        let columns = |code: Option<&str>| OrderColumns {
            promotion_code: code.map_or(Field::Null, |code| Field::Value(code.to_owned())),
            ..OrderColumns::default()
        };
        let mut first = Order::new(7, None);
        first.apply(Some(columns(Some("a"))), &stamp(1), &mut None, true);
        let image = first.changed().unwrap().1.clone();
        for (code, expected) in [(Some("b"), vec!["a", "b"]), (None, vec!["a"])] {
            let mut order = Order::new(7, Some(image.clone()));
            assert!(order.codes().is_none());
            order.apply(Some(columns(code)), &stamp(2), &mut None, true);
            let (id, codes) = order.codes().unwrap();
            let codes: Vec<_> = codes.map(String::as_str).collect();
            assert_eq!((id, codes), (7, expected));
        }
    }
}
