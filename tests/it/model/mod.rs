//! A naive model of the product, for tests to compare it with.
//!
//! It shares no module with the product: positions, times, prices and the meaning of every number are
//! read here a second time, in the plainest way that is correct.
//!
//! ```text
//! journal   what the source did to each key, written by triggers in the same transactions
//! topic     what a topic holds under read_committed, read with rdkafka alone
//! rules     who is eligible and who gets a code, by walking over everything
//! naive     topics ─▶ timelines per key ─▶ aggregates, from the whole history at once
//! ```

// Tests of other areas take what they need of it.
#![allow(
    dead_code,
    unused_imports,
    reason = "areas use different parts of the model"
)]

mod calendar;
mod journal;
mod naive;
pub(crate) mod random;
pub(crate) mod rules;
mod topic;

pub(crate) use calendar::micros;
pub(crate) use journal::{
    Beginning, Journal, assert_every_change_once, assert_reads_fit, journal_sql,
};
pub(crate) use naive::{Aggregates, Habit, History, Sales, StockHour, position};
pub(crate) use topic::{Record, read_topic, read_topics, scan_topic};
