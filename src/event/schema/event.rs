//! Keys and values of the records that are about no row: those of transactions, and logical messages.
//!
//! Names are those of Debezium's PostgreSQL connector 3.6.1.

use super::record::{long, optional, source, string};
use super::{Field, Form, Schema, Schemas, debezium};
use crate::event::format::Format;

/// An event's place in its transaction.
pub(super) fn transaction_block() -> Schema {
    let fields = [
        string("id"),
        long("total_order"),
        long("data_collection_order"),
    ];
    of_version_1("event.block", fields).optional()
}

/// Records of transactions' begins and ends.
pub(in crate::event) fn transaction_schemas() -> Schemas {
    let name = |part: &str| format!("io.debezium.connector.common.TransactionMetadata{part}");
    let collection = [string("data_collection"), long("event_count")];
    let collection = of_version_1("event.collection", collection).optional();
    let value = [
        string("status"),
        string("id"),
        optional(long("event_count")),
        Field::new("data_collections", Schema::array(collection).optional()),
        long("ts_ms"),
    ];
    Schemas {
        key: Some(of_version_1(&name("Key"), [string("id")])),
        value: of_version_1(&name("Value"), value),
    }
}

/// Logical messages, with Debezium's values.
pub(in crate::event) fn message_schemas(format: &Format) -> Schemas {
    let name = |part: &str| format!("io.debezium.connector.postgresql.Message{part}");
    let prefix = || optional(string("prefix"));
    let content = debezium::bytes(format.handling.binary);
    let content = Field::new("content", Schema::new(content).optional());
    let value = [
        string("op"),
        optional(long("ts_ms")),
        Field::new("source", source(format)),
        Field::new("transaction", transaction_block()),
        Field::new("message", of_version_1(&name(""), [prefix(), content])),
    ];
    Schemas {
        key: Some(of_version_1(&name("Key"), [prefix()])),
        value: of_version_1(&name("Value"), value),
    }
}

fn of_version_1<const COUNT: usize>(name: &str, fields: [Field; COUNT]) -> Schema {
    Schema::semantic(Form::Struct(fields.into()), name)
}
