//! Customers: the last image of each, for the tier and the consent that rules ask for.

use super::field::Field;
use super::sequence::{Stamp, Standing};
use super::stock::Effect;
use crate::event::Position;

/// The columns that an event carries.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct CustomerColumns {
    /// Tier, the source's own text; of a number, its digits.
    #[serde(deserialize_with = "super::field::digits")]
    pub tier: Field<String>,
    /// Whether the customer may be sent codes; null and a source without the column mean yes.
    pub contact_allowed: Field<bool>,
}

/// The last image of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomerImage {
    /// Whether the source has the row.
    pub present: bool,
    /// Tier.
    pub tier: Option<String>,
    /// Consent.
    pub contact_allowed: bool,
    /// Position and effective time.
    pub standing: Standing,
    /// Partition of the customers topic.
    pub partition: i32,
}

/// One customer during a batch.
#[derive(Clone, Debug)]
pub struct Customer {
    customer_id: i64,
    image: Option<CustomerImage>,
    dirty: bool,
}

impl Customer {
    /// A customer as the sink has it; `None` when never seen.
    pub fn new(customer_id: i64, image: Option<CustomerImage>) -> Self {
        Customer {
            customer_id,
            image,
            dirty: false,
        }
    }

    /// The image to write, if the batch moved it.
    pub fn changed(&self) -> Option<(i64, &CustomerImage)> {
        self.image
            .as_ref()
            .filter(|_| self.dirty)
            .map(|image| (self.customer_id, image))
    }

    /// Applies one change: new columns, or `None` for a delete.
    pub fn apply(
        &mut self,
        columns: Option<CustomerColumns>,
        stamp: &Stamp,
        streamed: &mut Option<Position>,
    ) -> Effect {
        let known = self.image.as_ref().map(|image| image.standing);
        let Some(standing) = Standing::admit(known, streamed, stamp) else {
            return Effect::Repeat;
        };
        let before = self.image.take();
        let mut after = CustomerImage {
            present: columns.is_some(),
            tier: before.as_ref().and_then(|image| image.tier.clone()),
            contact_allowed: before.as_ref().is_none_or(|image| image.contact_allowed),
            standing,
            partition: stamp.partition,
        };
        if let Some(columns) = columns {
            columns.tier.write(&mut after.tier);
            after.contact_allowed = match columns.contact_allowed {
                Field::Missing => after.contact_allowed,
                Field::Null => true,
                Field::Value(allowed) => allowed,
            };
        }
        let visible = |image: &CustomerImage| {
            (
                image.present,
                image.present.then(|| image.tier.clone()),
                image.contact_allowed,
            )
        };
        let changed = before.as_ref().map(visible) != Some(visible(&after));
        self.image = Some(after);
        self.dirty = true;
        if changed {
            Effect::Changed
        } else {
            Effect::Advanced
        }
    }
}
