//! Orders to be, which codes have brought: kept until they are due, across lost connections.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tokio::sync::mpsc;

use super::answer::Answer;

/// Most answers of one worker that are not due. Beyond, codes wait in their topic.
const WAITING_MAX: usize = 100_000;
/// Answers that the reader of codes may be ahead of a worker.
const AHEAD_MAX: usize = 1_024;

/// The answers for one worker.
#[derive(Debug)]
pub(super) struct Answers {
    received: mpsc::Receiver<Answer>,
    waiting: BinaryHeap<Reverse<Answer>>,
}

/// Answers, and where they come from.
pub(super) fn answers() -> (mpsc::Sender<Answer>, Answers) {
    let (sender, received) = mpsc::channel(AHEAD_MAX);
    let waiting = BinaryHeap::new();
    (sender, Answers { received, waiting })
}

impl Answers {
    /// Those that are due, the earliest first.
    pub(super) fn due(&mut self, now_us: i64) -> Vec<Answer> {
        while self.waiting.len() < WAITING_MAX
            && let Ok(answer) = self.received.try_recv()
        {
            self.waiting.push(Reverse(answer));
        }
        let mut due = Vec::new();
        while let Some(Reverse(first)) = self.waiting.peek()
            && first.due_us <= now_us
        {
            due.extend(self.waiting.pop().map(|Reverse(answer)| answer));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::shop::Pair;

    #[test]
    fn answers_wait_until_they_are_due() {
        let answer = |due_us| Answer {
            due_us,
            customer_id: 7,
            pair: Pair {
                store_id: 1,
                product_id: 2,
            },
            quantity: 1,
            code: "7ZQ4M0C2XDK".to_owned(),
        };
        let (sender, mut answers) = answers();
        for due_us in [30, 10, 20] {
            sender.try_send(answer(due_us)).unwrap();
        }
        assert_eq!(answers.due(9), []);
        assert_eq!(answers.due(20), [answer(10), answer(20)]);
        sender.try_send(answer(5)).unwrap();
        assert_eq!(answers.due(100), [answer(5), answer(30)]);
    }

    #[test]
    fn what_is_more_than_may_wait_is_left_to_its_sender() {
        let (sender, mut answers) = answers();
        let late = || Answer {
            due_us: i64::MAX,
            customer_id: 7,
            pair: Pair {
                store_id: 1,
                product_id: 2,
            },
            quantity: 1,
            code: String::new(),
        };
        while sender.capacity() > 0 {
            while sender.try_send(late()).is_ok() {}
            assert_eq!(answers.due(0), []);
        }
        assert_eq!(answers.waiting.len(), WAITING_MAX);
    }
}
