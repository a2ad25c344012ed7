//! `kill -9` at random moments, until enough of them have met work under way.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tidewater::step::Role;

use super::{Tidewater, until};
use crate::model::random;

/// Whom to kill, and which deaths count.
pub(crate) struct Kills {
    /// Whose steps they are.
    pub(crate) role: Role,
    /// How the names of the steps begin at which it works.
    pub(crate) working: &'static str,
    /// Whether a batch or a transaction is open at the step: then the kill counts.
    pub(crate) is_open: fn(&str) -> bool,
    /// How long the killer waits, after a random moment, for such a step.
    pub(crate) lurk: Duration,
    /// Kills that must count.
    pub(crate) enough: usize,
    /// Tries in all.
    pub(crate) tries_max: usize,
}

impl Kills {
    /// Starts and kills until enough of the kills have counted; `each` comes after every one, with its
    /// number from 1. Prints at which steps they died.
    pub(crate) async fn run(self, start: impl Fn() -> Tidewater, mut each: impl FnMut(usize)) {
        let mut rng = ChaCha8Rng::seed_from_u64(random::seed());
        let mut steps: BTreeMap<String, usize> = BTreeMap::new();
        let (mut counted, mut tries) = (0, 0);
        while counted < self.enough {
            tries += 1;
            assert!(
                tries <= self.tries_max,
                "only {counted} of {tries} kills met work under way: {steps:?}"
            );
            let moment = Duration::from_micros(rng.random_range(0..150_000));
            let step = self.kill(start(), moment).await;
            counted += usize::from((self.is_open)(&step));
            *steps.entry(step).or_default() += 1;
            each(tries);
        }
        println!("{counted} kills of {tries} met work under way");
        for (step, kills) in &steps {
            println!("{kills:>8}  {step}");
        }
    }

    /// Returns the step at which it died.
    async fn kill(&self, victim: Tidewater, moment: Duration) -> String {
        until("the first batch", async || {
            victim.step(self.role).starts_with(self.working)
        })
        .await;
        // The random moment itself.
        tokio::time::sleep(moment).await;
        let deadline = Instant::now() + self.lurk;
        while !(self.is_open)(&victim.step(self.role)) && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        victim.kill_at_step(self.role)
    }
}
