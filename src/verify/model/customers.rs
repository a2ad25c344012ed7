//! Customers: tier, and whether they may be contacted.

use super::super::history::{Action, Entry, Keyed};
use super::{Change, or_last};
use crate::event::Position;

/// Last image of one customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Customer {
    /// `standard`, `premium`, …
    pub tier: Option<String>,
    /// Consent; true when the source has none.
    pub contact_allowed: bool,
}

/// Every customer ever seen.
#[derive(Clone, Debug, Default)]
pub struct Customers {
    customers: Keyed<i64, Customer>,
}

struct After {
    tier: Option<Option<String>>,
    contact_allowed: Option<Option<bool>>,
}

impl Customers {
    pub(super) fn apply(&mut self, change: &Change<'_>) -> Result<(), String> {
        let action: Action<i64> = change.keyed(|key| key.id("customer_id"))?;
        let after = change.after(|sent| {
            Ok(After {
                tier: sent.text("tier")?,
                contact_allowed: sent.flag("contact_allowed")?,
            })
        })?;
        let row = |last: Option<&Customer>| {
            after.as_ref().map(|after| Customer {
                tier: or_last(&after.tier, last.map(|last| &last.tier)),
                contact_allowed: match after.contact_allowed {
                    Some(sent) => sent.unwrap_or(true),
                    None => last.is_none_or(|last| last.contact_allowed),
                },
            })
        };
        self.customers
            .apply(change.at, action, row, |_, _, _, _| ());
        Ok(())
    }

    /// Whether the customer's row is present with this tier.
    pub fn has_tier(&self, customer: i64, tier: &str) -> bool {
        let row = self
            .customers
            .get(&customer)
            .and_then(|entry| entry.row.as_ref());
        row.is_some_and(|row| row.tier.as_deref() == Some(tier))
    }

    /// Every key ever seen with its last state.
    pub fn entries(&self) -> impl Iterator<Item = (&i64, &Entry<Customer>)> {
        self.customers.entries()
    }

    /// Position of the last streamed change applied from the partition.
    pub fn streamed(&self, partition: i32) -> Option<Position> {
        self.customers.streamed(partition)
    }
}
