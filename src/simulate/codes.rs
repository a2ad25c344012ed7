//! Codes as an application reads them: from the promotions topic, without a group. Blocks: for a thread of its
//! own.
//!
//! All of the topic is read. What shoppers make of a code follows from the code, so what was due before the
//! start has happened, or nobody was there for it; and a simulation that starts again with the same seed goes on
//! with what is due later.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use rdkafka::message::Message;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::answer::{Answer, Code, Responders};
use super::poster::End;
use crate::config::settings::Kafka;
use crate::kafka::{self, Admin, Isolation, Polled, Reader, topics};
use crate::telemetry;

/// How long a broker may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Before a topic that is not there, or a broker that is away, is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// Codes that are known when they come again: each is sent at least once.
const KNOWN_MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();

/// Where the answers for some stores go.
pub(super) struct Recipient {
    pub(super) stores: Vec<i64>,
    pub(super) answers: mpsc::Sender<Answer>,
}

/// Reads codes and sends on what shoppers make of them.
pub(super) struct Codes {
    pub(super) kafka: Kafka,
    pub(super) responders: Responders,
    pub(super) recipients: Vec<Recipient>,
    pub(super) end: End,
}

impl Codes {
    /// Reads until the end. A broker that is away is waited for: shoppers hear of its codes when it is back.
    pub(super) fn run(self) {
        let topic = topics::promotions(&self.kafka.prefix);
        let mut known = LruCache::new(KNOWN_MAX);
        let mut away = false;
        // The offsets to go on from; none before the topic was seen.
        let mut offsets: Option<Vec<i64>> = None;
        while !self.end.is_near() {
            let Err(error) = self.read(&topic, &mut offsets, &mut known, &mut away) else {
                return;
            };
            if !std::mem::replace(&mut away, true) {
                let error = telemetry::chain(&error);
                tracing::warn!(%error, "shoppers cannot read their codes: trying again");
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn read(
        &self,
        topic: &str,
        offsets: &mut Option<Vec<i64>>,
        known: &mut LruCache<Uuid, ()>,
        away: &mut bool,
    ) -> Result<(), kafka::Error> {
        let mut reader = Reader::open(&self.kafka, Isolation::Committed)?;
        let Some(offsets) = self.offsets(topic, &reader, offsets)? else {
            return Ok(());
        };
        let starts: Vec<(&str, i32, i64)> = (0..)
            .zip(offsets.iter())
            .map(|(partition, offset)| (topic, partition, *offset))
            .collect();
        reader.assign(&starts)?;
        while !self.end.is_near() {
            let polled = reader.poll(topic)?;
            if !matches!(polled, Polled::Nothing) && std::mem::take(away) {
                tracing::info!("shoppers read their codes again");
            }
            match polled {
                Polled::Nothing | Polled::End(_) => {}
                Polled::Record(message) => {
                    if !self.take(message.payload(), known) {
                        return Ok(());
                    }
                    let partition = usize::try_from(message.partition()).ok();
                    if let Some(offset) = partition.and_then(|index| offsets.get_mut(index)) {
                        *offset = message.offset() + 1;
                    }
                }
            }
        }
        Ok(())
    }

    /// Where to begin: with every code that there is, as soon as the topic is. `None` at the end.
    fn offsets<'a>(
        &self,
        topic: &str,
        reader: &Reader,
        known: &'a mut Option<Vec<i64>>,
    ) -> Result<Option<&'a mut Vec<i64>>, kafka::Error> {
        let admin = Admin::new(&self.kafka)?;
        while known.is_none() && !self.end.is_near() {
            let Some(partitions) = admin.partitions(topic)? else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let first = |partition| {
                let (first, _) = reader.watermarks(topic, partition, ANSWER_TIMEOUT)?;
                Ok(first)
            };
            *known = Some((0..partitions).map(first).collect::<Result<_, _>>()?);
        }
        Ok(known.as_mut())
    }

    /// `false` when nobody wants answers any more.
    fn take(&self, value: Option<&[u8]>, known: &mut LruCache<Uuid, ()>) -> bool {
        let code: Code = match serde_json::from_slice(value.unwrap_or_default()) {
            Ok(code) => code,
            Err(error) => {
                tracing::warn!(%error, "a record of the promotions topic is no code");
                return true;
            }
        };
        if known.put(code.promotion_id, ()).is_some() {
            return true;
        }
        let answers = self.responders.answers(&code).into_iter();
        for answer in answers.filter(|answer| answer.due_us >= self.end.start.unix_us) {
            let store_id = answer.pair.store_id;
            let of = |recipient: &&Recipient| recipient.stores.contains(&store_id);
            // A store of somebody else's: nobody can buy there.
            let Some(recipient) = self.recipients.iter().find(of) else {
                continue;
            };
            if recipient.answers.blocking_send(answer).is_err() {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tokio_util::sync::CancellationToken;

    use super::super::worker::Start;
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    fn record(number: u128, store_id: i64) -> Vec<u8> {
        let code = serde_json::json!({
            "promotion_id": Uuid::from_u128(number), "code": "7ZQ4M0C2XDK", "customer_id": 7,
            "store_id": store_id, "product_id": 2, "discount_percent": 60,
            "issued_at": "1970-01-01T00:00:00Z", "valid_until": "1970-01-02T00:00:00Z",
        });
        code.to_string().into_bytes()
    }

    /// Codes of a simulation that started so long after they were issued, and the answers for store 1.
    fn codes(start_us: i64) -> (Codes, mpsc::Receiver<Answer>) {
        let (answers, received) = mpsc::channel(10_000);
        let settings = crate::config::parse("[kafka]\nbrokers = \"127.0.0.1:1\"", []).unwrap();
        let codes = Codes {
            kafka: settings.kafka.unwrap(),
            responders: Responders {
                seed: 5,
                half_life: Duration::from_hours(1),
                customers: vec![7, 8],
                products: vec![2, 3],
            },
            recipients: vec![Recipient {
                stores: vec![1, 3],
                answers,
            }],
            end: End {
                start: Start {
                    instant: Instant::now(),
                    unix_us: start_us,
                },
                duration: None,
                stop: CancellationToken::new(),
            },
        };
        (codes, received)
    }

    /// How many answers a thousand codes of a store get, each of them read so often.
    fn answers(start_us: i64, store_id: i64, times: usize) -> usize {
        let (codes, mut received) = codes(start_us);
        let mut known = LruCache::new(KNOWN_MAX);
        for number in 0..1_000 {
            for _ in 0..times {
                assert!(codes.take(Some(&record(number, store_id)), &mut known));
            }
        }
        std::iter::from_fn(|| received.try_recv().ok()).count()
    }

    #[test]
    fn a_code_that_is_sent_twice_is_answered_once() {
        let once = answers(0, 1, 1);
        assert!(once > 700, "{once}");
        assert_eq!(answers(0, 1, 2), once);
        assert_eq!(answers(0, 2, 1), 0, "a store of nobody's");
    }

    #[test]
    fn what_was_due_before_the_start_is_over() {
        let (all, later) = (answers(0, 1, 1), answers(HOUR_US, 1, 1));
        assert!((all / 3..all * 2 / 3).contains(&later), "{later} of {all}");
    }

    #[test]
    fn what_is_no_code_is_passed_over_and_nobody_left_ends_it() {
        let (codes, received) = codes(0);
        let mut known = LruCache::new(KNOWN_MAX);
        assert!(codes.take(None, &mut known) && codes.take(Some(b"{}"), &mut known));
        drop(received);
        let mut numbers = 0..100;
        assert!(numbers.any(|number| !codes.take(Some(&record(number, 1)), &mut known)));
    }
}
