//! Which requests' records wait for Kafka, and what that makes of the stage `gateway.publish`.

use std::collections::BTreeMap;
use std::time::Instant;

use metrics::gauge;

use crate::telemetry::{self, Stage};

/// The flights under way, oldest first.
#[derive(Debug)]
pub(super) struct Flights {
    stage: Stage,
    under_way: BTreeMap<u64, (Instant, usize)>,
    next: u64,
    events: usize,
    /// A record has failed, and nothing has succeeded since.
    failing: bool,
}

impl Flights {
    pub(super) fn new(stage: Stage) -> Self {
        stage.idle();
        Flights {
            stage,
            under_way: BTreeMap::new(),
            next: 0,
            events: 0,
            failing: false,
        }
    }

    /// So many events have arrived; its number.
    pub(super) fn depart(&mut self, at: Instant, events: usize) -> u64 {
        let number = self.next;
        self.next += 1;
        let first = self.under_way.is_empty();
        self.under_way.insert(number, (at, events));
        self.count(self.events + events);
        if first {
            self.show();
        }
        number
    }

    /// All of its events are acknowledged, or have failed.
    pub(super) fn arrive(&mut self, number: u64) {
        let was_oldest = self.under_way.keys().next() == Some(&number);
        if let Some((_, events)) = self.under_way.remove(&number) {
            self.count(self.events - events);
        }
        if was_oldest {
            self.show();
        }
    }

    /// A record has failed; `true` when nothing had before.
    pub(super) fn failed(&mut self, reason: &str) -> bool {
        let first = !std::mem::replace(&mut self.failing, true);
        if first {
            self.stage.failed(reason);
        }
        first
    }

    /// Kafka answers again.
    pub(super) fn recovered(&mut self) {
        if std::mem::take(&mut self.failing) {
            self.show();
        }
    }

    fn count(&mut self, events: usize) {
        self.events = events;
        gauge!(telemetry::GATEWAY_EVENTS_IN_FLIGHT).set(events as f64);
    }

    fn show(&self) {
        if self.failing {
            return;
        }
        match self.under_way.values().next() {
            Some((oldest, _)) => self.stage.working_since(*oldest),
            None => self.stage.idle(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Condition, Health};
    use std::time::Duration;

    #[test]
    fn the_stage_shows_the_oldest_and_a_failure_until_something_succeeds() {
        let health = Health::default();
        let mut flights = Flights::new(health.stage("gateway.publish", Duration::from_secs(5)));
        let start = Instant::now();
        let shown = |after: u64| {
            let report = health.report(start + Duration::from_secs(after)).remove(0);
            (report.condition, report.oldest.map(|age| age.as_secs()))
        };
        assert_eq!(shown(9), (Condition::Idle, None));
        let first = flights.depart(start, 1);
        let second = flights.depart(start + Duration::from_secs(2), 1);
        assert_eq!(shown(3), (Condition::Working, Some(3)));
        flights.arrive(first);
        assert_eq!(shown(8), (Condition::Stuck, Some(6)));
        assert!(flights.failed("no broker") && !flights.failed("no broker"));
        flights.arrive(second);
        assert_eq!(shown(9), (Condition::Failed, None));
        flights.recovered();
        assert_eq!(shown(9), (Condition::Idle, None));
    }
}
