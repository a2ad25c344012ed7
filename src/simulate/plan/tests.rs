use std::collections::BTreeMap;

use super::*;
use crate::simulate::pace::Rate;

const PLANS: u32 = 2;
const CHANGES_PER_SECOND: u32 = 2_000;

fn plan(seed: u64) -> Plan {
    plan_from(None, seed)
}

fn plan_from(rhythm_from: Option<u64>, seed: u64) -> Plan {
    let shelves = (1..=30).map(|product_id| Shelf {
        pair: Pair {
            store_id: 1,
            product_id,
        },
        on_hand: Some(20),
        target_stock: 12,
        week_units: 8,
        awaited: false,
    });
    let members = (1..=10).map(|customer_id| Member {
        customer_id,
        premium: customer_id <= 2,
        contact_allowed: true,
    });
    let state = State {
        shelves: shelves.collect(),
        customers: (1..=10).collect(),
        members: members.collect(),
        next_order_id: 1,
        order_id_step: 2,
        ..State::default()
    };
    let rate = Rate {
        changes_per_second: CHANGES_PER_SECOND,
        plans: PLANS,
        rhythm_from,
    };
    Plan::new(state, Pace::new(rate, 0), seed).unwrap()
}

fn decisions(seed: u64, count: usize) -> Vec<Planned> {
    let mut plan = plan(seed);
    (0..count).map(|_| plan.next()).collect()
}

#[test]
fn the_same_seed_gives_the_same_plan() {
    assert_eq!(decisions(5, 20_000), decisions(5, 20_000));
    assert_ne!(decisions(5, 100), decisions(6, 100));
}

#[test]
fn changes_come_at_the_rate() {
    let decisions = decisions(5, 20_000);
    let changes: u32 = decisions.iter().map(|d| d.operation.changes()).sum();
    let last = decisions.last().unwrap();
    let before = f64::from(changes - last.operation.changes());
    let seconds = last.due_us as f64 / 1e6;
    let rate = before / seconds;
    let expected = f64::from(CHANGES_PER_SECOND / PLANS);
    assert!((rate - expected).abs() < 1.0, "{rate}");
    assert!(decisions.is_sorted_by_key(|d| d.due_us));
}

#[test]
fn what_is_in_season_is_bought() {
    let placed = |group: i64| {
        // In the first minute of a year.
        let mut plan = plan_from(Some(0), 5);
        let planned = (0..20_000).map(|_| plan.next().operation);
        let of_group = |operation: &Operation| {
            let Operation::Place { order, .. } = operation else {
                return false;
            };
            order.pair.product_id > 4 && order.pair.product_id % 4 == group
        };
        planned.filter(of_group).count()
    };
    let (best, worst) = (placed(0), placed(2));
    assert!(best * 2 > worst * 3, "{best} and {worst}");
}

#[test]
fn everything_happens() {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for planned in decisions(5, 50_000) {
        let kind = match planned.operation {
            Operation::Place { .. } => "place",
            Operation::Step { step, .. } => step.status.text(),
            Operation::Supply { .. } => "supply",
            Operation::ChangeCustomer(_) => "customer",
            Operation::Correct { .. } => "correct",
            Operation::Recount { .. } => "recount",
            Operation::Erase { .. } => "erase",
            Operation::Delist { .. } => "delist",
            Operation::List { .. } => "list",
        };
        *counts.entry(kind).or_default() += 1;
    }
    println!("{counts:?}");
    assert_eq!(counts.len(), 13, "{counts:?}");
}

/// Replays the decisions on rows alone: the plan sells nothing that is not there, follows an order's
/// life, and its shelves are the rows.
#[test]
fn decisions_fit_the_rows() {
    let mut plan = plan(5);
    let mut levels: BTreeMap<Pair, i32> = plan
        .shelves
        .iter()
        .filter_map(|shelf| Some((shelf.pair, shelf.on_hand?)))
        .collect();
    let mut orders: BTreeMap<i64, (Status, i32)> = BTreeMap::new();
    for _ in 0..50_000 {
        let Planned { operation, .. } = plan.next();
        let moved = match &operation {
            Operation::Place { order, stock } => {
                assert_eq!(stock.units, -order.quantity);
                let new = orders.insert(order.order_id, (Status::Placed, order.quantity));
                assert_eq!(new, None, "an id twice");
                Some(*stock)
            }
            Operation::Step { step, stock } => {
                let known = orders.get_mut(&step.order_id).unwrap();
                let expected = match step.status {
                    Status::Placed => panic!("placed again"),
                    Status::Paid | Status::Cancelled => vec![Status::Placed, Status::Paid],
                    Status::Shipped => vec![Status::Paid],
                    Status::Delivered => vec![Status::Shipped],
                    Status::Returned => vec![Status::Delivered],
                };
                assert!(expected.contains(&known.0), "{:?} to {step:?}", known.0);
                known.0 = step.status;
                if let Some(stock) = stock {
                    assert_eq!((stock.units, step.status.counts()), (known.1, false));
                }
                *stock
            }
            Operation::Correct { step, stock } => {
                let known = orders.get_mut(&step.order_id).unwrap();
                let quantity = step.quantity.unwrap();
                assert!(quantity > 0 && known.0 == Status::Delivered);
                if let Some(stock) = stock {
                    assert_eq!(stock.units, known.1 - quantity);
                }
                known.1 = quantity;
                *stock
            }
            Operation::Supply { stock } => {
                assert!(stock.units > 0);
                Some(*stock)
            }
            Operation::Recount { stock } => Some(*stock),
            Operation::Erase { order_id } => {
                orders.remove(order_id).unwrap();
                None
            }
            Operation::Delist { pair, on_hand } => {
                assert_eq!(levels.remove(pair), Some(*on_hand));
                None
            }
            Operation::List { pair, on_hand, .. } => {
                assert_eq!(levels.insert(*pair, *on_hand), None);
                None
            }
            Operation::ChangeCustomer(_) => None,
        };
        if let Some(stock) = moved {
            let level = levels.get_mut(&stock.pair).unwrap();
            *level += stock.units;
            assert!(*level >= 0, "{stock:?}");
        }
    }
    for shelf in &plan.shelves {
        assert_eq!(levels.get(&shelf.pair).copied(), shelf.on_hand);
    }
}
