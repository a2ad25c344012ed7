//! The retail half: change events of stock, orders and customers, folded into the sink's aggregates.
//!
//! ```text
//! topics ─▶ consumer ─▶ change ─▶ stock, sales, habit (pure folds) ─▶ store ─▶ sink
//!                                        └─▶ touched ─▶ promotion
//! ```

pub mod statements;
pub mod touched;
