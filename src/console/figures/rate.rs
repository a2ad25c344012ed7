//! Rates of counters that are looked at now and then. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A counter over the last while.
#[derive(Debug)]
pub(super) struct Rate {
    window: Duration,
    looks: VecDeque<(Instant, f64)>,
}

impl Rate {
    /// Over that long.
    pub(super) fn over(window: Duration) -> Rate {
        Rate {
            window,
            looks: VecDeque::new(),
        }
    }

    /// Takes a count; the rate per second since the window began, once there are two. One that is smaller than the last
    /// has begun anew.
    pub(super) fn take(&mut self, count: f64, now: Instant) -> Option<f64> {
        if self.looks.back().is_some_and(|(_, last)| count < *last) {
            self.looks.clear();
        }
        self.looks.push_back((now, count));
        // One look from before the window stays, so that all of the window is counted.
        while self.looks.len() > 2
            && (self.looks.get(1)).is_some_and(|(at, _)| now.duration_since(*at) >= self.window)
        {
            self.looks.pop_front();
        }
        let (began, first) = self.looks.front()?;
        let seconds = now.duration_since(*began).as_secs_f64();
        (seconds > 0.0).then(|| (count - first) / seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_window_and_begins_anew_with_its_counter() {
        let mut rate = Rate::over(Duration::from_secs(4));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(rate.take(0.0, at(0)), None);
        assert_eq!(rate.take(20.0, at(2)), Some(10.0));
        assert_eq!(rate.take(20.0, at(4)), Some(5.0));
        assert_eq!(rate.take(20.0, at(6)), Some(0.0));
        assert_eq!(rate.take(3.0, at(8)), None);
        assert_eq!(rate.take(5.0, at(10)), Some(1.0));
    }
}
