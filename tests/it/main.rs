//! One binary for every integration test; one module per area.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // tests, all of it

mod histories;
mod history;
mod login;
mod model;
mod postgres;
mod support;
