//! One thing that happens in the shop, and the rows that it changes.

use super::shop::{Pair, Status};

/// An operation and when it is due, microseconds after the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) due_us: u64,
    pub(super) operation: Operation,
}

/// One thing that happens. Its rows change in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// A customer orders; the units leave the shelf at once.
    Place { order: NewOrder, stock: StockMove },
    /// An order is paid, shipped, delivered, cancelled or returned; of the last two the units come
    /// back, unless the store has given up the product.
    Step {
        step: OrderStep,
        stock: Option<StockMove>,
    },
    /// Units come in.
    Supply { stock: StockMove },
    /// Another tier, or another consent.
    ChangeCustomer(CustomerChange),
    /// The quantity of an order was wrong.
    Correct {
        step: OrderStep,
        stock: Option<StockMove>,
    },
    /// Somebody counted; often nothing but `updated_at` changes.
    Recount { stock: StockMove },
    /// An order is deleted. Its units stay sold.
    Erase { order_id: i64 },
    /// A store gives up a product, and what was left of it.
    Delist { pair: Pair, on_hand: i32 },
    /// A store takes a product into its range.
    List {
        pair: Pair,
        on_hand: i32,
        target_stock: i32,
    },
}

/// A row of `orders` to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NewOrder {
    pub(super) order_id: i64,
    pub(super) customer_id: i64,
    pub(super) pair: Pair,
    pub(super) quantity: i32,
    /// Hundredths.
    pub(super) unit_price: i64,
    pub(super) promotion_code: Option<String>,
}

/// A change of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrderStep {
    pub(super) order_id: i64,
    pub(super) status: Status,
    pub(super) quantity: Option<i32>,
}

impl OrderStep {
    pub(super) fn to(order_id: i64, status: Status) -> OrderStep {
        OrderStep {
            order_id,
            status,
            quantity: None,
        }
    }
}

/// A change of a level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StockMove {
    pub(super) pair: Pair,
    /// Added; negative when units leave.
    pub(super) units: i32,
    pub(super) target_stock: Option<i32>,
}

impl StockMove {
    pub(super) fn of(pair: Pair, units: i32) -> StockMove {
        StockMove {
            pair,
            units,
            target_stock: None,
        }
    }
}

/// A customer's new tier and consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CustomerChange {
    pub(super) customer_id: i64,
    pub(super) premium: bool,
    pub(super) contact_allowed: bool,
}

impl Operation {
    /// Rows that it changes.
    pub(super) fn changes(&self) -> u32 {
        match self {
            Operation::Place { .. } => 2,
            Operation::Step { stock, .. } | Operation::Correct { stock, .. } => {
                1 + u32::from(stock.is_some())
            }
            Operation::Supply { .. }
            | Operation::ChangeCustomer(_)
            | Operation::Recount { .. }
            | Operation::Erase { .. }
            | Operation::Delist { .. }
            | Operation::List { .. } => 1,
        }
    }

    /// Units added to the stock of the whole shop.
    pub(super) fn units(&self) -> i64 {
        let units = match self {
            Operation::Place { stock, .. }
            | Operation::Supply { stock }
            | Operation::Recount { stock } => stock.units,
            Operation::Step { stock, .. } | Operation::Correct { stock, .. } => {
                stock.map_or(0, |stock| stock.units)
            }
            Operation::Delist { on_hand, .. } => -on_hand,
            Operation::List { on_hand, .. } => *on_hand,
            Operation::ChangeCustomer(_) | Operation::Erase { .. } => 0,
        };
        units.into()
    }
}
