//! Change data capture from PostgreSQL logical replication to Apache Kafka, exactly once, and the
//! retail application built on it.
//!
//! Two halves that meet only in Kafka topics, and the gateway that applications' events come in by:
//!
//! ```text
//! postgres ─▶ pgoutput ─▶ event ─▶ replicate ─▶ kafka ═══ topics ═══▶ kafka ─▶ retail ─▶ sink
//!                                gateway ─▶ kafka ═══▶ events
//! ```
//!
//! ARCHITECTURE.md follows one row through these modules.

pub mod cli;
pub mod config;
pub mod connection;
pub mod console;
pub mod doctor;
pub mod event;
pub mod exit;
pub mod gateway;
pub mod http;
pub mod kafka;
pub mod lag;
pub mod output;
pub mod pgoutput;
pub mod postgres;
pub mod registry;
pub mod replicate;
pub mod retail;
pub mod shopper;
pub mod simulate;
pub mod step;
pub mod tail;
pub mod telemetry;
pub mod verify;
