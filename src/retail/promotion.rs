//! Which tuples get a code, where a limit leaves no room for all of them.
//!
//! Everything but the limits is settled when a [`Candidate`] is made: it is eligible, without a live
//! code, past its cooldown and its rest. The limits bite in one order over all rules: most excess units
//! first, then whose last order is the oldest, then by id.

pub(super) mod ledger;
pub mod redemption;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::evaluation::RuleTuple;
use super::time::Timestamp;
use super::touched::Pair;

/// A tuple that may have a code if the limits leave room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What the code would be for.
    pub tuple: RuleTuple,
    /// Its next cycle.
    pub cycle: i32,
    /// Units of the pair beyond the rule's days of cover.
    pub excess: i64,
    /// The tuple's last uncancelled order.
    pub last_at: Timestamp,
    /// Codes that the rule may still issue today.
    pub rule_left: i64,
    /// Codes that the customer may still get.
    pub customer_left: i64,
    /// Live codes of the pair, over all rules.
    pub live: i64,
    /// Percent off.
    pub discount_percent: i32,
    /// End of the code.
    pub valid_until: Timestamp,
    /// What makes it due.
    pub due: Due,
    /// Why it is eligible.
    pub why: Why,
}

/// What makes a candidate due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its rule asks for no event.
    ByStock,
    /// An event about its product, the latest one.
    ByEvent(Event),
    /// Events about its store, the earliest first. Each makes one tuple due: the first in the order of issue.
    ByEntry(Vec<Event>),
}

/// An application event, as it is published with the code that it made due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub event_id: Uuid,
    /// What the shopper did.
    pub r#type: String,
    /// When, in ISO 8601.
    pub occurred_at: String,
}

/// What made a tuple eligible, as it is published with its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Why {
    /// `promotion_eligibility.cause`.
    pub cause: String,
    /// `promotion_eligibility.cause_position`.
    pub cause_position: Option<String>,
    /// `promotion_condition.on_hand`.
    pub on_hand: Option<i32>,
    /// `promotion_condition.units`.
    pub units: i64,
    /// `promotion_condition.hours`.
    pub hours: i64,
    /// Units beyond the rule's days of cover, this code's included.
    pub excess: i64,
    /// The event that made it due; none under a rule that asks for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<Event>,
}

impl Candidate {
    /// The event about its store that it uses up.
    pub(super) fn entry(&self) -> Option<Uuid> {
        match (&self.due, &self.why.event) {
            (Due::ByEntry(_), Some(event)) => Some(event.event_id),
            _ => None,
        }
    }

    /// The event that makes it due, if none has used it up.
    fn event(&self, used: &HashSet<Uuid>) -> Result<Option<Event>, NotDue> {
        match &self.due {
            Due::ByStock => Ok(None),
            Due::ByEvent(event) => Ok(Some(event.clone())),
            Due::ByEntry(entries) => {
                let mut left = entries
                    .iter()
                    .filter(|entry| !used.contains(&entry.event_id));
                left.next().cloned().map(Some).ok_or(NotDue)
            }
        }
    }

    /// The order of issue.
    fn rank(&self) -> (Reverse<i64>, Timestamp, [i64; 4]) {
        (Reverse(self.excess), self.last_at, self.tuple.numbers())
    }
}

/// Every event that might make it due is used up.
struct NotDue;

/// Chooses those that get a code, in the order of issue, each with the event that made it due.
pub fn choose(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_unstable_by_key(Candidate::rank);
    let mut of_rule: HashMap<i64, i64> = HashMap::new();
    let mut of_customer: HashMap<i64, i64> = HashMap::new();
    let mut of_pair: HashMap<Pair, i64> = HashMap::new();
    let mut used: HashSet<Uuid> = HashSet::new();
    candidates.retain_mut(|candidate| {
        let Ok(event) = candidate.event(&used) else {
            return false;
        };
        let tuple = &candidate.tuple;
        let rule = of_rule.entry(tuple.rule_id).or_default();
        let customer = of_customer.entry(tuple.customer_id).or_default();
        let pair = of_pair.entry(tuple.pair).or_default();
        let room = *rule < candidate.rule_left
            && *customer < candidate.customer_left
            && candidate.live.saturating_add(*pair) < candidate.excess;
        for count in [rule, customer, pair] {
            *count += i64::from(room);
        }
        candidate.why.event = event;
        used.extend(candidate.entry().filter(|_| room));
        room
    });
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(rule_id: i64, customer_id: i64, product_id: i64) -> Candidate {
        let pair = Pair {
            store_id: 1,
            product_id,
        };
        Candidate {
            tuple: RuleTuple {
                rule_id,
                customer_id,
                pair,
            },
            cycle: 1,
            excess: 10,
            last_at: Timestamp::from_micros(0),
            rule_left: 100,
            customer_left: 100,
            live: 0,
            discount_percent: 15,
            valid_until: Timestamp::from_micros(0),
            due: Due::ByStock,
            why: Why {
                cause: "stock".to_owned(),
                cause_position: None,
                on_hand: None,
                units: 0,
                hours: 24,
                excess: 10,
                event: None,
            },
        }
    }

    fn chosen(candidates: Vec<Candidate>) -> Vec<[i64; 4]> {
        let chosen = choose(candidates);
        chosen.iter().map(|one| one.tuple.numbers()).collect()
    }

    #[test]
    fn most_excess_goes_first_then_the_oldest_order_then_the_ids() {
        let mut most = candidate(3, 9, 9);
        most.excess = 11;
        let mut oldest = candidate(2, 8, 8);
        oldest.last_at = Timestamp::from_micros(-1);
        let (by_rule, by_customer) = (candidate(1, 7, 7), candidate(2, 5, 7));
        let by_product = candidate(2, 5, 6);
        let all = vec![
            by_customer.clone(),
            by_product.clone(),
            by_rule.clone(),
            oldest.clone(),
            most.clone(),
        ];
        let order = [most, oldest, by_rule, by_product, by_customer];
        assert_eq!(chosen(all), order.map(|one| one.tuple.numbers()));
    }

    #[test]
    fn a_rules_day_is_shared_by_its_tuples_alone() {
        let mut tight: Vec<_> = (1..=5)
            .map(|customer| candidate(1, customer, customer))
            .collect();
        for one in &mut tight {
            one.rule_left = 2;
        }
        tight.push(candidate(2, 6, 6));
        assert_eq!(chosen(tight), [[1, 1, 1, 1], [1, 2, 1, 2], [2, 6, 1, 6]]);
    }

    #[test]
    fn a_customers_limit_counts_over_all_rules() {
        let mut all: Vec<_> = (1..=4).map(|rule| candidate(rule, 1, rule)).collect();
        for one in &mut all {
            one.customer_left = 3;
        }
        assert_eq!(chosen(all).len(), 3);
    }

    #[test]
    fn live_codes_of_a_pair_stay_within_the_issuing_rules_excess() {
        // Rule 1 leaves an excess of 5 and rule 2 of 3, and two codes live already: the first two by
        // excess are rule 1's, which fill rule 2's.
        let mut all = Vec::new();
        for customer in 1..=4 {
            for (rule, excess) in [(1, 5), (2, 3)] {
                let mut one = candidate(rule, customer * 10 + rule, 1);
                (one.excess, one.live) = (excess, 2);
                all.push(one);
            }
        }
        assert_eq!(chosen(all), [[1, 11, 1, 1], [1, 21, 1, 1], [1, 31, 1, 1]]);
    }

    #[test]
    fn one_that_a_limit_refuses_uses_up_no_other() {
        // Customer 1's second code is refused, so rule 1 still has room for customer 2.
        let (first, mut refused) = (candidate(1, 1, 1), candidate(1, 1, 2));
        let mut next = candidate(1, 2, 3);
        refused.customer_left = 1;
        next.rule_left = 2;
        assert_eq!(
            chosen(vec![first, refused, next]),
            [[1, 1, 1, 1], [1, 2, 1, 3]]
        );
    }

    fn entry(id: u128) -> Event {
        Event {
            event_id: Uuid::from_u128(id),
            r#type: "store_entered".to_owned(),
            occurred_at: "2026-11-28T03:00:00.000000Z".to_owned(),
        }
    }

    #[test]
    fn an_event_about_the_store_is_for_the_first_tuple_that_there_is_room_for() {
        // One entry; the first by excess is refused by its rule's day, the second has it, the third not.
        let mut all: Vec<_> = (1..=3).map(|rule| candidate(rule, 1, rule)).collect();
        for (one, excess) in all.iter_mut().zip([12, 11, 10]) {
            (one.excess, one.due) = (excess, Due::ByEntry(vec![entry(1)]));
        }
        all[0].rule_left = 0;
        let chosen = choose(all.clone());
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].tuple.numbers(), [2, 1, 1, 2]);
        assert_eq!(chosen[0].why.event, Some(entry(1)));
        assert_eq!(chosen[0].entry(), Some(Uuid::from_u128(1)));
        // A second entry makes the next one due; an event about its product uses no entry up.
        for one in &mut all {
            one.due = Due::ByEntry(vec![entry(1), entry(2)]);
        }
        all[1].due = Due::ByEvent(entry(3));
        let chosen = choose(all);
        let events: Vec<_> = chosen.iter().map(Candidate::entry).collect();
        assert_eq!(events, [None, Some(Uuid::from_u128(1))]);
    }

    #[test]
    fn without_room_there_is_no_code() {
        let mut none = candidate(1, 1, 1);
        none.excess = 0;
        assert!(choose(vec![none]).is_empty());
    }
}
