//! What shoppers make of a code: an order sooner or later, mostly none, and now and then a wrong one.
//!
//! It follows from the seed and the code alone, whenever and however often it is read. The model is that of
//! [`response`](super::response).

use std::time::Duration;

use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::response;
use super::shop::Pair;

/// Of so many codes one is used as it should not be.
const MISUSED_ONE_IN: u32 = 10;
/// How long after its end an expired code is tried.
const EXPIRED_BY: Duration = Duration::from_secs(1);

/// A code as its record says it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Code {
    pub(super) promotion_id: Uuid,
    pub(super) code: String,
    pub(super) customer_id: i64,
    pub(super) store_id: i64,
    pub(super) product_id: i64,
    pub(super) discount_percent: i32,
    #[serde(deserialize_with = "micros")]
    pub(super) issued_at: i64,
    #[serde(deserialize_with = "micros")]
    pub(super) valid_until: i64,
}

/// A time as microseconds since 1970.
fn micros<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    let time: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
    Ok(time.as_microsecond())
}

/// An order that carries a code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answer {
    /// Microseconds since 1970.
    pub(super) due_us: i64,
    pub(super) customer_id: i64,
    pub(super) pair: Pair,
    pub(super) quantity: i32,
    pub(super) code: String,
}

/// Who answers, and how.
#[derive(Clone, Debug)]
pub(super) struct Responders {
    pub(super) seed: u64,
    pub(super) half_life: Duration,
    /// Everybody: a code may end with a stranger.
    pub(super) customers: Vec<i64>,
    pub(super) products: Vec<i64>,
}

/// A way to use a code that redeems nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Misuse {
    Mistyped,
    PassedOn,
    OtherProduct,
    Twice,
    Late,
}

const MISUSES: [Misuse; 5] = [
    Misuse::Mistyped,
    Misuse::PassedOn,
    Misuse::OtherProduct,
    Misuse::Twice,
    Misuse::Late,
];

impl Responders {
    /// The orders that come of a code: none mostly, two at most.
    pub(super) fn answers(&self, code: &Code) -> Vec<Answer> {
        let mut rng = self.rng(code.promotion_id);
        let responds = rng.random_bool(response::share(code.discount_percent));
        let misuse = rng.random_ratio(1, MISUSED_ONE_IN);
        let misuse = misuse.then(|| MISUSES.choose(&mut rng).copied()).flatten();
        let right = Answer {
            due_us: self.due_us(code, &mut rng),
            customer_id: code.customer_id,
            pair: Pair {
                store_id: code.store_id,
                product_id: code.product_id,
            },
            quantity: rng.random_range(1..=3),
            code: code.code.clone(),
        };
        let in_time = right.due_us <= code.valid_until;
        let Some(misuse) = misuse else {
            return if responds && in_time {
                vec![right]
            } else {
                Vec::new()
            };
        };
        match misuse {
            Misuse::Twice if in_time => {
                let due_us = right.due_us.max(self.due_us(code, &mut rng));
                let again = Answer {
                    due_us,
                    ..right.clone()
                };
                vec![right, again]
            }
            Misuse::Late | Misuse::Twice => {
                let late = i64::try_from(EXPIRED_BY.as_micros()).unwrap_or(i64::MAX);
                vec![Answer {
                    due_us: code.valid_until.saturating_add(late),
                    ..right
                }]
            }
            Misuse::Mistyped => vec![Answer {
                code: mistyped(&code.code),
                ..right
            }],
            Misuse::PassedOn => vec![Answer {
                customer_id: other(&self.customers, code.customer_id, &mut rng),
                ..right
            }],
            Misuse::OtherProduct => vec![Answer {
                pair: Pair {
                    product_id: other(&self.products, code.product_id, &mut rng),
                    ..right.pair
                },
                ..right
            }],
        }
    }

    /// Draws of its own for each code.
    fn rng(&self, promotion_id: Uuid) -> ChaCha8Rng {
        let hash = Sha256::new()
            .chain_update(self.seed.to_be_bytes())
            .chain_update(promotion_id.as_bytes())
            .finalize();
        ChaCha8Rng::from_seed(hash.into())
    }

    fn due_us(&self, code: &Code, rng: &mut ChaCha8Rng) -> i64 {
        // Above 0: an even draw from (0, 1].
        let left = 1.0 - rng.random::<f64>();
        let delay = response::delay(left, self.half_life).as_micros();
        code.issued_at
            .saturating_add(i64::try_from(delay).unwrap_or(i64::MAX))
    }
}

/// Another one, if there is one.
fn other(ids: &[i64], than: i64, rng: &mut ChaCha8Rng) -> i64 {
    let others = || ids.iter().copied().filter(|id| *id != than);
    let count = others().count();
    if count == 0 {
        return than;
    }
    let index = rng.random_range(0..count);
    others().nth(index).unwrap_or(than)
}

/// One character wrong, which the check character tells.
fn mistyped(code: &str) -> String {
    let mut characters: Vec<char> = code.chars().collect();
    if let Some(first) = characters.first_mut() {
        *first = if *first == '0' { '1' } else { '0' };
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn code(number: u128, discount_percent: i32) -> Code {
        Code {
            promotion_id: Uuid::from_u128(number),
            code: "7ZQ4M0C2XDK".to_owned(),
            customer_id: 7,
            store_id: 1,
            product_id: 2,
            discount_percent,
            issued_at: 1_000,
            valid_until: 1_000 + 24 * HOUR_US,
        }
    }

    fn responders(half_life: Duration) -> Responders {
        Responders {
            seed: 5,
            half_life,
            customers: (1..=10).collect(),
            products: (1..=10).collect(),
        }
    }

    fn is_right(answer: &Answer) -> bool {
        let Answer {
            customer_id,
            pair,
            code,
            due_us,
            ..
        } = answer;
        let pair = (pair.store_id, pair.product_id);
        (*customer_id, pair, code.as_str()) == (7, (1, 2), "7ZQ4M0C2XDK")
            && *due_us <= 1_000 + 24 * HOUR_US
    }

    #[test]
    fn an_answer_follows_from_seed_and_code() {
        let responders = responders(Duration::from_hours(1));
        let other = Responders {
            seed: 6,
            ..responders.clone()
        };
        let all = |responders: &Responders| -> Vec<Vec<Answer>> {
            (0..200).map(|n| responders.answers(&code(n, 15))).collect()
        };
        assert_eq!(all(&responders), all(&responders));
        assert_ne!(all(&responders), all(&other));
    }

    #[test]
    fn a_share_of_the_codes_is_used_and_half_of_them_within_the_half_life() {
        let responders = responders(Duration::from_hours(1));
        for (discount, share) in [(15, 0.2), (60, 0.8)] {
            let answers: Vec<Answer> = (0..20_000)
                .map(|number| responders.answers(&code(number, discount)))
                .filter(|answers| answers.len() == 1)
                .flatten()
                .filter(is_right)
                .collect();
            let found = answers.len() as f64 / 20_000.0 / 0.9;
            assert!((found - share).abs() < 0.015, "{discount}: {found}");
            let soon = |hours| {
                let soon = answers.iter();
                let soon = soon.filter(|answer| answer.due_us <= 1_000 + hours * HOUR_US);
                soon.count() as f64 / answers.len() as f64
            };
            assert!((soon(1) - 0.5).abs() < 0.02, "{}", soon(1));
            assert!((soon(3) - 0.875).abs() < 0.02, "{}", soon(3));
        }
    }

    #[test]
    fn nobody_answers_when_the_code_is_over() {
        let responders = responders(Duration::from_hours(24 * 365));
        // But for those who mean to.
        let late = |answer: &Answer| answer.due_us == 1_000 + 24 * HOUR_US + 1_000_000;
        let of = |number| responders.answers(&code(number, 60));
        let mine = |answer: &Answer| answer.customer_id == 7 && answer.code == "7ZQ4M0C2XDK";
        let mine = |answer: &Answer| mine(answer) && answer.pair.product_id == 2;
        let answers = (0..2_000).flat_map(of).filter(mine);
        let answers = answers.filter(|answer| !late(answer)).count();
        assert!(answers < 20, "{answers}");
    }

    #[test]
    fn codes_are_misused_in_every_way() {
        let responders = responders(Duration::from_mins(1));
        let mut ways: BTreeMap<&str, u32> = BTreeMap::new();
        for number in 0..5_000 {
            let answers = responders.answers(&code(number, 2));
            let [first, rest @ ..] = &answers[..] else {
                continue;
            };
            assert!((1..=3).contains(&first.quantity));
            let way = if !rest.is_empty() {
                assert!(rest.len() == 1 && first.due_us <= rest[0].due_us);
                "twice"
            } else if first.code != "7ZQ4M0C2XDK" {
                assert_eq!(first.code, "0ZQ4M0C2XDK");
                "mistyped"
            } else if first.customer_id != 7 {
                "passed on"
            } else if first.pair.product_id != 2 {
                "other product"
            } else if first.due_us > 1_000 + 24 * HOUR_US {
                "late"
            } else {
                "right"
            };
            *ways.entry(way).or_default() += 1;
        }
        println!("{ways:?}");
        assert_eq!(ways.len(), 6, "{ways:?}");
        for (way, count) in ways {
            assert!((50..200).contains(&count), "{way}: {count}");
        }
    }

    #[test]
    fn a_record_of_the_topic_is_read() {
        let record = r#"{"promotion_id":"0f1c4ad1-7a65-5d5c-9ac7-6e1d2c5f8b11","code":"7ZQ4M0C2XDK","rule_id":1,
            "rule":"premium overstock","customer_id":7,"store_id":1,"product_id":2,"cycle":1,"source":"stream",
            "discount_percent":15,"issued_at":"2026-11-23T08:30:20.114201Z",
            "valid_until":"2026-11-24T08:30:20.114201Z","why":{"cause":"stock"}}"#;
        let code: Code = serde_json::from_str(record).unwrap();
        assert_eq!(code.valid_until - code.issued_at, 24 * HOUR_US);
        assert_eq!(
            (code.customer_id, code.store_id, code.product_id),
            (7, 1, 2)
        );
    }
}
