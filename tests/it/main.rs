//! One binary for every integration test; one module per area.

mod histories;
mod model;
