//! The retail half: change events of stock, orders and customers, folded into the sink's aggregates.
//!
//! ```text
//! topics ─▶ consumer ─▶ change ─▶ batch ─▶ apply ─▶ fold (stock, order, sales, customer)
//!                                            ├─▶ store ─▶ sink
//!                                            └─▶ touched ─▶ evaluation (condition, eligibility)
//!                                                  sweep ─▶     └─▶ promotion ─▶ outbox ─▶ dispatch
//! events topic ─▶ events ─▶ promotion (intent rules)
//! ```
//!
//! The pure part (`change`, `sequence`, `stock`, `order`, `sales`, `customer`, `fold`, `code`, and
//! `promotion` without its ledger) knows neither Kafka nor the sink. A batch's offsets are stored in the transaction of its effects, and nowhere
//! else: that is why every change counts once, whatever crashes.

mod apply;
pub mod arm;
mod backoff;
pub mod batch;
pub mod change;
pub mod code;
pub mod compare;
mod condition;
mod consumer;
pub mod customer;
mod digits;
mod dispatch;
pub mod eligibility;
mod error;
pub mod evaluation;
mod events;
pub mod explain;
pub mod field;
pub mod fold;
mod group;
mod habit;
mod heartbeat;
mod issue;
pub mod mapped;
mod migrate;
pub mod money;
mod names;
pub mod order;
pub mod partition;
mod pending;
pub mod promotion;
mod rebuild;
mod recovery;
mod role;
pub mod sales;
pub mod sequence;
pub mod statements;
pub mod stock;
mod store;
pub mod sweep;
pub mod time;
mod topics;
pub mod touched;
pub mod webhook;

pub use error::Error;
pub use migrate::{SchemaError, check as check_schema, migrate};
pub use rebuild::rebuild;
pub use role::{check_format, run};
pub(crate) use store::LOCK_PAIRS;

/// Whether a partition still has all that is needed from `needed` on, and nothing less than that.
fn check_range(
    topic: &str,
    partition: i32,
    needed: i64,
    (low, high): (i64, i64),
) -> Result<(), Error> {
    let topic = topic.to_owned();
    if low > needed {
        Err(Error::HistoryGone {
            topic,
            partition,
            needed,
            low,
        })
    } else if high < needed {
        Err(Error::TopicRecreated {
            topic,
            partition,
            applied: needed,
            high,
        })
    } else {
        Ok(())
    }
}
