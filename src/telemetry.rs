//! Telemetry: metric names, and the health of each stage — how old its oldest unprocessed item is.
//!
//! Idle and stuck never look alike: a stage with nothing to do says so; a stage that has held an item
//! for longer than its limit is stuck, and `/readyz` names it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Health of every stage in this process; clones share the same registry.
#[derive(Clone, Debug, Default)]
pub struct Health {
    stages: Arc<Mutex<Vec<Stage>>>,
}

impl Health {
    /// Registers a stage. `stuck_after` is how long an item may stay in it.
    pub fn stage(&self, name: &'static str, stuck_after: Duration) -> Stage {
        let state = Arc::new(Mutex::new(StageState::Starting));
        let stage = Stage { name, stuck_after, state };
        self.stages.lock().unwrap_or_else(PoisonError::into_inner).push(stage.clone());
        stage
    }

    /// Every stage as of `now`, in the order of registration.
    pub fn report(&self, now: Instant) -> Vec<StageReport> {
        let stages = self.stages.lock().unwrap_or_else(PoisonError::into_inner);
        stages.iter().map(|stage| stage.report(now)).collect()
    }
}

/// One stage's handle: the stage tells it what it holds.
#[derive(Clone, Debug)]
pub struct Stage {
    name: &'static str,
    stuck_after: Duration,
    state: Arc<Mutex<StageState>>,
}

#[derive(Clone, Debug)]
enum StageState {
    Starting,
    Idle,
    Working { oldest: Instant },
    Failed { reason: String },
}

impl Stage {
    /// Nothing is waiting.
    pub fn idle(&self) {
        self.set(StageState::Idle);
    }

    /// The oldest item that waits here arrived at `oldest`.
    pub fn working_since(&self, oldest: Instant) {
        self.set(StageState::Working { oldest });
    }

    /// The stage cannot go on, for the reason given (no row values).
    pub fn failed(&self, reason: impl fmt::Display) {
        self.set(StageState::Failed { reason: reason.to_string() });
    }

    fn set(&self, state: StageState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    fn report(&self, now: Instant) -> StageReport {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (condition, oldest, reason) = match state {
            StageState::Starting => (Condition::Starting, None, None),
            StageState::Idle => (Condition::Idle, None, None),
            StageState::Working { oldest } => {
                let age = now.saturating_duration_since(oldest);
                let condition =
                    if age > self.stuck_after { Condition::Stuck } else { Condition::Working };
                (condition, Some(age), None)
            }
            StageState::Failed { reason } => (Condition::Failed, None, Some(reason)),
        };
        StageReport { name: self.name, condition, oldest, reason }
    }
}

/// What a stage is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It has not processed anything yet.
    Starting,
    /// Nothing waits.
    Idle,
    /// Something waits, and not for too long.
    Working,
    /// Something has waited for longer than the stage's limit.
    Stuck,
    /// It cannot go on.
    Failed,
}

/// One stage as of one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageReport {
    /// The stage's name, `replicate.publish` for instance.
    pub name: &'static str,
    /// What it is doing.
    pub condition: Condition,
    /// Age of its oldest unprocessed item.
    pub oldest: Option<Duration>,
    /// Why it failed.
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_and_stuck_are_told_apart() {
        let health = Health::default();
        let stage = health.stage("replicate.publish", Duration::from_secs(5));
        let start = Instant::now();
        let condition =
            |now: Instant| health.report(now).first().map(|report| report.condition).unwrap();
        assert_eq!(condition(start), Condition::Starting);
        stage.idle();
        assert_eq!(condition(start + Duration::from_secs(60)), Condition::Idle);
        stage.working_since(start);
        assert_eq!(condition(start + Duration::from_secs(5)), Condition::Working);
        assert_eq!(condition(start + Duration::from_secs(6)), Condition::Stuck);
        stage.failed("fenced");
        assert_eq!(condition(start), Condition::Failed);
    }
}
