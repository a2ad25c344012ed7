//! What happens next in the shop: a stream of decisions, drawn from a seed and the state it starts from.
//!
//! ```text
//! agenda (orders' next steps, supplies, answers to codes) ──due──┐
//! whims (an order, a correction, a change of tier, …) ───────────┴─▶ Planned { due, operation }
//! ```
//!
//! What is on the agenda comes first, so that the number of open orders settles by itself at whatever
//! rate. The plan keeps the levels of its own stores and sells nothing that is not there: it has to be
//! their only writer.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::answer::Answer;
use super::operation::{CustomerChange, NewOrder, Operation, OrderStep, Planned, StockMove};
use super::pace::Pace;
use super::shop::{Pair, Status, price};
use super::state::{KnownOrder, Member, PAST_MAX, Shelf, State, Supplied};

/// Most orders under way; beyond, the next step is taken before it is due.
const AGENDA_MAX: usize = 200_000;
const SECOND_US: u64 = 1_000_000;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Step(KnownOrder),
    Supply(usize),
    Answer(Answer),
}

/// The decisions of one plan. Endless.
#[derive(Debug)]
pub(super) struct Plan {
    rng: ChaCha8Rng,
    pace: Pace,
    shelves: Vec<Shelf>,
    /// Index of each shelf.
    places: HashMap<Pair, usize>,
    popularity: WeightedIndex<u64>,
    customers: Vec<i64>,
    members: Vec<Member>,
    past: VecDeque<KnownOrder>,
    /// By due time, then in the order in which they were put there.
    agenda: BinaryHeap<Reverse<(u64, u64, Event)>>,
    events: u64,
    next_order_id: i64,
    order_id_step: i64,
}

impl Plan {
    /// `None`: no store, no product or no customer.
    pub(super) fn new(state: State, pace: Pace, seed: u64) -> Option<Plan> {
        let weights = state.shelves.iter().map(|shelf| shelf.pair.popularity());
        let popularity = WeightedIndex::new(weights).ok()?;
        if state.customers.is_empty() {
            return None;
        }
        let places = (0..).zip(&state.shelves);
        let places = places.map(|(index, shelf)| (shelf.pair, index)).collect();
        let mut plan = Plan {
            rng: ChaCha8Rng::seed_from_u64(seed),
            pace,
            shelves: state.shelves,
            places,
            popularity,
            customers: state.customers,
            members: state.members,
            past: state.past.into(),
            agenda: BinaryHeap::new(),
            events: 0,
            next_order_id: state.next_order_id,
            order_id_step: state.order_id_step,
        };
        for order in state.open {
            plan.within(0..=60, Event::Step(order));
        }
        Some(plan)
    }

    /// Id of the order that will be placed next.
    pub(super) fn next_order_id(&self) -> i64 {
        self.next_order_id
    }

    /// An order with a code comes next, unless something else is due for longer.
    pub(super) fn answer(&mut self, answer: Answer) {
        self.at(self.pace.due_us(), Event::Answer(answer));
    }

    /// The next decision, and when it is due.
    pub(super) fn next(&mut self) -> Planned {
        let due_us = self.pace.due_us();
        // A whim may come to nothing, an empty shelf for instance; supplies always come in.
        let operation = loop {
            if let Some(operation) = self.on_the_agenda(due_us).or_else(|| self.whim()) {
                break operation;
            }
        };
        self.pace.spend(operation.changes());
        Planned { due_us, operation }
    }

    fn on_the_agenda(&mut self, now_us: u64) -> Option<Operation> {
        let Reverse((due_us, ..)) = self.agenda.peek()?;
        if *due_us > now_us && self.agenda.len() < AGENDA_MAX {
            return None;
        }
        let Reverse((_, _, event)) = self.agenda.pop()?;
        match event {
            Event::Step(order) => Some(self.step(order)),
            Event::Supply(index) => self.supply(index),
            Event::Answer(answer) => self.place_with_code(answer),
        }
    }

    fn whim(&mut self) -> Option<Operation> {
        match self.rng.random_range(0..1_000) {
            0..900 => self.place(),
            900..940 => self.supply_any(),
            940..970 => self.change_customer(),
            970..985 => self.correct(),
            985..995 => self.recount(),
            995..998 => self.erase(),
            _ => self.delist(),
        }
    }

    /// An order: of what the customer has bought before, or of something popular.
    fn place(&mut self) -> Option<Operation> {
        let again = self.rng.random_ratio(1, 4).then(|| self.any_past());
        let (customer_id, shelf) = match again.flatten() {
            Some((_, order)) => (order.customer_id, order.shelf),
            None => (*self.customers.choose(&mut self.rng)?, self.in_season()?),
        };
        let quantity = self.rng.random_range(1..=3);
        self.order(customer_id, shelf, quantity, None)
    }

    /// An order that a code has brought, where the shelf still has it.
    fn place_with_code(&mut self, answer: Answer) -> Option<Operation> {
        let Answer {
            customer_id,
            pair,
            quantity,
            code,
            ..
        } = answer;
        let shelf = *self.places.get(&pair)?;
        self.order(customer_id, shelf, quantity, Some(code))
    }

    fn order(
        &mut self,
        customer_id: i64,
        shelf: usize,
        quantity: i32,
        promotion_code: Option<String>,
    ) -> Option<Operation> {
        let pair = self.take(shelf, quantity)?;
        let order = KnownOrder {
            order_id: self.next_order_id,
            customer_id,
            shelf,
            quantity,
            status: Status::Placed,
        };
        self.next_order_id += self.order_id_step;
        self.within(2..=20, Event::Step(order));
        Some(Operation::Place {
            order: NewOrder {
                order_id: order.order_id,
                customer_id,
                pair,
                quantity,
                unit_price: price(pair.product_id),
                promotion_code,
            },
            stock: StockMove::of(pair, -quantity),
        })
    }

    /// A shelf of something that is popular now.
    fn in_season(&mut self) -> Option<usize> {
        let shelf = self.popularity.sample(&mut self.rng);
        let product_id = self.shelves.get(shelf)?.pair.product_id;
        let wanted = self.pace.is_wanted(product_id, &mut self.rng);
        wanted.then_some(shelf)
    }

    /// An order's next step: towards delivery mostly.
    fn step(&mut self, mut order: KnownOrder) -> Operation {
        let chance = self.rng.random_range(0..100);
        order.status = match (order.status, chance) {
            (Status::Placed, 0..6) | (Status::Paid, 0..3) => Status::Cancelled,
            (Status::Placed, _) => Status::Paid,
            (Status::Paid, _) => Status::Shipped,
            (Status::Shipped, _) => Status::Delivered,
            (_, _) => Status::Returned,
        };
        let stock = match order.status {
            Status::Cancelled | Status::Returned => self.give_back(order.shelf, order.quantity),
            Status::Placed | Status::Paid | Status::Shipped => {
                self.within(5..=60, Event::Step(order));
                None
            }
            // Some come back.
            Status::Delivered if chance < 4 => {
                self.within(10..=90, Event::Step(order));
                None
            }
            Status::Delivered => {
                self.remember(order);
                None
            }
        };
        Operation::Step {
            step: OrderStep::to(order.order_id, order.status),
            stock,
        }
    }

    /// Brings a shelf to its target, or to far more than it sells: a buyer's wrong bet.
    fn supply(&mut self, index: usize) -> Option<Operation> {
        let bet = self.rng.random_ratio(1, 5);
        let weeks = bet.then(|| self.rng.random_range(3..=6));
        let shelf = self.shelves.get_mut(index)?;
        Some(match shelf.supply(weeks) {
            Supplied::More(units) => Operation::Supply {
                stock: StockMove {
                    target_stock: Some(shelf.target_stock),
                    ..StockMove::of(shelf.pair, units)
                },
            },
            Supplied::Again(on_hand) => Operation::List {
                pair: shelf.pair,
                on_hand,
                target_stock: shelf.target_stock,
            },
        })
    }

    fn supply_any(&mut self) -> Option<Operation> {
        let index = self.popularity.sample(&mut self.rng);
        self.supply(index)
    }

    /// A customer rises to premium, falls back, or changes what she allows.
    fn change_customer(&mut self) -> Option<Operation> {
        let index = self.any_index(self.members.len())?;
        let member = self.members.get_mut(index)?;
        if self.rng.random_ratio(1, 3) {
            member.contact_allowed = !member.contact_allowed;
        } else {
            // One in five is premium: as many rise as fall.
            if !member.premium && self.rng.random_ratio(3, 4) {
                return None;
            }
            member.premium = !member.premium;
        }
        Some(Operation::ChangeCustomer(CustomerChange {
            customer_id: member.customer_id,
            premium: member.premium,
            contact_allowed: member.contact_allowed,
        }))
    }

    /// Hours or weeks later an order turns out to have been for more or less: sales of a past hour
    /// change.
    fn correct(&mut self) -> Option<Operation> {
        let (index, mut order) = self.any_past()?;
        let more = order.quantity == 1 || self.rng.random_ratio(1, 2);
        let units = if more { 1 } else { -1 };
        let stock = if more {
            let pair = self.take(order.shelf, units)?;
            Some(StockMove::of(pair, -units))
        } else {
            self.give_back(order.shelf, -units)
        };
        order.quantity += units;
        if let Some(known) = self.past.get_mut(index) {
            *known = order;
        }
        let step = OrderStep {
            quantity: Some(order.quantity),
            ..OrderStep::to(order.order_id, order.status)
        };
        Some(Operation::Correct { step, stock })
    }

    /// Somebody counts: as expected mostly, else a unit is gone.
    fn recount(&mut self) -> Option<Operation> {
        let index = self.popularity.sample(&mut self.rng);
        let lost = self.rng.random_ratio(1, 4);
        let pair = self.take(index, i32::from(lost))?;
        Some(Operation::Recount {
            stock: StockMove::of(pair, -i32::from(lost)),
        })
    }

    /// An order is erased, as a shop must at a customer's request.
    fn erase(&mut self) -> Option<Operation> {
        let (index, order) = self.any_past()?;
        self.past.remove(index);
        Some(Operation::Erase {
            order_id: order.order_id,
        })
    }

    /// A store gives up a product, and takes it back later.
    fn delist(&mut self) -> Option<Operation> {
        let index = self.any_index(self.shelves.len())?;
        let shelf = self.shelves.get_mut(index)?;
        let (pair, on_hand) = (shelf.pair, shelf.on_hand.take()?);
        self.await_supply(index, 20..=120);
        Some(Operation::Delist { pair, on_hand })
    }

    /// Takes units off a shelf and asks for more when it runs low. `None` if they are not there.
    fn take(&mut self, index: usize, units: i32) -> Option<Pair> {
        let shelf = self.shelves.get_mut(index)?;
        let taken = shelf.take(units).then_some(shelf.pair);
        if shelf.is_low() {
            self.await_supply(index, 10..=60);
        }
        taken
    }

    fn give_back(&mut self, index: usize, units: i32) -> Option<StockMove> {
        let shelf = self.shelves.get_mut(index)?;
        let back = shelf.give_back(units);
        back.then(|| StockMove::of(shelf.pair, units))
    }

    fn await_supply(&mut self, index: usize, seconds: std::ops::RangeInclusive<u64>) {
        let Some(shelf) = self.shelves.get_mut(index) else {
            return;
        };
        if !shelf.awaited {
            shelf.awaited = true;
            self.within(seconds, Event::Supply(index));
        }
    }

    fn within(&mut self, seconds: std::ops::RangeInclusive<u64>, event: Event) {
        let (least, most) = (seconds.start() * SECOND_US, seconds.end() * SECOND_US);
        let due_us = self.pace.due_us() + self.rng.random_range(least..=most);
        self.at(due_us, event);
    }

    fn at(&mut self, due_us: u64, event: Event) {
        self.events += 1;
        self.agenda.push(Reverse((due_us, self.events, event)));
    }

    fn remember(&mut self, order: KnownOrder) {
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(order);
    }

    fn any_past(&mut self) -> Option<(usize, KnownOrder)> {
        let index = self.any_index(self.past.len())?;
        Some((index, *self.past.get(index)?))
    }

    fn any_index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.rng.random_range(0..length))
    }
}
