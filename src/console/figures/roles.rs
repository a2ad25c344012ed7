//! The roles: what their stages do, and how long the oldest item waits.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::rate::Rate;
use super::{Answer, Figures, Pipeline, Watch};
use crate::console::histogram::{Histogram, counter};
use crate::http::{self, StageJson};
use crate::telemetry::{self, Condition};

/// Over which rates are taken.
const RATE_WINDOW: Duration = Duration::from_secs(5);
/// Over which latencies are taken, looks.
const LATENCY_LOOKS: usize = 30;

/// What the roles say.
#[derive(Debug, Default)]
pub(in crate::console) struct Roles {
    stages: Vec<StageJson>,
    /// Records published, per second.
    pub(in crate::console) published_rate: Option<f64>,
    /// Median from the source's commit to Kafka's, of the last half minute.
    pub(in crate::console) commit_to_kafka_seconds: Option<f64>,
}

/// Several stages as one.
#[derive(Debug, PartialEq)]
pub(in crate::console) struct StageFigures {
    pub(in crate::console) condition: Condition,
    pub(in crate::console) oldest_seconds: Option<f64>,
    pub(in crate::console) reason: Option<String>,
}

impl Roles {
    /// The worst of the stages with these names; `None` if no process tells of any.
    pub(in crate::console) fn stage(&self, names: &[&str]) -> Option<StageFigures> {
        let found = || (self.stages.iter()).filter(|stage| names.contains(&stage.name.as_str()));
        let worst = found().max_by_key(|stage| badness(stage.condition))?;
        Some(StageFigures {
            condition: worst.condition,
            oldest_seconds: found()
                .filter_map(|stage| stage.oldest_seconds)
                .reduce(f64::max),
            reason: worst.reason.clone(),
        })
    }
}

fn badness(condition: Condition) -> u8 {
    match condition {
        Condition::Idle => 0,
        Condition::Working => 1,
        Condition::Starting => 2,
        Condition::Draining => 3,
        Condition::Stuck => 4,
        Condition::Failed => 5,
    }
}

/// Asks them.
pub(in crate::console) struct RolesWatch {
    addresses: Vec<SocketAddr>,
    published: Rate,
    latencies: std::collections::VecDeque<Histogram>,
}

impl RolesWatch {
    /// Asks the processes that listen there.
    pub(in crate::console) fn new(addresses: Vec<SocketAddr>) -> RolesWatch {
        RolesWatch {
            addresses,
            published: Rate::over(RATE_WINDOW),
            latencies: std::collections::VecDeque::new(),
        }
    }
}

impl Watch for RolesWatch {
    type Found = Roles;
    const PAUSE: Duration = Duration::from_secs(1);

    async fn ask(&mut self, _: &Pipeline) -> Result<Roles, String> {
        let mut roles = Roles::default();
        let mut published = None;
        let mut latency = Histogram::default();
        for address in &self.addresses {
            let asked = tokio::join!(http::ask(*address), http::ask_metrics(*address));
            let (Some(readiness), Some(metrics)) = asked else {
                continue;
            };
            roles.stages.extend(readiness.stages);
            let count = counter(&metrics, telemetry::RECORDS_PUBLISHED_TOTAL);
            if let Some(count) = count {
                *published.get_or_insert(0.0) += count;
                latency = Histogram::read(&metrics, telemetry::COMMIT_TO_KAFKA_SECONDS);
            }
        }
        roles.published_rate =
            published.and_then(|count| self.published.take(count, Instant::now()));
        let earlier = self.latencies.front().cloned().unwrap_or_default();
        roles.commit_to_kafka_seconds = latency.quantile_since(&earlier, 0.5);
        self.latencies.push_back(latency);
        if self.latencies.len() > LATENCY_LOOKS {
            self.latencies.pop_front();
        }
        Ok(roles)
    }

    fn answer(figures: &mut Figures) -> &mut Answer<Roles> {
        &mut figures.roles
    }
}
