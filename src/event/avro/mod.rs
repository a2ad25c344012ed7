//! Avro: a schema as Kafka Connect's Avro converter maps it, and records in binary form.
//!
//! ```text
//! Schema ─┬─ schema ─▶ text for the registry
//!         └─ node ───▶ Node ─┐
//!            JSON of a row ──┴─ binary ─▶ bytes
//! ```
//!
//! A row is first written as JSON, then this is turned into Avro in one pass along the schema, without an
//! allocation. So both encodings say the same, and there is one type table, not two.

mod binary;
mod name;
mod node;
mod schema;
#[cfg(test)]
mod tests;

pub(super) use binary::{Misfit, write};
pub(super) use node::Node;
pub(super) use schema::render;
