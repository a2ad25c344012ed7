//! One binary for every integration test; one module per area.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::wildcard_enum_match_arm,
    clippy::too_many_lines,
    reason = "tests, all of it: a scenario reads best in one piece, and fails by panicking"
)]

mod acceptance;
mod adhoc;
mod aggregate;
mod batch;
mod bounds;
mod commands;
mod console;
mod consumers;
mod corpora;
mod evolution;
mod faults;
mod fold;
mod gateway;
mod histories;
mod history;
mod login;
mod model;
mod outbox;
mod own_tables;
mod parity;
mod postgres;
mod promotions;
mod recording;
mod registry;
mod row_store;
mod servers;
mod shapes;
mod shaping;
mod simulate;
mod standby;
mod starts;
mod support;
mod tidy;
mod types;
mod values;
